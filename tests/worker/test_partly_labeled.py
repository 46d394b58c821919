"""Runs where nobody knows the labels of the pool, and batches that pay for no picture twice."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import merged, partly, tiny_config

from rambo import checks
from rambo.config import Config
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import BudgetError, ConfigError, DataError
from rambo.estimate import costs, outline
from rambo.estimate.costs import DataSizes
from rambo.events import Event, Noticed, StageStarted
from rambo.runs import exclusions, report
from rambo.runs.workspace import Run, Workspace, create_run, summary
from rambo.worker import run_worker, trial

SETTINGS: dict[str, Any] = {
    "strategies": ["rambo", "margin", "random"],
    "budget": 6,
    "classifier": {"max_epochs": 1},
    "rambo": {
        "initial_size": 16,
        "pairs_per_iteration": 2,
        "offline": {"pairs": 2, "repeated_pairs": 1},
        "utility_model": {"epochs": 1},
    },
}


def config(**changes: Any) -> Config:
    return tiny_config(**merged(SETTINGS, changes))


@pytest.fixture(scope="module")
def waiting(tiny: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Event]]:
    """A run on 20 labels, 12 to check with and 60 unknown ones, and what was heard of it."""
    root = tmp_path_factory.mktemp("waiting")
    data = partly(root, tiny, labeled=range(20), validation=range(20, 32))
    run = create_run(config(k=200, rambo={"initial_size": 50}), data, Workspace(root), "cpu")
    events: list[Event] = []
    assert run_worker.work(run, events.append) == "done"
    return run, events


def test_k_is_what_there_is(waiting: tuple[Run, list[Event]]) -> None:
    run, _ = waiting
    assert run.config["k"] == 20
    assert run.config["rambo"]["initial_size"] is None, "50 would be beyond it"


def test_of_few_labels_few_offline_pairs_are_drawn_and_it_is_said(
    tiny: Prepared, tmp_path: Path
) -> None:
    data = partly(tmp_path, tiny, labeled=range(20), validation=range(20, 32))
    settings = config(k=200, rambo={"initial_size": 50, "offline": {"pairs": 500}})
    assert checks.fit(settings, data).rambo.offline.pairs == 200
    assert checks.change_words(settings, data) == (
        "k is 20: pets has that many labeled images to learn from; so the pretraining starts from 5 labels; "
        "of so few 200 offline pairs are enough"
    )
    assert checks.fit(config(), data).rambo.offline.pairs == 2
    assert checks.fit(settings, tiny) is settings
    assert checks.change_words(settings, tiny) == ""


def test_a_run_without_an_oracle_ends_with_chosen_batches(
    waiting: tuple[Run, list[Event]],
) -> None:
    run, events = waiting
    assert (run.status, run.describe().message) == ("done", "batch chosen, waiting for labels")
    stages = {event.stage for event in events if isinstance(event, StageStarted)}
    assert "acquisition" in stages
    assert "evaluation" not in stages
    results = summary(run).results
    assert f"batch chosen, waiting for labels: `python -m rambo export {run.id}" in report.table(
        summary(run)
    )
    assert len(results) == 3
    for result in results:
        assert len(set(result.selected)) == 6
        assert min(result.selected) >= 32
        assert (result.state, result.validation_accuracy, result.test_accuracy) == (
            "selected",
            None,
            None,
        )


def test_a_finished_run_is_not_worked_on_again(waiting: tuple[Run, list[Event]]) -> None:
    run, _ = waiting
    events: list[Event] = []
    assert run_worker.work(run, events.append) == "done"
    assert events == []


def test_further_trials_are_other_seeds_on_the_same_labels(tiny: Prepared, tmp_path: Path) -> None:
    data = partly(tmp_path, tiny, labeled=range(20), validation=range(20, 32))
    fitted = checks.fit(config(trials=2), data)
    one, two = (trial.split(fitted, data, number, None) for number in (0, 1))
    assert torch.equal(one.problem.labeled, two.problem.labeled)
    assert torch.equal(one.problem.unlabeled, two.problem.unlabeled)
    assert (one.seed, two.seed) == (0, 1)
    assert one.oracle is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"oracle_draws": 3}, "oracle_draws 3: nobody knows the labels of pets"),
        (
            {"dataset": {"corruption": {"label_noise": 0.1}}},
            "dataset.corruption.label_noise 0.1: nobody knows",
        ),
        (
            {"dataset": {"corruption": {"imbalance": "paper"}}},
            "dataset.corruption.imbalance 'paper': nobody knows",
        ),
        ({"budget": 61}, "budget 61 exceeds the 60 unlabeled images of pets"),
    ],
)
def test_what_needs_an_oracle_is_refused(
    tiny: Prepared, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    data = partly(tmp_path, tiny, labeled=range(20), validation=range(20, 32))
    with pytest.raises((ConfigError, BudgetError)) as caught:
        checks.check(config(**changes), data)
    assert words.replace("'", "") in str(caught.value).replace("'", "")
    checks.check(config(budget=60), data)


def test_one_label_is_too_few(tiny: Prepared, tmp_path: Path) -> None:
    data = partly(tmp_path, tiny, labeled=[0], validation=range(20, 32))
    with pytest.raises(DataError, match="1 labeled image to learn from; label at least 2"):
        checks.check(config(), data)


def test_a_study_is_refused_with_the_way_out(tiny: Prepared, tmp_path: Path) -> None:
    data = partly(tmp_path, tiny, labeled=range(20), validation=range(20, 32))
    with pytest.raises(DataError, match="name rehearsal:collection:pets"):
        checks.check_judged(config(dataset={"name": "collection:pets"}), data)
    checks.check_judged(config(), tiny)


def test_costs_and_words_know_that_nothing_is_judged(tiny: Prepared, tmp_path: Path) -> None:
    data = partly(tmp_path, tiny, labeled=range(20), validation=range(20, 32))
    fitted = checks.fit(config(), data)
    counted = costs.count(fitted, DataSizes.of(fitted, data))
    assert counted.per_trial["evaluation"] == 0
    assert (counted.initial_labels, counted.validation, counted.unlabeled) == (20, 12, 60)
    words = outline.sentence(fitted, counted)
    assert "waits for its labels" in words
    assert "tested" not in words
    assert "tested" in outline.sentence(
        config(), costs.count(config(), DataSizes.of(config(), tiny))
    )
    judged = costs.count(fitted, dataclasses.replace(DataSizes.of(fitted, data), labeled=None))
    assert judged.per_trial["evaluation"] == 3


# Nobody pays twice for one picture.


def repeated(tiny: Prepared, times: int) -> Prepared:
    """The tiny dataset as if its images showed `100 / times` scenes, in turn; validation and test have their own."""
    clusters = np.concatenate([np.arange(100) // times, np.arange(1000, 1100)])
    return dataclasses.replace(tiny, clusters=clusters.astype(np.int64))


def test_of_a_scene_one_image_is_left_and_none_where_one_has_a_label(tiny: Prepared) -> None:
    data = repeated(tiny, 5)  # 20 scenes
    one = trial.split(config(k=6, budget=2, rambo={"initial_size": 4}), data, 0, None)
    scenes = np.asarray(data.clusters)
    labeled_scenes = set(scenes[one.problem.labeled.numpy()].tolist())
    offered = scenes[one.offer.unlabeled.numpy()].tolist()
    assert sorted(offered) == sorted(set(range(20)) - labeled_scenes)
    assert len(one.problem.unlabeled) == 94, "f is still asked about all of them"
    restriction = one.restriction
    assert restriction is not None
    assert len(restriction.exclusions) == 94 - len(offered)
    assert (scenes[restriction.likes] == scenes[restriction.exclusions]).all()
    assert not np.isin(restriction.likes, restriction.exclusions).any(), (
        "what stays, or has a label"
    )
    labeled = np.isin(restriction.likes, one.problem.labeled.numpy())
    assert (labeled == (restriction.reasons == 1)).all()
    again = trial.split(config(k=6, budget=2, rambo={"initial_size": 4}), data, 0, None)
    assert torch.equal(again.offer.unlabeled, one.offer.unlabeled)


@pytest.mark.parametrize("role", [VALIDATION, TEST])
def test_a_copy_of_a_validation_or_test_image_is_left_out(tiny: Prepared, role: int) -> None:
    clusters = np.arange(200)
    place = int(np.flatnonzero(np.array(tiny.roles) == role)[0])
    clusters[:3] = place
    data = dataclasses.replace(tiny, clusters=clusters.astype(np.int64))
    for number in range(3):
        one = trial.split(config(), data, number, None)
        assert not torch.isin(one.offer.unlabeled, torch.tensor([0, 1, 2])).any()


def test_as_many_of_a_scene_as_the_settings_say(tiny: Prepared) -> None:
    data = repeated(tiny, 5)
    settings = {"k": 6, "budget": 2, "rambo": {"initial_size": 4}}
    two = trial.split(config(**settings, acquisition={"per_cluster": 2}), data, 0, None)
    scenes = np.asarray(data.clusters)
    counts = np.bincount(scenes[two.problem.labeled.numpy()], minlength=20)
    offered = np.bincount(scenes[two.offer.unlabeled.numpy()], minlength=20)
    assert (offered == np.clip(2 - counts[:20], 0, None)).all()
    free = trial.split(config(**settings, acquisition={"per_cluster": None}), data, 0, None)
    assert free.restriction is None
    assert free.offer is free.problem


def test_a_group_gives_so_many_whatever_of_it_has_a_label(tiny: Prepared) -> None:
    groups = np.where(np.arange(200) < 90, np.arange(200) % 3, -1).astype(np.int64)
    data = dataclasses.replace(tiny, groups=groups)
    assert trial.split(config(), data, 0, None).restriction is None, (
        "no limit unless it is asked for"
    )
    one = trial.split(config(acquisition={"per_group": 4}), data, 0, None)
    offered = groups[one.offer.unlabeled.numpy()]
    assert np.bincount(offered[offered >= 0]).tolist() == [4, 4, 4]
    alone = [index for index in one.problem.unlabeled.tolist() if groups[index] < 0]
    assert set(alone) <= set(one.offer.unlabeled.tolist())


def test_a_budget_beyond_the_new_pictures_is_spread_over_all_pictures(tiny: Prepared) -> None:
    data = repeated(tiny, 5)  # 20 scenes of five, of which S_0 has some
    checks.check(config(budget=20), data)
    scenes = np.asarray(data.clusters)
    one = trial.split(config(budget=20), data, 0, None)
    fresh = set(range(20)) - set(scenes[one.problem.labeled.numpy()].tolist())
    offered = np.bincount(scenes[one.offer.unlabeled.numpy()], minlength=20)[:20]
    free = np.bincount(scenes[one.problem.unlabeled.numpy()], minlength=20)[:20]
    assert len(fresh) < 20
    restriction = one.restriction
    assert restriction is not None
    assert restriction.fresh == len(fresh)
    assert restriction.sentence.startswith(f"only {len(fresh)} unlabeled images show something")
    limit = offered.max()
    assert (offered == np.minimum(free, limit)).all()
    assert np.minimum(free, limit - 1).sum() < 20 <= offered.sum(), "no more than the budget needs"


def test_a_budget_beyond_the_groups_is_refused_in_words(tiny: Prepared) -> None:
    groups = (np.arange(200) % 5).astype(np.int64)
    data = dataclasses.replace(tiny, groups=groups)
    with pytest.raises(BudgetError) as caught:
        checks.check(config(budget=21, acquisition={"per_group": 4}), data)
    assert str(caught.value) == (
        "budget 21 exceeds the 20 unlabeled images of tiny that at most 4 of a group leave; "
        "lower it to at most 20, or raise acquisition.per_group"
    )
    checks.check(config(budget=20, acquisition={"per_group": 4}), data)


def test_the_pool_of_a_partly_labeled_dataset_is_counted_exactly(
    tiny: Prepared, tmp_path: Path
) -> None:
    clusters = np.arange(92)
    clusters[40:60] = 40
    clusters[60:62] = 3  # copies of a labeled image
    data = partly(
        tmp_path,
        tiny,
        labeled=range(20),
        validation=range(20, 32),
        clusters=clusters.astype(np.int64),
    )
    assert int((data.roles == POOL).sum()) == 60
    fitted = checks.fit(config(budget=39), data)
    one = trial.split(fitted, data, 0, None)
    assert len(one.offer.unlabeled) == 39
    assert one.restriction is not None
    assert one.restriction.fresh == -1
    more = trial.split(checks.fit(config(budget=40), data), data, 0, None)
    assert more.restriction is not None
    assert more.restriction.fresh == 39
    assert len(more.offer.unlabeled) >= 40


def test_every_strategy_keeps_to_it_and_the_run_says_what_was_left_out(
    tiny: Prepared, tmp_path: Path
) -> None:
    clusters = np.repeat(np.arange(23), 4).astype(np.int64)
    data = partly(tmp_path, tiny, labeled=range(20), validation=range(20, 32), clusters=clusters)
    run = create_run(config(strategies=["margin", "random"]), data, Workspace(tmp_path), "cpu")
    events: list[Event] = []
    assert run_worker.work(run, events.append) == "done"
    notices = [event.message for event in events if isinstance(event, Noticed)]
    sentence = "45 of 60 unlabeled images are left out, so that no picture is paid for twice: 45 repeat another one"
    assert notices == [sentence]
    excluded = exclusions.load(run, 0)
    assert excluded is not None
    assert excluded.sentence == sentence
    assert len(excluded.indices) == 45
    for name in ("margin", "random"):
        chosen = run.load_table(f"trial-0/{name}/selection")["dataset_index"].to_numpy()
        assert len(set(clusters[chosen].tolist())) == 6
        assert excluded.spared(chosen) == [3] * 6
