"""A trial: how the data are split, what is refused, and who sees which label when."""

import contextlib
import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tiny import MemoryMemo, tiny_config

from rambo import checks, lineup
from rambo.checks import check
from rambo.config import Config
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.errors import BudgetError, ConfigError, DataError, RamboError, RunCancelled
from rambo.events import (
    ClassifierTrained,
    Emit,
    Event,
    StageFinished,
    StageStarted,
    StrategyEvaluated,
    StrategySelected,
    ignore,
)
from rambo.method.pools import UNLABELED, Selection
from rambo.runs.record import StoredEvent
from rambo.runs.results import Result
from rambo.strategies import STRATEGIES
from rambo.training.ensemble import Ensemble
from rambo.training.outcomes import Outcome, TrainingRecord
from rambo.training.units import FitUnit
from rambo.worker.trial import (
    BEST_OF_RANDOM,
    Trial,
    class_accuracies,
    draw_stratified,
    run_trial,
    split,
)

QUICK: dict[str, Any] = {
    "classifier": {"max_epochs": 1},
    "rambo": {
        "pairs_per_iteration": 2,
        "offline": {"pairs": 2, "repeated_pairs": 1},
        "utility_model": {"epochs": 1},
    },
}


@pytest.fixture
def unfixed(tiny: Prepared) -> Prepared:
    """The tiny dataset without a validation set of its own: 160 training images."""
    roles = np.where(np.array(tiny.roles) == TEST, TEST, POOL).astype(np.uint8)
    return dataclasses.replace(tiny, roles=roles)


def labelled(tiny: Prepared, labels: list[int], roles: list[int], classes: int) -> Prepared:
    """Return a dataset of black images with these labels and roles."""
    count = len(labels)
    return dataclasses.replace(
        tiny,
        images=np.zeros((count, 1, 28, 28), np.uint8),
        labels=np.array(labels, np.int64),
        roles=np.array(roles, np.uint8),
        classes=tuple(f"class {c}" for c in range(classes)),
    )


# The split.


def check_pools(trial: Trial, data: Prepared, k: int) -> None:
    """Hold a trial to what every split must be."""
    problem = trial.problem
    places = torch.cat([problem.labeled, problem.unlabeled, problem.validation, trial.test])
    assert sorted(places.tolist()) == list(range(len(data.labels)))  # disjoint and exhaustive
    assert len(problem.labeled) == k
    oracle = torch.from_numpy(data.labels)
    assert torch.equal(trial.oracle, oracle)
    check_classes(trial)
    bought = torch.cat([problem.labeled, problem.validation])
    assert torch.equal(problem.labels[bought], oracle[bought])
    hidden = torch.cat([problem.unlabeled, trial.test])
    assert (problem.labels[hidden] == UNLABELED).all()


def check_classes(trial: Trial) -> None:
    """Hold S_0 to an image of every class that the pool has, where k allows."""
    problem = trial.problem
    assert trial.oracle is not None
    pool = torch.cat([problem.labeled, problem.unlabeled])
    present = set(trial.oracle[pool].tolist())
    classes = problem.labels[problem.labeled].tolist()
    assert set(classes) <= present
    assert len(set(classes)) == len(present) or len(classes) < len(present)


@pytest.mark.parametrize("k", [4, 24, 99])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_pools_are_disjoint_exhaustive_and_every_class_has_a_label(
    tiny: Prepared, k: int, number: int
) -> None:
    trial = split(tiny_config(k=k, rambo={"initial_size": 2}), tiny, number, None)
    check_pools(trial, tiny, k)
    assert trial.problem.validation.tolist() == list(range(100, 160))  # as the dataset fixes it
    assert trial.test.tolist() == list(range(160, 200))


def test_a_trial_is_decided_by_seed_plus_number(tiny: Prepared) -> None:
    def labeled(seed: int, number: int) -> list[int]:
        trial = split(tiny_config(seed=seed), tiny, number, None)
        assert trial.seed == seed + number
        return trial.problem.labeled.tolist()

    assert labeled(0, 2) == labeled(2, 0) == labeled(1, 1)
    assert len({tuple(labeled(0, number)) for number in range(6)}) == 6


def test_the_split_depends_on_no_strategy_setting(tiny: Prepared) -> None:
    one = split(tiny_config(), tiny, 0, None).problem
    two = split(
        tiny_config(strategies=["margin"], budget=3, classifier={"max_epochs": 9}), tiny, 0, None
    ).problem
    for name in ("labeled", "unlabeled", "validation"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def test_labeled_images_beyond_one_a_class_are_uniform(tiny: Prepared) -> None:
    """Over 400 trials every image of the pool is labeled about k / 100 of the time."""
    config = tiny_config(k=30)
    counts = torch.zeros(200)
    for number in range(400):
        counts[split(config, tiny, number, None).problem.labeled] += 1
    assert (counts[100:] == 0).all()
    spread = math.sqrt(400 * 0.3 * 0.7)
    assert (counts[:100] - 120).abs().max() < 5 * spread


def test_validation_is_drawn_stratified_and_anew_where_the_dataset_fixes_none(
    unfixed: Prepared,
) -> None:
    config = tiny_config(dataset={"validation_size": 42})
    pools = set()
    for number in range(4):
        trial = split(config, unfixed, number, None)
        check_pools(trial, unfixed, 24)
        validation = trial.problem.validation
        assert len(validation) == 42
        # 40 images a class, 10.5 each: of equal remainders the first classes get one more
        assert trial.oracle[validation].bincount().tolist() == [11, 11, 10, 10]
        pools.add(tuple(validation.tolist()))
    assert len(pools) == 4


# What is wrong with the data.


def corrupted(**changes: Any) -> Config:
    return tiny_config(dataset={"corruption": changes})


def test_a_clean_split_is_what_it_was_before_corruption_existed(tiny: Prepared) -> None:
    """Literals of the split as it was; a stream that shifts would change every result kept so far."""
    labeled = split(tiny_config(), tiny, 0, None).problem.labeled
    assert labeled[:8].tolist() == [68, 29, 54, 39, 0, 20, 8, 24]
    assert labeled[8:16].tolist() == [3, 76, 89, 9, 65, 88, 52, 90]
    assert labeled[16:].tolist() == [74, 61, 69, 44, 42, 26, 21, 64]


@pytest.mark.parametrize("classes", [(), (0, 2)])
def test_a_noisy_oracle_errs_about_the_pool_alone(tiny: Prepared, classes: tuple[int, ...]) -> None:
    clean = split(tiny_config(), tiny, 1, None)
    trial = split(corrupted(label_noise=0.2, noisy_classes=classes), tiny, 1, None)
    problem, true = trial.problem, torch.from_numpy(tiny.labels)
    wrong = (trial.oracle != true).nonzero()[:, 0]
    assert len(wrong) == (20 if not classes else 10)
    assert torch.isin(wrong, torch.cat([problem.labeled, problem.unlabeled])).all()
    if classes:
        assert set(true[wrong].tolist()) == set(classes)
    assert torch.equal(problem.labels[problem.labeled], trial.oracle[problem.labeled])
    assert torch.equal(problem.labels[problem.validation], true[problem.validation])
    assert torch.equal(trial.oracle[trial.test], true[trial.test]), "the judge is clean"
    assert (problem.labels[problem.unlabeled] == UNLABELED).all()
    assert set(problem.labels[problem.labeled].tolist()) == set(range(4)), "each class as it reads"
    assert torch.equal(problem.validation, clean.problem.validation)
    chosen = problem.unlabeled[:30]
    revealed = trial.reveal(Selection(chosen, chosen))
    assert torch.equal(revealed[chosen], trial.oracle[chosen])
    again = split(corrupted(label_noise=0.2, noisy_classes=classes), tiny, 1, None)
    assert torch.equal(again.oracle, trial.oracle)


@pytest.mark.parametrize(("preset", "rest"), [("paper", 20), ("glister", 2)])
def test_rare_classes_are_rare_in_what_is_held_and_what_is_chosen_from(
    unfixed: Prepared, preset: str, rest: int
) -> None:
    """40 images a class less 15 for validation; one of four classes is rare."""
    settings = {"validation_size": 60, "corruption": {"imbalance": preset}}
    trial = split(tiny_config(dataset=settings), unfixed, 0, None)
    problem = trial.problem
    pool = torch.cat([problem.labeled, problem.unlabeled])
    assert sorted(trial.oracle[pool].bincount().tolist()) == [rest, 25, 25, 25]
    assert trial.oracle[problem.validation].bincount().tolist() == [15, 15, 15, 15]
    assert len(trial.test) == 40
    clean = split(tiny_config(dataset={"validation_size": 60}), unfixed, 0, None)
    assert torch.equal(clean.problem.validation, problem.validation), "drawn first"
    shrunk = torch.cat([clean.problem.labeled, clean.problem.unlabeled])
    shrunk = shrunk[~torch.isin(shrunk, pool)]
    assert len(shrunk) == 25 - rest
    assert (problem.labels[shrunk] == UNLABELED).all()
    assert len(problem.labeled) == 24
    assert set(trial.oracle[problem.labeled].tolist()) == set(range(4))


def test_labels_of_rare_classes_are_counted_in_every_choice(unfixed: Prepared) -> None:
    settings = {"validation_size": 60, "corruption": {"imbalance": "glister"}}
    trial = split(tiny_config(dataset=settings), unfixed, 0, None)
    pool = torch.cat([trial.problem.labeled, trial.problem.unlabeled])
    rare = int(trial.oracle[pool].bincount().argmin())
    desk = work(trial, Desk(), MemoryMemo(), strategies=["random", "margin"], dataset=settings)
    for name in ("random", "margin"):
        record = desk.records[0, name]
        labels = trial.oracle[torch.tensor(record.selected)]
        assert record.figures["labels of rare classes"] == int((labels == rare).sum())


def test_s_0_is_shared_by_all_kinds_of_imbalance(unfixed: Prepared) -> None:
    """Each keeps what is left of the balanced S_0, so that the cells of a study differ in what they ask about."""
    trials = {
        preset: split(
            tiny_config(dataset={"validation_size": 60, "corruption": {"imbalance": preset}}),
            unfixed,
            0,
            None,
        )
        for preset in ("none", "paper", "glister")
    }
    before = set(trials["none"].problem.labeled.tolist())
    for preset in ("paper", "glister"):
        problem = trials[preset].problem
        rest = before & set(torch.cat([problem.labeled, problem.unlabeled]).tolist())
        assert rest <= set(problem.labeled.tolist()), preset
        assert len(rest) >= 18


@pytest.mark.parametrize("fixture", ["tiny", "unfixed"])
def test_parts_of_s_val_are_nested_and_change_nothing_else(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(fixture)
    trials = [
        split(tiny_config(dataset={"validation_size": 60, "validation_part": part}), data, 0, None)
        for part in (8, 20, 60, None)
    ]
    parts = [set(trial.problem.validation.tolist()) for trial in trials]
    assert list(map(len, parts)) == [8, 20, 60, 60]
    assert parts[0] < parts[1] < parts[2] == parts[3]
    counts = [trial.problem.labels[trial.problem.validation].bincount() for trial in trials]
    assert counts[0].tolist() == [2] * 4
    for trial in trials[:3]:
        assert torch.equal(trial.problem.labeled, trials[3].problem.labeled)
        assert torch.equal(trial.problem.unlabeled, trials[3].problem.unlabeled)


def test_one_training_is_judged_by_every_part_of_s_val(tiny: Prepared) -> None:
    """Each accuracy is that of the part's own images; the second part finds the training of the first."""
    cached, memo = [], MemoryMemo()
    classifier = tiny_config(classifier={"max_epochs": 1}).classifier
    for part in (8, 20, 60):
        problem = split(tiny_config(dataset={"validation_part": part}), tiny, 0, None).problem
        ensemble = Ensemble(problem, classifier, seed=0, memo=memo)
        unit = ensemble.fit_unit(problem.labeled[:12], "labeled", predict=True)
        (outcome,) = ensemble.run([unit], ignore, lambda: None)
        probabilities = ensemble.predictions(unit, outcome).probabilities[problem.validation]
        right = probabilities.argmax(1) == problem.labels[problem.validation]
        assert outcome.training.accuracies["validation"] == float(right.double().mean())
        cached.append(outcome.cached)
    assert cached == [False, True, True]
    right = np.arange(60) % 3 == 0  # as if every third answer were right
    record = dataclasses.replace(
        outcome.training, right={"validation": np.packbits(right).tobytes().hex()}
    )
    small = split(tiny_config(dataset={"validation_part": 8}), tiny, 0, None).problem
    unit = Ensemble(small, classifier, seed=0, memo=memo).fit_unit(small.labeled, "labeled")
    judged = unit.judged(dataclasses.replace(outcome, record=record))
    own = torch.isin(problem.validation, small.validation).numpy()
    assert judged.training.accuracies["validation"] == right[own].mean()


def test_a_part_beyond_s_val_is_refused(tiny: Prepared, unfixed: Prepared) -> None:
    message = refused(ConfigError, tiny_config(dataset={"validation_part": 61}), tiny)
    assert message.startswith("dataset.validation_part 61 exceeds the 60 validation images of tiny")
    settings = {"validation_size": 40, "validation_part": 41}
    refused(ConfigError, tiny_config(dataset=settings), unfixed)


def test_a_size_of_s_val_that_the_dataset_decides_is_said(
    tiny: Prepared, unfixed: Prepared
) -> None:
    too_many = tiny_config(dataset={"validation_size": 300})
    assert checks.fit(too_many, tiny) is too_many, "the record keeps what was asked for"
    assert checks.with_own_validation(too_many, tiny).dataset.validation_size == 60
    assert checks.with_own_validation(too_many, unfixed) is too_many
    assert (
        checks.change_words(too_many, tiny) == "S_val is the 60 validation images that tiny brings"
    )
    assert checks.change_words(too_many, unfixed) == ""


def test_sizes_and_classes_that_corruption_breaks_are_refused(tiny: Prepared) -> None:
    glister = {"dataset": {"corruption": {"imbalance": "glister"}}}  # 77 images are left
    message = refused(ConfigError, tiny_config(k=77, budget=1, **glister), tiny)
    assert "77 images under dataset.corruption.imbalance glister" in message
    assert limits(message) == [76]
    check(tiny_config(k=76, budget=1, **glister), tiny)
    message = refused(BudgetError, tiny_config(budget=54, **glister), tiny)
    assert "under dataset.corruption.imbalance glister" in message
    assert limits(message) == [53]
    config = tiny_config(budget=53, **glister)
    check(config, tiny)
    assert len(split(config, tiny, 0, None).problem.unlabeled) == 53
    message = refused(ConfigError, corrupted(label_noise=0.1, noisy_classes=(1, 4)), tiny)
    assert message.startswith("dataset.corruption.noisy_classes 4: tiny has classes 0 to 3;")


def test_frozen_features_are_passed_on(tiny: Prepared) -> None:
    features = torch.randn(200, 3)
    assert split(tiny_config(), tiny, 0, features).problem.features is features
    assert split(tiny_config(), tiny, 0, None).problem.features is None


# Stratified draws.


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([5, 3, 2], 4, [2, 1, 1]),  # ideal 2.0, 1.2, 0.8
        ([4, 4, 4], 3, [1, 1, 1]),
        ([4, 4, 4], 4, [2, 1, 1]),  # ideal 4/3 each: the first
        ([97, 2, 1], 10, [10, 0, 0]),  # ideal 9.7, 0.2, 0.1
        ([7, 0, 3], 5, [4, 0, 1]),  # ideal 3.5, 0, 1.5: equal remainders, the first
        ([10, 1, 1], 6, [6, 0, 0]),  # ideal 5, 0.5, 0.5, but the last image of a class stays
        ([6, 2], 6, [5, 1]),
        ([5, 5, 1], 8, [4, 4, 0]),  # all but one image of each class
    ],
)
def test_stratified_counts_by_hand(counts: list[int], size: int, expected: list[int]) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    sample = draw_stratified(torch.arange(len(labels)), labels, size, torch.Generator())
    assert labels[sample].bincount(minlength=len(counts)).tolist() == expected


def test_stratified_draws_are_largest_remainders_for_any_histogram() -> None:
    """No image more in one class and one less in another would be nearer to the proportions."""
    generator = torch.Generator().manual_seed(0)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    for _ in range(200):
        classes = draw(1, 29)
        labels = torch.randint(0, classes, (300,), generator=generator) ** 2 % classes
        pool = torch.randperm(300, generator=generator)[: draw(2 * classes, 300)]
        counts = labels[pool].bincount(minlength=classes)
        room = (counts - 1).clamp(min=0)
        if int(room.sum()) < 1:
            continue
        size = draw(1, int(room.sum()))
        sample = draw_stratified(pool, labels, size, generator)
        assert len(sample) == size
        assert (sample.diff() > 0).all()  # sorted, none twice
        assert torch.isin(sample, pool).all()
        quota = labels[sample].bincount(minlength=classes)
        assert (quota <= room).all()  # one image of every class is left
        lack = counts * size - quota * len(pool)  # ideal less quota, times the size of the pool
        some, open_ = quota > 0, quota < room
        if some.any() and open_.any():
            assert (lack[some] + len(pool)).min() >= lack[open_].max()


def test_which_images_are_drawn_is_random() -> None:
    labels = torch.arange(40) % 2
    counts = torch.zeros(40)
    for seed in range(400):
        sample = draw_stratified(torch.arange(40), labels, 10, torch.Generator().manual_seed(seed))
        counts[sample] += 1
    assert (counts - 100).abs().max() < 5 * math.sqrt(400 * 0.25 * 0.75)


# What is refused.


def refused(kind: type[RamboError], config: Config, data: Prepared) -> str:
    """Return the one line with which a config is refused."""
    with pytest.raises(kind) as caught:
        check(config, data)
    message = str(caught.value)
    assert message.isprintable(), message
    return message


def limits(message: str) -> list[int]:
    """Return the numbers of the way out."""
    return [int(number) for number in re.findall(r"\d+", message.split(";")[1])]


def test_k_below_the_number_of_classes_is_the_usual_case(tiny: Prepared) -> None:
    """Then S_0 is any k images: over many trials each is labeled about equally often."""
    config = tiny_config(k=3, rambo={"initial_size": 2})
    check(config, tiny)
    counts = torch.zeros(200)
    for number in range(600):
        labeled = split(config, tiny, number, None).problem.labeled
        assert len(labeled) == 3
        counts[labeled] += 1
    assert (counts[100:] == 0).all()
    assert (counts[:100] - 18).abs().max() < 5 * math.sqrt(600 * 0.03 * 0.97)


@pytest.mark.parametrize("k", [100, 101, 1_000_000])
def test_k_beyond_the_pool_is_refused(tiny: Prepared, k: int) -> None:
    message = refused(ConfigError, tiny_config(k=k, budget=1), tiny)
    assert message.startswith(f"k {k} leaves nothing to choose from")
    assert "100 images" in message
    assert limits(message) == [99]
    check(tiny_config(k=99, budget=1), tiny)


@pytest.mark.parametrize("budget", [77, 1_000_000])
def test_a_budget_beyond_the_unlabeled_pool_is_refused(tiny: Prepared, budget: int) -> None:
    message = refused(BudgetError, tiny_config(budget=budget), tiny)
    assert message.startswith(f"budget {budget} exceeds the 76 unlabeled images of tiny")
    assert limits(message) == [76]
    check(tiny_config(budget=76), tiny)


@pytest.mark.parametrize("size", [2, 3, 156, 100_000])
def test_a_validation_size_that_leaves_too_little_is_refused(unfixed: Prepared, size: int) -> None:
    config = tiny_config(dataset={"validation_size": size}, k=4, rambo={"initial_size": 2})
    message = refused(ConfigError, config, unfixed)
    assert message.startswith(f"dataset.validation_size {size} does not fit tiny")
    lowest, highest = limits(message)
    for fits in (lowest, highest):
        legal = tiny_config(
            dataset={"validation_size": fits}, k=4, budget=1, rambo={"initial_size": 2}
        )
        check(legal, unfixed)
        check_pools(split(legal, unfixed, 0, None), unfixed, 4)


def test_a_fixed_validation_set_makes_its_size_irrelevant(tiny: Prepared) -> None:
    check(tiny_config(dataset={"validation_size": 100_000}), tiny)


def test_a_drawn_validation_set_counts_against_k_and_budget(unfixed: Prepared) -> None:
    config = tiny_config(dataset={"validation_size": 60})
    check(config, unfixed)
    message = refused(
        ConfigError, tiny_config(dataset={"validation_size": 60}, k=100, budget=1), unfixed
    )
    assert "100 images" in message
    assert limits(
        refused(BudgetError, tiny_config(dataset={"validation_size": 60}, budget=77), unfixed)
    ) == [76]


def test_a_class_without_an_image_in_the_pool_is_no_error(tiny: Prepared) -> None:
    labels = np.array(tiny.labels)
    labels[:100][labels[:100] == 2] = 1  # validation and test still have it
    data = dataclasses.replace(tiny, labels=labels)
    check(tiny_config(), data)
    problem = split(tiny_config(), data, 0, None).problem
    assert len(problem.labeled) == 24
    assert set(problem.labels[problem.labeled].tolist()) == {0, 1, 3}
    assert 2 in problem.labels[problem.validation].tolist()


def test_a_dataset_without_test_images_is_refused(tiny: Prepared) -> None:
    roles = np.where(np.array(tiny.roles) == TEST, VALIDATION, tiny.roles).astype(np.uint8)
    message = refused(DataError, tiny_config(), dataclasses.replace(tiny, roles=roles))
    assert message.startswith("dataset.name tiny: it has no test images;")


def complaint(config: Config, data: Prepared) -> str:
    """Return the refusal of a config, or an empty text where it fits."""
    try:
        check(config, data)
    except RamboError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("corrupt", [True, False])
def test_any_histogram_of_labels_is_refused_or_split(
    tiny: Prepared, fixed: bool, corrupt: bool
) -> None:
    """Classes with 0, 1 or 2 images, one class only: a clear refusal, or a whole split."""
    rng = np.random.default_rng(3)
    outcomes = {"split": 0, "refused": 0}
    for _ in range(600):
        classes = int(rng.integers(2, 9))
        counts = rng.integers(0 if rng.random() < 0.2 else 1, 12 if corrupt else 6, classes)
        labels = np.repeat(np.arange(classes), counts).tolist()
        roles = [POOL] * len(labels)
        if fixed:
            labels += list(range(classes))
            roles += [VALIDATION] * classes
        labels += [0, 1]
        roles += [TEST] * 2
        data = labelled(tiny, labels, roles, classes)
        k = int(rng.integers(2, 12))
        dataset: dict[str, Any] = {"validation_size": int(rng.integers(2, 12))}
        config = tiny_config(
            k=k,
            budget=int(rng.integers(1, 8)),
            seed=int(rng.integers(0, 1000)),
            rambo={"initial_size": 2},
            dataset=dataset | ({"corruption": corruption_of(rng)} if corrupt else {}),
        )
        if message := complaint(config, data):
            assert message.isprintable()
            outcomes["refused"] += 1
            continue
        trial = split(config, data, 0, None)
        problem = trial.problem
        if corrupt:
            assert len(problem.labeled) == k
            check_classes(trial)
        else:
            check_pools(trial, data, k)
        assert len(problem.unlabeled) >= config.budget
        outcomes["split"] += 1
    assert min(outcomes.values()) > 20, outcomes


def corruption_of(rng: np.random.Generator) -> dict[str, Any]:
    """Return any corruption; the classes it names are there."""
    return {
        "label_noise": float(rng.choice([0, 0.2, 0.9])),
        "noisy_classes": rng.integers(0, 2, int(rng.integers(0, 3))).tolist(),
        "imbalance": str(rng.choice(["none", "paper", "glister"])),
    }


# A whole trial.


class Desk:
    """Keeps the events, choices and results of trials in memory."""

    def __init__(self) -> None:
        self.attempt = 0
        self.entries: list[StoredEvent] = []
        self.events: list[tuple[int, str | None, Event]] = []
        self.records: dict[tuple[int, str], Result] = {}
        self.selections: dict[tuple[int, str], Selection] = {}
        self.arrays: dict[tuple[int, str], dict[str, np.ndarray]] = {}
        self.log: list[tuple[str, str]] = []
        self.stop: Callable[[Event], bool] = lambda event: False

    def listener(self, trial: int, strategy: str | None) -> Emit:
        def listen(event: Event) -> None:
            self.events.append((trial, strategy, event))
            seq = len(self.entries) + 1
            self.entries.append(StoredEvent(seq, self.attempt, trial, strategy, 0.0, event))
            if self.stop(event):
                raise RunCancelled

        return listen

    def past(self, trial: int, strategy: str | None) -> list[StoredEvent]:
        own = [entry for entry in self.entries if entry.place == (trial, strategy)]
        return [entry for entry in own if entry.attempt < self.attempt]

    def find(self, trial: int, strategy: str) -> Result | None:
        return self.records.get((trial, strategy))

    def keep_selection(self, result: Result, selection: Selection) -> None:
        self.log.append(("chosen", result.strategy))
        self.records[result.trial, result.strategy] = result
        self.selections[result.trial, result.strategy] = selection

    def keep_result(self, result: Result) -> None:
        self.log.append(("evaluated", result.strategy))
        self.records[result.trial, result.strategy] = result

    def is_whole(self, result: Result) -> bool:
        return True

    def has_arrays(self, trial: int, name: str) -> bool:
        return (trial, name) in self.arrays

    def keep_arrays(self, trial: int, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        assert (trial, name) not in self.arrays, "kept twice"
        self.log.append(("drawn", name))
        self.arrays[trial, name] = dict(arrays)

    def bytes(self) -> dict[tuple[int, str], dict[str, bytes]]:
        """Return what is drawn, as bytes."""
        return {
            place: {name: array.tobytes() for name, array in arrays.items()}
            for place, arrays in self.arrays.items()
        }

    def comparable(self) -> dict[tuple[int, str], dict[str, Any]]:
        """Return the records less what depends on speed and on what was found."""
        varying = ("seconds", "trainings", "cached_trainings")
        return {
            place: {
                name: value
                for name, value in dataclasses.asdict(record).items()
                if name not in varying
            }
            for place, record in self.records.items()
        }


def work(trial: Trial, desk: Desk, memo: MemoryMemo, **changes: Any) -> Desk:
    config = tiny_config(**(QUICK | changes))
    desk.attempt += 1
    run_trial(trial, 0, config, keeper=desk, memo=memo, device="cpu", jobs=1)
    return desk


@pytest.fixture(scope="module")
def trial(tiny: Prepared) -> Trial:
    return split(tiny_config(**QUICK), tiny, 0, None)


@pytest.fixture(scope="module")
def done(trial: Trial) -> tuple[Desk, MemoryMemo, list[FitUnit]]:
    """A trial of all four strategies, its memory, and every unit that was asked for."""
    units: list[FitUnit] = []
    real = Ensemble.run

    def spy(self: Ensemble, demands: Any, emit: Emit, ended: Any) -> Any:
        units.extend(unit for unit in demands if isinstance(unit, FitUnit))
        return real(self, demands, emit, ended)

    memo = MemoryMemo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ensemble, "run", spy)
        return work(trial, Desk(), memo), memo, units


NAMES = ["rambo", "filter-only", "margin", "random"]


def test_every_strategy_chooses_before_any_label_is_revealed(
    done: tuple[Desk, MemoryMemo, list[FitUnit]],
) -> None:
    desk = done[0]
    expected = [("chosen", "rambo"), ("drawn", "atlas"), ("drawn", "rambo/served")]
    for name in NAMES[1:]:
        expected += [("chosen", name), ("drawn", f"{name}/served")]
    assert desk.log == expected + [("evaluated", n) for n in NAMES]
    roles = [e.role for _, _, e in desk.events if isinstance(e, ClassifierTrained)]
    assert roles[-4:] == ["evaluation"] * 4
    assert "evaluation" not in roles[:-4]


def test_a_result_holds_what_show_prints(
    done: tuple[Desk, MemoryMemo, list[FitUnit]], trial: Trial
) -> None:
    desk = done[0]
    for name in NAMES:
        record, selection = desk.records[0, name], desk.selections[0, name]
        assert record.strategy == name
        assert record.seed == trial.seed
        assert record.selected == selection.indices.tolist()
        assert record.steps == selection.steps.tolist()
        for measure in ("validation_accuracy", "test_accuracy"):
            assert 0 <= getattr(record, measure) <= 1
        assert record.seconds["evaluation"] > 0
        assert ("offline" in record.seconds) is (name == "rambo")
        assert bool(record.ranking) is (name == "rambo")
        own = [e for _, strategy, e in desk.events if strategy == name]
        (selected,) = [e for e in own if isinstance(e, StrategySelected)]
        (evaluated,) = [e for e in own if isinstance(e, StrategyEvaluated)]
        assert (selected.strategy, selected.budget) == (name, 12)
        assert evaluated == StrategyEvaluated(
            name, record.validation_accuracy, record.test_accuracy
        )
        stages = {e.stage: round(e.seconds, 3) for e in own if isinstance(e, StageFinished)}
        assert record.seconds == stages | {"evaluation": record.seconds["evaluation"]}


def test_trainings_are_counted_as_they_were_told(
    done: tuple[Desk, MemoryMemo, list[FitUnit]],
) -> None:
    desk, _, units = done
    hits = [e.cached for _, _, e in desk.events if isinstance(e, ClassifierTrained)]
    assert sum(record.trainings for record in desk.records.values()) == hits.count(False)
    assert sum(r.cached_trainings for r in desk.records.values()) == hits.count(True)
    assert len(hits) == len(units)
    # rambo: 4 offline, 2 repeats, S_0..S_3; then f on S_0 is found again; one evaluation each
    expected = {"rambo": (11, 0), "filter-only": (1, 1), "margin": (1, 1), "random": (1, 0)}
    assert {
        name: (desk.records[0, name].trainings, desk.records[0, name].cached_trainings)
        for name in NAMES
    } == expected


def test_f_and_seeds_are_the_same_for_all_strategies(
    done: tuple[Desk, MemoryMemo, list[FitUnit]], trial: Trial
) -> None:
    _, _, units = done
    whole = trial.problem.labeled.sort().values.tolist()
    on_s_0 = [u for u in units if u.role == "labeled" and u.subset.tolist() == whole]
    assert len(on_s_0) == 3  # rambo, filter-only, margin
    assert len({unit.key for unit in on_s_0}) == 1
    evaluations = [unit for unit in units if unit.role == "evaluation"]
    assert len(evaluations) == 4
    assert len({unit.seed for unit in evaluations}) == 1


def test_a_choice_is_judged_by_the_mean_of_several_trainings(
    done: tuple[Desk, MemoryMemo, list[FitUnit]], trial: Trial, tiny: Prepared
) -> None:
    """The first of three is the one of a single evaluation; the choice itself does not change."""
    desk, memo, _ = done
    strategies = {"strategies": ["margin", "random"]}
    thrice = work(trial, Desk(), memo, **strategies, evaluation={"repeats": 3})
    truth = tiny.labels[160:]
    for name in ("margin", "random"):
        record, alone = thrice.records[0, name], desk.records[0, name]
        assert record.selected == alone.selected
        assert len(record.test_trainings) == 3
        assert record.test_trainings[0] == alone.test_accuracy == alone.test_trainings[0]
        assert record.test_accuracy == pytest.approx(np.mean(record.test_trainings))
        assert record.validation_accuracy == pytest.approx(np.mean(record.validation_trainings))
        assert (record.trainings, record.cached_trainings) in ((2, 2), (2, 1))
        # The tiny classes are of one size, so balanced accuracy is the plain one.
        assert np.bincount(truth).tolist() == [10] * 4
        assert record.balanced_test_accuracy == pytest.approx(record.test_accuracy)
        assert len(record.test_classes) == len(record.validation_classes) == 4
    fits = [e for _, _, e in thrice.events if isinstance(e, ClassifierTrained)]
    places = [e.index for e in fits if e.role == "evaluation"]
    assert sorted(places) == list(range(6)), "each has a place of its own"


def test_accuracies_of_classes_leave_out_those_without_images(trial: Trial) -> None:
    """Of class 0 two of three are right, of class 2 one of one; nobody asked about 1 and 3."""
    unit = Ensemble(trial.problem, tiny_config().classifier, seed=0, memo=MemoryMemo()).fit_unit(
        trial.problem.labeled, "evaluation"
    )
    truth = np.array([0, 2, 0, 0])
    unit = dataclasses.replace(unit, measured={"test": (np.arange(4), truth)}, num_classes=4)
    right = np.array([True, True, False, True])
    older = TrainingRecord(accuracies={"test": 0.75}, epochs=1, seconds=1.0)
    record = dataclasses.replace(older, right={"test": np.packbits(right).tobytes().hex()})
    shares = class_accuracies([unit], [Outcome(record, {}, cached=True)], "test")
    assert shares == [pytest.approx(2 / 3), None, 1.0, None]
    assert class_accuracies([unit], [Outcome(older, {}, cached=True)], "test") == []


def test_the_evaluation_trains_on_s_1_with_revealed_labels_and_on_nothing_else(
    done: tuple[Desk, MemoryMemo, list[FitUnit]], trial: Trial, tiny: Prepared
) -> None:
    desk, _, units = done
    evaluations = [unit for unit in units if unit.role == "evaluation"]
    for name, unit in zip(NAMES, evaluations, strict=True):
        chosen = desk.records[0, name].selected
        grown = sorted(trial.problem.labeled.tolist() + chosen)
        assert unit.subset.tolist() == grown
        assert unit.labels.tolist() == tiny.labels[grown].tolist()
        assert list(unit.measured) == ["validation", "test"]
        indices, truth = unit.measured["test"]
        assert indices.tolist() == trial.test.tolist()
        assert truth.tolist() == tiny.labels[160:].tolist()
        assert len(unit.predicted) == 0


def test_before_the_choice_no_unit_reads_a_label_outside_the_bought_ones(
    done: tuple[Desk, MemoryMemo, list[FitUnit]], trial: Trial
) -> None:
    labeled = set(trial.problem.labeled.tolist())
    test = set(trial.test.tolist())
    _, _, units = done
    before = [unit for unit in units if unit.role != "evaluation"]
    assert len(before) == 12
    for unit in before:
        assert set(unit.subset.tolist()) <= labeled
        assert list(unit.measured) == ["validation"]
        assert unit.measured["validation"][0].tolist() == trial.problem.validation.tolist()
        assert not test & set(unit.predicted.tolist())


def test_an_oracle_with_other_answers_changes_accuracies_but_no_choice(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]]
) -> None:
    """One round: what the labels turn out to be is known after the choice only."""
    desk, memo, _ = done
    oracle = trial.oracle.clone()
    hidden = torch.cat([trial.problem.unlabeled, trial.test])
    oracle[hidden] = (oracle[hidden] + 1) % 4
    other = work(dataclasses.replace(trial, oracle=oracle), Desk(), memo)
    for name in NAMES:
        one, two = desk.records[0, name], other.records[0, name]
        assert one.selected == two.selected
        assert one.test_accuracy != two.test_accuracy


def test_reveal_shows_the_chosen_labels_only(trial: Trial) -> None:
    chosen = trial.problem.unlabeled[[3, 50, 17]]
    before = trial.problem.labels.clone()
    labels = trial.reveal(Selection(chosen, torch.zeros(3, dtype=torch.int64)))
    assert torch.equal(labels[chosen], trial.oracle[chosen])
    assert int((labels != before).sum()) == 3
    assert torch.equal(trial.problem.labels, before)


def test_what_is_kept_is_not_done_again(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]]
) -> None:
    desk = Desk()
    desk.records, desk.arrays = dict(done[0].records), dict(done[0].arrays)
    work(trial, desk, MemoryMemo())
    assert desk.events == []
    assert desk.log == []
    # One that was chosen but not evaluated is evaluated, and nothing else is done.
    record = desk.records[0, "margin"]
    desk.records[0, "margin"] = dataclasses.replace(
        record, validation_accuracy=None, test_accuracy=None
    )
    work(trial, desk, done[1])
    assert desk.log == [("evaluated", "margin")]
    assert [e.stage for _, _, e in desk.events if isinstance(e, StageStarted)] == ["evaluation"]
    again, first = desk.comparable(), done[0].comparable()
    assert again == first


def trainings_of(desk: Desk) -> dict[tuple[int, str], tuple[int, int]]:
    """Return how many classifiers each strategy trained, and how many it found."""
    return {
        place: (record.trainings, record.cached_trainings) for place, record in desk.records.items()
    }


@pytest.mark.parametrize("event", [3, 12, 30, 45])
def test_a_stopped_trial_goes_on_to_the_same_results(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]], event: int
) -> None:
    desk, memo = Desk(), MemoryMemo()
    desk.stop = lambda _: len(desk.events) == event
    with pytest.raises(RunCancelled):
        work(trial, desk, memo)
    count = len(memo.results)
    desk.stop = lambda _: False
    before = len(desk.events)
    work(trial, desk, memo)
    assert desk.comparable() == done[0].comparable()
    assert desk.bytes() == done[0].bytes()
    assert trainings_of(desk) == trainings_of(done[0])
    later = [e for _, _, e in desk.events[before:] if isinstance(e, ClassifierTrained)]
    fits = [record for record, _ in list(memo.results.values())[count:] if "accuracies" in record]
    assert sum(not e.cached for e in later) == len(fits)  # nothing kept was trained again


def test_a_trial_stopped_again_and_again_counts_every_training_once(trial: Trial) -> None:
    """It is stopped after each training, of a strategy, of the evaluation and of the oracle's sets."""
    settings: dict[str, Any] = {"strategies": ["margin", "random"], "oracle_draws": 2}
    whole = work(trial, Desk(), MemoryMemo(), **settings)
    assert trainings_of(whole) == {
        (0, "margin"): (2, 0),
        (0, "random"): (1, 0),
        (0, BEST_OF_RANDOM): (2, 0),
    }
    desk, memo = Desk(), MemoryMemo()
    desk.stop = lambda event: isinstance(event, ClassifierTrained) and not event.cached
    for _ in range(5):
        with pytest.raises(RunCancelled):
            work(trial, desk, memo, **settings)
    work(trial, desk, memo, **settings)
    assert trainings_of(desk) == trainings_of(whole)


def test_what_another_run_trained_is_found_by_a_stopped_trial_too(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]]
) -> None:
    desk = Desk()
    desk.stop = lambda event: isinstance(event, ClassifierTrained) and event.role == "evaluation"
    for _ in range(2):
        with contextlib.suppress(RunCancelled):
            work(trial, desk, done[1], strategies=["margin", "random"])
        desk.stop = lambda event: False
    assert trainings_of(desk) == {(0, "margin"): (0, 2), (0, "random"): (0, 1)}


def test_a_strategy_left_alone_for_the_evaluation_keeps_its_place(trial: Trial) -> None:
    """Stopped between the two results: the second is evaluated alone, with what was trained before."""
    desk, memo = Desk(), MemoryMemo()
    desk.stop = lambda event: isinstance(event, StrategyEvaluated)
    with pytest.raises(RunCancelled):
        work(trial, desk, memo, strategies=["random", "margin"])
    assert [r.state for r in desk.records.values()] == ["evaluated", "selected"]
    desk.stop = lambda event: False
    work(trial, desk, memo, strategies=["random", "margin"])
    assert trainings_of(desk) == {(0, "random"): (1, 0), (0, "margin"): (2, 0)}


# What the pages draw.


def test_drawing_changes_no_record_whatever_the_order_of_the_strategies(trial: Trial) -> None:
    """Random needs no f: the atlas waits for margin's, and margin's training is counted as ever."""
    desk = work(trial, Desk(), MemoryMemo(), strategies=["random", "margin"])
    assert [what for what in desk.log if what[0] != "evaluated"] == [
        ("chosen", "random"),
        ("chosen", "margin"),
        ("drawn", "atlas"),
        ("drawn", "random/served"),
        ("drawn", "margin/served"),
    ]
    counts = {
        name: (desk.records[0, name].trainings, desk.records[0, name].cached_trainings)
        for name in ("random", "margin")
    }
    assert counts == {"random": (1, 0), "margin": (2, 0)}


def test_where_only_random_runs_f_is_trained_for_the_atlas_and_told_as_the_trials(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]]
) -> None:
    desk = work(trial, Desk(), MemoryMemo(), strategies=["random"])
    record = desk.records[0, "random"]
    assert (record.trainings, record.cached_trainings) == (1, 0)
    stages = [
        (strategy, event.role)
        for _, strategy, event in desk.events
        if isinstance(event, ClassifierTrained)
    ]
    assert stages == [(None, "labeled"), (None, "evaluation")]
    assert "classifier" not in record.seconds
    for name in ("atlas", "random/served"):
        assert desk.bytes()[0, name] == done[0].bytes()[0, name]


def test_what_is_missing_is_drawn_again_in_the_same_bytes(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]]
) -> None:
    """As after a kill between a choice and its picture."""
    for name in ("atlas", "margin/served"):
        desk = Desk()
        desk.records, desk.arrays = dict(done[0].records), dict(done[0].arrays)
        del desk.arrays[0, name]
        work(trial, desk, done[1])
        assert desk.log == [("drawn", name)]
        assert desk.events == []
        assert desk.bytes() == done[0].bytes()


def test_the_atlas_shows_what_f_said_to_the_strategies(
    trial: Trial, done: tuple[Desk, MemoryMemo, list[FitUnit]]
) -> None:
    desk = done[0]
    arrays, selection = desk.arrays[0, "atlas"], desk.selections[0, "margin"]
    rows = np.searchsorted(arrays["indices"], selection.indices.numpy())
    guesses = arrays["probabilities"][rows].argmax(1)
    assert guesses.tolist() == selection.evidence["predicted_class"].tolist()
    pools = desk.selections[0, "rambo"].arrays["pools"]
    rows = np.searchsorted(arrays["indices"], pools["indices"].numpy())
    np.testing.assert_array_equal(arrays["embeddings"][rows], pools["embeddings"].numpy())
    for name in NAMES:
        chosen = desk.records[0, name].selected
        assert desk.arrays[0, f"{name}/served"]["chosen"].tolist() == chosen


# The best of random choices.


def oracle_of(desk: Desk) -> Result:
    return desk.records[0, BEST_OF_RANDOM]


def test_the_oracle_keeps_the_best_of_its_random_sets_by_validation(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    units: list[FitUnit] = []
    real, by_draw = Ensemble.run, dict[int, float]()

    def spy(self: Ensemble, demands: Any, emit: Emit, ended: Any) -> Any:
        outcomes = real(self, demands, emit, ended)
        for unit, outcome in zip(demands, outcomes, strict=True):
            if isinstance(unit, FitUnit) and unit.role == "evaluation":
                by_draw[len(units)] = outcome.training.accuracies["validation"]
                units.append(unit)
        return outcomes

    monkeypatch.setattr(Ensemble, "run", spy)
    desk = work(trial, Desk(), MemoryMemo(), strategies=["random"], oracle_draws=3)
    assert len(units) == 1 + 3
    choices = [set(unit.subset.tolist()) - set(trial.problem.labeled.tolist()) for unit in units]
    assert len({tuple(sorted(images)) for images in choices}) == 4, "sets of its own"
    for unit, images in zip(units[1:], choices[1:], strict=True):
        assert len(images) == 12
        assert images <= set(trial.problem.unlabeled.tolist())
        assert np.array_equal(unit.labels, trial.oracle[torch.from_numpy(unit.subset)])
        assert unit.seed == units[0].seed, "compared in pairs"
    record = oracle_of(desk)
    best = max((1, 2, 3), key=lambda place: by_draw[place])
    assert set(record.selected) == choices[best]
    assert record.validation_accuracy == by_draw[best] == max(by_draw[i] for i in (1, 2, 3))
    assert 0 <= record.test_accuracy <= 1
    assert (record.strategy, record.seed) == (BEST_OF_RANDOM, 0)
    assert record.steps == [0] * 12
    assert record.figures == {"random sets": 3}
    assert (record.trainings, record.cached_trainings) == (3, 0)


def test_the_oracles_best_is_judged_as_often_as_a_choice(trial: Trial) -> None:
    memo = MemoryMemo()
    once = oracle_of(work(trial, Desk(), memo, strategies=["random"], oracle_draws=3))
    desk = work(
        trial, Desk(), memo, strategies=["random"], oracle_draws=3, evaluation={"repeats": 3}
    )
    record = oracle_of(desk)
    assert record.selected == once.selected, "one training picks"
    assert len(record.test_trainings) == len(desk.records[0, "random"].test_trainings) == 3
    assert record.test_trainings[0] == once.test_accuracy
    assert record.test_accuracy == pytest.approx(sum(record.test_trainings) / 3)
    assert len(record.test_classes) == len(desk.records[0, "random"].test_classes) > 0
    assert (record.trainings, record.cached_trainings) == (2, 3)


def test_the_oracle_is_no_strategy_and_chooses_nothing(trial: Trial) -> None:
    assert BEST_OF_RANDOM not in STRATEGIES
    assert BEST_OF_RANDOM not in lineup.names()
    desk = work(trial, Desk(), MemoryMemo(), strategies=["random"], oracle_draws=2)
    assert ("chosen", BEST_OF_RANDOM) not in desk.log
    assert desk.log[-1] == ("evaluated", BEST_OF_RANDOM)
    assert (0, f"{BEST_OF_RANDOM}/served") not in desk.arrays
    stages = [(s, e.stage) for _, s, e in desk.events if isinstance(e, StageStarted)]
    assert stages[-1] == (None, "oracle")
    without_it = work(trial, Desk(), MemoryMemo(), strategies=["random"])
    assert (0, BEST_OF_RANDOM) not in without_it.records
    result = desk.comparable()[0, "random"]
    assert result == without_it.comparable()[0, "random"], "it changes no other result"


def test_more_draws_begin_with_the_same_ones(trial: Trial) -> None:
    memo = MemoryMemo()
    fewer = work(trial, Desk(), memo, strategies=["random"], oracle_draws=2)
    more = work(trial, Desk(), memo, strategies=["random"], oracle_draws=3)
    record = oracle_of(more)
    assert (record.trainings, record.cached_trainings) == (1, 2)
    assert record.validation_accuracy >= oracle_of(fewer).validation_accuracy


@pytest.mark.parametrize("draw", [1, 2])
def test_a_stopped_oracle_goes_on_to_the_same_record(trial: Trial, draw: int) -> None:
    whole = work(trial, Desk(), MemoryMemo(), strategies=["random"], oracle_draws=3)
    desk, memo, emitted = Desk(), MemoryMemo(), list[Event]()

    def stop(event: Event) -> bool:
        if (0, "random") in desk.records and desk.records[0, "random"].state == "evaluated":
            emitted.append(event)
        trained = [e for e in emitted if isinstance(e, ClassifierTrained)]
        return len(trained) == draw

    desk.stop = stop
    with pytest.raises(RunCancelled):
        work(trial, desk, memo, strategies=["random"], oracle_draws=3)
    assert (0, BEST_OF_RANDOM) not in desk.records
    desk.stop = lambda _: False
    before = len(desk.events)
    work(trial, desk, memo, strategies=["random"], oracle_draws=3)
    assert desk.comparable() == whole.comparable()
    later = [e.cached for _, _, e in desk.events[before:] if isinstance(e, ClassifierTrained)]
    assert sorted(later) == [False] * (3 - draw) + [True] * draw
    assert trainings_of(desk) == trainings_of(whole)
    before = len(desk.events)
    work(trial, desk, memo, strategies=["random"], oracle_draws=3)
    assert len(desk.events) == before, "what is kept is not done again"


def test_llal_beside_logistic_heads_is_refused(tiny: Prepared) -> None:
    logistic = {"classifier": {"name": "logistic"}}
    message = refused(ConfigError, tiny_config(strategies=["llal"], **logistic), tiny)
    assert message == (
        "strategies llal: a logistic head has no layers to tap; leave llal out, or choose mnistnet or "
        "resnet18 as classifier.name"
    )
    check(tiny_config(strategies=["llal"]), tiny)
    check(tiny_config(**logistic), tiny)
