"""Imports in the background: one process a collection, whose end and whose error anyone can read later."""

import fcntl
import json
import time
from pathlib import Path

import numpy as np
import pytest

from rambo.collection import collection as own
from rambo.collection.importing import ImportOptions, import_images
from rambo.errors import ConfigError
from rambo.runs import imports
from rambo.runs.imports import ImportRequest


def _archive(path: Path, count: int = 12) -> Path:
    """Write an `.npz` of small images, half of them labeled."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 12, 12), dtype=np.uint8)
    labels = np.where(np.arange(count) % 2, -1, np.arange(count) % 3)
    np.savez(path, images=images, labels=labels)
    return path


def _ended(root: Path, slug: str) -> imports.ImportState:
    end = time.monotonic() + 120
    while (now := imports.standing(root, slug)).state == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
    return now


def test_an_import_works_in_a_process_of_its_own_and_its_end_is_read_from_the_disk(
    tmp_path: Path,
) -> None:
    root = tmp_path / "runs"
    request = ImportRequest(
        "My pets", (str(_archive(tmp_path / "pets.npz")),), validation=0.4, size=16
    )
    imports.begin(root, request)
    imports.begin(root, request)  # a second click starts no second process
    assert imports.standing(root, "my-pets").state == "running"
    assert _ended(root, "my-pets").state == "done"
    pets = own.find(root, "my-pets")
    assert (pets.name, len(pets.snapshot()), pets.validation_share) == ("My pets", 12, 0.4)
    assert pets.frame.width == 16
    assert [version.number for version in pets.versions()] == [1]
    assert imports.request_of(root, "my-pets") == request


def test_what_cannot_be_read_is_told_in_one_line_that_names_it(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    imports.begin(root, ImportRequest("Gone", (str(tmp_path / "no-such-folder"),)))
    now = _ended(root, "gone")
    assert now.state == "failed"
    assert "no-such-folder" in now.message
    assert "nothing is there" in now.message
    assert str(tmp_path) not in now.message
    assert imports.pending(root) == ["gone"]
    imports.forget(root, "gone")
    assert imports.standing(root, "gone").state == "none"


def test_nothing_to_import_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to import"):
        imports.begin(tmp_path, ImportRequest("x", ()))
    assert not (tmp_path / "imports").exists()


def test_a_name_never_leads_out_of_the_folder_of_imports(tmp_path: Path) -> None:
    request = ImportRequest("../../etc/<b>Pass", ("a.npz",))
    assert request.slug == "etc-b-pass"
    assert imports.standing(tmp_path, "../../etc").state == "none"
    assert ImportRequest("-x", ("-y",), labels="-z").arguments() == [
        *("import", "--json", "--name=-x", "--labels=-z", "--fit=letterbox", "--", "-y"),
    ]


def _request_file(root: Path, slug: str) -> Path:
    """Write what an import leaves that a person asked for."""
    folder = root / "imports" / slug
    folder.mkdir(parents=True)
    request = {"name": slug, "sources": ["x.npz"]}
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def test_an_import_that_died_without_a_word_says_so(tmp_path: Path) -> None:
    _request_file(tmp_path, "pets")
    now = imports.standing(tmp_path, "pets")
    assert now.state == "failed"
    assert "without a word" in now.message


def test_a_stop_reaches_the_import_and_stands_afterwards(tmp_path: Path) -> None:
    import_images(tmp_path, _archive(tmp_path / "pets.npz"), ImportOptions(jobs=1))
    folder = _request_file(tmp_path, "pets")
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert imports.standing(tmp_path, "pets").state == "running"
        imports.stop(tmp_path, "pets")
        assert own.find(tmp_path, "pets").stop_requested()
    assert imports.standing(tmp_path, "pets").state == "stopped"


def test_an_import_from_the_command_line_needs_no_request(tmp_path: Path) -> None:
    import_images(tmp_path, _archive(tmp_path / "pets.npz"), ImportOptions(jobs=1))
    assert imports.standing(tmp_path, "pets").state == "none"
    assert imports.request_of(tmp_path, "pets") is None
    assert imports.pending(tmp_path) == []
