"""What a page knows of a batch is what the run recorded, and a damaged part takes no other with it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import page_helpers
import pytest
import streamlit as st

from rambo import export
from rambo.errors import StoreError
from rambo.events import BatchChosen
from rambo.runs import atlas, paths, workspace
from rambo.runs.workspace import Run, Workspace
from rambo.ui.batch import batch_data, what_if


@pytest.fixture(scope="module")
def done_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("batch") / "runs"
    page_helpers.make_done(root)
    return root


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def run(done_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A copy of the finished run that a test may break."""
    root = page_helpers.copy_of(done_home, tmp_path / "runs")
    monkeypatch.setenv("RAMBO_HOME", str(root))
    return Workspace(root).runs()[0]


def loaded(run: Run, strategy: str = "rambo") -> batch_data.Batch:
    batch = batch_data.load(run, 0, strategy)
    assert batch is not None
    return batch


def test_the_map_of_a_trial_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    read = Run.load_arrays

    def load_arrays(self: Run, name: str) -> dict[str, np.ndarray]:
        opened.append(name)
        return read(self, name)

    monkeypatch.setattr(Run, "load_arrays", load_arrays)
    loaded(run)
    assert opened.count(paths.of_trial(0, paths.ATLAS)) == 1


@pytest.mark.parametrize("strategy", page_helpers.STRATEGIES)
def test_it_is_what_show_and_export_say(run: Run, strategy: str) -> None:
    batch, rows = loaded(run, strategy), export.rows(run, strategy)
    result = {r.strategy: r for r in workspace.summary(run).results}[strategy]
    assert batch.indices.tolist() == result.selected == [row.dataset_index for row in rows]
    assert batch.steps.tolist() == result.steps
    assert batch.guesses.tolist() == [row.predicted_class for row in rows]
    np.testing.assert_array_equal(batch.margins, [row.margin for row in rows])
    assert batch.complete
    assert batch.troubles == ()
    assert len(batch.decisions) == (3 if strategy == "rambo" else 0)
    assert np.isfinite(batch.utilities).all() == (strategy == "rambo")
    assert batch.served is not None
    assert batch.served["chosen"].tolist() == batch.indices.tolist()


def test_the_decisions_are_the_events(run: Run) -> None:
    batch = loaded(run)
    for decision in batch.decisions:
        assert decision.chosen == decision.candidates[0] == batch.at_step(decision.step).tolist()
        assert decision.utility == max(decision.utilities)
        ordered = sorted(decision.utilities, reverse=True)
        assert decision.gap == pytest.approx(ordered[0] - ordered[1])
    hat = batch_data.u_hat(batch)
    assert hat is not None
    for decision in batch.decisions:
        predicted = hat.step_utility(decision.step, decision.chosen)
        assert predicted == pytest.approx(decision.utility, rel=1e-4, abs=1e-4)


def test_it_is_read_once_and_again_when_something_changed(run: Run) -> None:
    first = loaded(run)
    assert loaded(run) is first
    assert batch_data.u_hat(first) is batch_data.u_hat(loaded(run))
    sheet = batch_data.sheet(first)
    assert batch_data.sheet(first, first.indices.tolist()) is sheet
    backwards = batch_data.sheet(first, first.indices[::-1])
    assert backwards.ids == sheet.ids[::-1], "the order is part of what is asked for"
    (run.folder / "artifacts/trial-0/atlas.safetensors").unlink()
    second = loaded(run)
    assert second is not first
    assert second.atlas is None


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_without_an_atlas_the_choice_is_there(run: Run) -> None:
    before = loaded(run)
    damage(run.folder / "artifacts/trial-0/atlas.safetensors")
    batch = loaded(run)
    assert batch.indices.tolist() == before.indices.tolist()
    np.testing.assert_allclose(batch.margins, before.margins, rtol=1e-4, atol=1e-6)
    assert "damaged" in batch.troubles[0]
    assert f"resume {run.id}" in batch.troubles[0]


def test_random_without_an_atlas_knows_no_margins(run: Run) -> None:
    (run.folder / "artifacts/trial-0/atlas.safetensors").unlink()
    batch = loaded(run, "random")
    assert np.isnan(batch.margins).all()
    assert (batch.guesses == -1).all()
    assert batch.class_name(-1) == "unknown"


def test_without_the_dataset_tiles_are_grey(run: Run) -> None:
    colourful = batch_data.sheet(loaded(run))
    (next((run.folder.parent / "datasets").iterdir()) / "images.npy").unlink()
    batch = loaded(run)
    assert batch.data is None
    assert batch.labels([1]) is None
    assert any("prepare" in trouble for trouble in batch.troubles)
    grey = batch_data.sheet(batch)
    assert grey.ids == colourful.ids
    assert grey.digest != colourful.digest


@pytest.mark.parametrize("name", ["served", "u_hat"])
def test_a_lost_artifact_of_rambo_takes_nothing_with_it(run: Run, name: str) -> None:
    (run.folder / f"artifacts/trial-0/rambo/{name}.safetensors").unlink()
    batch = loaded(run)
    if name == "served":
        assert batch.served is None
    else:
        with pytest.raises(StoreError, match="it is lost; resume the run"):
            batch_data.u_hat(batch)


@pytest.mark.parametrize("absent", [True, False])
def test_a_choice_whose_file_is_absent_is_the_records(run: Run, absent: bool) -> None:
    before = loaded(run)
    path = run.folder / "artifacts/trial-0/rambo/selection.parquet"
    path.unlink() if absent else damage(path)
    batch = loaded(run)
    assert batch.complete
    assert batch.indices.tolist() == before.indices.tolist()
    assert batch.steps.tolist() == before.steps.tolist()
    np.testing.assert_array_equal(batch.utilities, before.utilities)
    (trouble,) = batch.troubles
    assert f"(it is {'lost' if absent else 'damaged'})" in trouble
    assert f"resume {run.id}" in trouble


def test_nothing_chosen_yet_is_none(home_queued: Run) -> None:
    assert batch_data.load(home_queued, 0, "rambo") is None
    assert batch_data.ready(home_queued, 0) == []


@pytest.fixture
def home_queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    root = tmp_path / "queued"
    monkeypatch.setenv("RAMBO_HOME", str(root))
    return page_helpers.make_queued(root)


def test_the_picks_so_far_come_from_the_events(run: Run) -> None:
    before = loaded(run)
    page_helpers.forget_choice(run, 0, "rambo")
    batch = loaded(run)
    assert not batch.complete
    assert batch.indices.tolist() == before.indices.tolist()
    assert batch.guesses.tolist() == before.guesses.tolist()
    assert batch_data.ready(run, 0) == ["filter-only", "margin", "random"]
    assert batch_data.u_hat(batch) is None


def test_the_ranked_pool_is_the_unlabeled_images_by_margin(run: Run) -> None:
    batch = loaded(run)
    assert batch.atlas is not None
    ranked = batch_data.ranked_pool(batch.atlas, batch.indices)
    margins = batch_data.margins_of(batch.atlas)[batch.atlas.rows(ranked)]
    assert (np.diff(margins) >= 0).all()
    pool = set(batch.atlas.members(atlas.UNLABELED_POOL).tolist())
    assert set(ranked.tolist()) == pool - set(batch.indices.tolist())


def test_captions_say_the_truth_only_with_the_oracle(run: Run) -> None:
    batch = loaded(run)
    assert batch.data is not None
    index = int(batch.indices[0])
    caption = batch_data.captions(batch, [index])[index]
    assert f"image {index}" in caption
    assert batch.class_name(int(batch.guesses[0])) in caption
    assert "oracle" not in caption
    label = batch.classes[int(batch.data.labels[index])]
    assert batch_data.captions(batch, [index], oracle=True)[index].endswith(f"oracle says {label}")


def decision_of(utilities: list[float]) -> BatchChosen:
    """Return a greedy step whose best candidate has images 0 to 4."""
    ordered = sorted(utilities, reverse=True)
    runner_up = ordered[1] if len(ordered) > 1 else None
    best = [list(range(5))]
    return BatchChosen(0, 1, best[0], ordered[0], runner_up, utilities, best, ordered[:1], [0.1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (0.0, "This is the chosen batch"),
        (0.0009, "**above** the chosen one, by less than a tenth of the candidates' spread"),
        (-0.15, "**below** the chosen one, by 15.0 times the candidates' spread"),
    ],
)
def test_the_verdict_on_a_what_if_is_in_units_of_the_candidates_spread(
    change: float, words: str
) -> None:
    """However close the runner-up: here it is one ten-thousandth behind."""
    step = decision_of([0.5, 0.4999, 0.5 - 0.02, 0.49])
    assert what_if.spread(step) == pytest.approx(0.01, rel=0.06)
    assert words in what_if.verdict(change * what_if.spread(step) / 0.01, step, 5)


@pytest.mark.parametrize(("size", "words"), [(4, "1 image fewer"), (7, "2 images more")])
def test_there_is_no_verdict_between_unequal_sizes(size: int, words: str) -> None:
    sentence = what_if.verdict(0.5, decision_of([0.1, 0.2, 0.3]), size)
    assert words in sentence
    assert "cannot rank" in sentence
    assert "above" not in sentence


def test_two_candidates_have_no_spread() -> None:
    assert what_if.spread(decision_of([0.1, 0.2])) is None
    assert what_if.spread(decision_of([0.1, 0.1, 0.1])) is None
    assert "Too few candidates" in what_if.verdict(0.1, decision_of([0.1, 0.2]), 5)


def test_why_a_swap_can_beat_the_chosen_batch_counts_what_was_looked_at() -> None:
    step = decision_of([0.1, 0.2, 0.3])
    sentence = what_if.why_beatable(step, 10)
    assert "3 random batches of 5 images, of 252 that the 10 smallest margins allow" in sentence
    assert "of the millions that the 100 smallest" in what_if.why_beatable(step, 100)
    assert "of the countless ones that the 10,000" in what_if.why_beatable(step, 10_000)
