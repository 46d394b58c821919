"""Our Adam beside torch's own class, bit by bit, and what a training no longer imports."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rambo.method.adam import Adam

ROOT = Path(__file__).parents[2]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 3)).to(
        memory_format=torch.channels_last
    )


def descend(model: nn.Module, optimizer: Any, steps: int = 20) -> None:
    draws = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 1, 6, 6, generator=draws)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("fused", [True, False])
def test_steps_are_those_of_torch(fused: bool, decay: float) -> None:
    model, reference, start = network(), network(), network()
    descend(model, Adam(model.parameters(), 1e-2, weight_decay=decay, fused=fused))
    adam = torch.optim.Adam(
        reference.parameters(), lr=1e-2, weight_decay=decay, fused=fused or None
    )
    descend(reference, adam)
    for own, other, before in zip(
        model.parameters(), reference.parameters(), start.parameters(), strict=True
    ):
        assert torch.equal(own, other)
        assert not torch.equal(own, before)


def test_a_parameter_without_gradient_keeps_its_place_and_its_count() -> None:
    moved, still = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = Adam([still, moved], 0.1)
    moved.grad = torch.tensor([1.0, -1.0])
    optimizer.step()
    assert still.tolist() == [1, 1]
    assert moved.tolist() == pytest.approx(
        [0.9, 1.1]
    )  # the first step of Adam has the size of its rate
    assert [float(steps) for steps in optimizer.steps] == [0, 1]


def test_nothing_happens_without_any_gradient() -> None:
    only = torch.ones(2, requires_grad=True)
    Adam([only], 0.1, fused=True).step()
    assert only.tolist() == [1, 1]


def test_a_training_leaves_the_compiler_of_torch_alone() -> None:
    code = """
import sys, torch
from rambo.config import ClassifierConfig
from rambo.training.classifier import fit_classifier

torch.manual_seed(0)
config = ClassifierConfig(name="mnistnet", max_epochs=2)
fit = fit_classifier(torch.randn(20, 1, 28, 28), torch.arange(20) % 2, config, num_classes=2, seed=0)
print(fit.epochs, "torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()[1:]) == (0, ["False"]), done.stderr
