"""Lost and damaged files of a run: refused, told, and made again without touching the choice; folders that go away."""

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny import merged, tiny_config, write_tiny

from rambo import export, strategies
from rambo.config import describe
from rambo.errors import StoreError
from rambo.events import Event, StageFinished
from rambo.method.pools import Selection
from rambo.runs import jobs, repair
from rambo.runs.workspace import Run, Workspace, environment
from rambo.training.call import Call
from rambo.worker import run_worker
from rambo.worker import trial as trials

SETTINGS = {
    "strategies": ["rambo", "margin"],
    "budget": 10,
    "classifier": {"max_epochs": 1},
    "rambo": {
        "pairs_per_iteration": 3,
        "offline": {"pairs": 3, "repeated_pairs": 1},
        "utility_model": {"epochs": 1},
    },
}


def queue(root: Path) -> Run:
    data = write_tiny(root)
    config = describe(tiny_config(**merged({}, SETTINGS)))
    return Workspace(root).create(config, environment(data, "cpu"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = queue(tmp_path_factory.mktemp("reference") / "runs")
    assert run_worker.work(run) == "done"
    return run


@pytest.fixture
def copied(reference: Run, tmp_path: Path) -> Run:
    """A copy of the finished run, to be damaged."""
    root = Path(shutil.copytree(reference.folder.parent, tmp_path / "runs"))
    return Run(root / reference.id)


def contents(run: Run) -> dict[str, bytes]:
    folder = run.folder / "artifacts"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*")}


def flip(path: Path, place: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place is None else place] ^= 4
    path.write_bytes(data)


def test_no_flipped_bit_of_any_artifact_is_read(copied: Run) -> None:
    draw = random.Random(5)
    folder = copied.folder / "artifacts"
    whole = contents(copied)
    assert len(whole) == 7
    for name, data in whole.items():
        load = copied.load_table if name.endswith("parquet") else copied.load_arrays
        load(name.rpartition(".")[0])
        for _ in range(20):
            flip(folder / name, draw.randrange(len(data)))
            with pytest.raises(StoreError, match="it is damaged; resume the run"):
                load(name.rpartition(".")[0])
            (folder / name).write_bytes(data)


def test_an_export_goes_on_from_the_record_and_says_what_is_missing(copied: Run) -> None:
    before = export.build(copied, "csv")
    assert before.notices == ()
    rows = export.rows(copied)
    flip(copied.folder / "artifacts/trial-0/rambo/selection.parquet")
    after = export.gather(copied)
    assert after.rows == [
        dataclasses.replace(row, margin=now.margin)
        for row, now in zip(rows, after.rows, strict=True)
    ]
    (notice,) = after.notices
    assert "it is damaged" in notice
    assert f"resume {copied.id}" in notice
    (copied.folder / "artifacts/trial-0/atlas.safetensors").unlink()
    table = export.build(copied, "csv")
    assert table.count == 10
    assert len(table.notices) == 2
    assert "pool_position is empty" in table.notices[1]
    archive = export.build(copied, "zip").data
    assert b"run.json" in archive


def test_rows_that_are_not_the_records_are_no_choice(copied: Run) -> None:
    frame = copied.load_table("trial-0/margin/selection")
    copied.save_table("trial-0/margin/selection", frame.iloc[:4])  # whole, and yet too few
    contents = export.gather(copied, "margin")
    assert [row.dataset_index for row in contents.rows] == frame["dataset_index"].tolist()
    assert "it is not the choice that the record holds" in contents.notices[0]
    assert repair.broken(copied) == ["trial-0/margin/selection"]


def test_a_damaged_description_of_the_dataset_is_told(copied: Run) -> None:
    (meta,) = copied.folder.parent.glob("datasets/*/meta.json")
    flip(meta)
    whole = export.gather(copied)
    assert None not in {row.pool_position for row in whole.rows}
    assert not whole.notices
    atlas = dict(copied.load_arrays("trial-0/atlas"))
    del atlas[
        "lacking"
    ]  # as in runs of older versions: only the dataset tells whether all images are there
    copied.save_arrays("trial-0/atlas", atlas)
    contents = export.gather(copied)
    assert {row.pool_position for row in contents.rows} == {None}
    (notice,) = contents.notices
    assert notice.startswith("The prepared dataset cannot be read, so pool_position is empty")


def test_resuming_a_done_run_makes_lost_and_damaged_files_again(
    copied: Run, reference: Run
) -> None:
    folder = copied.folder / "artifacts/trial-0"
    assert repair.broken(copied) == []
    with pytest.raises(StoreError, match="is done"):
        jobs.resume(copied)
    (folder / "rambo/u_hat.safetensors").unlink()
    (folder / "atlas.safetensors").unlink()
    flip(folder / "margin/selection.parquet")
    flip(folder / "margin/served.safetensors")
    assert repair.broken(copied) == [
        f"trial-0/{name}" for name in ("atlas", "margin/selection", "margin/served", "rambo/u_hat")
    ]
    lines, events, results = [], copied.events(), copied.results()
    assert run_worker.work(copied, lines.append) == "done"
    assert contents(copied) == contents(reference)
    assert copied.events() == events, "what was told of the choice stays"
    assert copied.results() == results
    assert copied.describe().message == ""
    assert not [e for e in lines if e.kind == "ClassifierTrained" and not e.cached]


def test_a_choice_stands_even_where_it_would_be_another_now(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = copied.results()[1].selected
    find = strategies.find

    def other(name: str, *files: object) -> Callable[[Call], Selection]:
        def choose(call: Call) -> Selection:
            selection = find(name)(call)
            return dataclasses.replace(selection, indices=selection.indices.flip(0))

        return choose

    monkeypatch.setattr(trials.strategies, "find", other)
    flip(copied.folder / "artifacts/trial-0/margin/selection.parquet")
    assert run_worker.work(copied) == "done"
    assert copied.results()[1].selected == chosen
    table = copied.load_table("trial-0/margin/selection")
    assert table["dataset_index"].tolist() == chosen
    assert pd.isna(table["predicted_class"]).all()
    assert repair.broken(copied) == []


def test_a_run_that_cannot_be_made_whole_stays_done_and_says_why(
    copied: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise StoreError("no way")

    monkeypatch.setattr(trials, "run_trial", fail)
    (copied.folder / "artifacts/trial-0/atlas.safetensors").unlink()
    with pytest.raises(StoreError, match="no way"):
        run_worker.work(copied)
    assert copied.status == "done"
    assert copied.describe().message == "lost or damaged files are not made again: no way"


@pytest.mark.parametrize("at", [1, 4])
def test_a_run_renamed_while_it_works_leaves_no_ghost_and_goes_on_elsewhere(
    at: int, reference: Run, tmp_path: Path
) -> None:
    run = queue(tmp_path / "runs")
    moved = run.folder.with_name("moved-20260101-000000-abcd")
    names = []

    def listen(event: Event) -> None:
        names.append(event) if isinstance(event, StageFinished) else None
        if len(names) == at and not moved.exists():
            run.folder.rename(moved)

    with pytest.raises(StoreError, match="its folder was moved or deleted"):
        run_worker.work(run, listen)
    assert not run.folder.exists()
    again = Run(moved)
    assert again.status == "failed"
    assert run_worker.work(again) == "done"
    assert contents(again) == contents(reference)


def test_a_home_deleted_while_a_run_works_is_not_made_again(tmp_path: Path) -> None:
    run = queue(tmp_path / "runs")

    def listen(event: Event) -> None:
        if isinstance(event, StageFinished):
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)

    with pytest.raises(StoreError):
        run_worker.work(run, listen)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "use fewer jobs (compute.jobs)"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2000000000 bytes."),
            "the step at hand needs about 2.0 GB",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has"),
            "the step at hand needs about 1.6 GB",
        ),
        (RuntimeError("CUDA error: out of memory"), "GPU's memory ran out"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "use fewer slots"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 6.77 GiB). Tried to allocate 20 MiB"), "about 21 MB"),
    ],
)  # fmt: skip
def test_memory_that_runs_out_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    run = queue(tmp_path / "runs")
    monkeypatch.setattr(trials, "run_trial", fail)
    with pytest.raises(StoreError) as caught:
        run_worker.work(run)
    for words in (str(caught.value), run.describe().message):
        assert "memory ran out" in words
        assert reason in words
        assert "then resume the run" in words
    assert run.status == "failed"
