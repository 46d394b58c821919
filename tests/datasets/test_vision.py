"""torchvision and timm import here, with or without torchvision's compiled operators."""

import subprocess
import sys
from pathlib import Path

import pytest

from rambo.datasets import vision_sets

ROOT = Path(__file__).resolve().parents[2]


def test_torchvision_and_what_is_built_on_it_can_be_loaded() -> None:
    datasets = vision_sets.load("torchvision.datasets")
    assert datasets.__name__ == "torchvision.datasets"
    assert {"MNIST", "FashionMNIST", "CIFAR10", "SVHN"} <= set(vars(datasets))
    assert callable(vision_sets.load("timm").create_model)
    assert vision_sets.load() is sys.modules["torchvision"]
    assert vision_sets.load("torchvision.datasets") is datasets


def test_a_module_that_is_not_there_says_so() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"torchvision\.nonsense"):
        vision_sets.load("torchvision.nonsense")


_LOAD = """
import sys
sys.path[:0] = sys.argv[1:]
from rambo.datasets import vision_sets
try:
    vision_sets.load()
except RuntimeError as error:
    print("raised:", error)
else:
    print("loaded", sys.modules["torchvision"].__file__)
print("declared:", len(vision_sets._DECLARED))
"""


def test_only_the_missing_operators_are_put_right(tmp_path: Path) -> None:
    """Any other failure inside torchvision reaches the caller, with nothing declared meanwhile."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('CUDA driver is too old')\n")
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(tmp_path), str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["raised: CUDA driver is too old", "declared: 0"], (
        done.stderr
    )
