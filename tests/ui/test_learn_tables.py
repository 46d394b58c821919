"""The shipped tables: made by the script, whole, and the page's arithmetic on them is the core's."""

import json

import numpy as np
import pytest
import torch

from rambo.config import LogisticConfig
from rambo.datasets.prepared import POOL, TEST
from rambo.method.utility_samples import interpolate_utilities
from rambo.training import heads as core
from rambo.ui.learn import beat, filters, heads, interpolation, rounds, tables, which
from rambo.ui.learn import steps as steps_of

NAMES = ("boards", "transport", "rounds", "pairs", "interpolation", "filters")


@pytest.mark.parametrize("name", NAMES)
def test_a_table_says_how_to_make_it_again(name: str) -> None:
    table = json.loads((tables.FOLDER / f"{name}.json").read_bytes())
    assert table["made_by"] == f"python -m benchmarks.learn_tables {name}"
    assert "seed" in table["settings"] or "seeds" in table["settings"]


def test_the_tables_are_small() -> None:
    sizes = {file.name: file.stat().st_size for file in tables.FOLDER.iterdir()}
    assert sum(sizes.values()) < 1_000_000, sizes


def test_a_move_looks_its_thumbnails_up_by_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    monkeypatch.setattr(tables, "_sheet", keys.append)
    tables.sheet(range(900))
    tables.sheet(iter(range(900)))
    assert [type(key) for key in keys] == [bytes, bytes]  # numbers would be hashed one by one
    assert keys[0] == keys[1]
    monkeypatch.undo()
    assert tables.sheet([5, 3]).ids == (5, 3)
    assert tables.sheet([5, 3]) is tables.sheet((5, 3))


def test_a_head_of_the_page_is_a_head_of_the_core() -> None:
    board = tables.read(tables.Boards).boards[0]
    universe = np.array(sorted([*board.labeled, *board.choices["rambo"]]))
    members = np.stack([np.isin(universe, board.labeled), np.ones(len(universe), bool)])
    features, labels = tables.pixels(), tables.dataset()[1]
    universe = universe.astype(np.int64)
    ours = heads.fit_heads(features[universe], labels[universe], members, num_classes=10)
    settings = LogisticConfig()
    theirs = core.fit_heads(
        torch.from_numpy(features[universe]),
        torch.from_numpy(labels[universe]),
        torch.from_numpy(members),
        num_classes=10,
        l2=settings.l2,
        iterations=settings.iterations,
    )
    np.testing.assert_allclose(ours.weights, theirs.weights.numpy(), atol=1e-5)
    np.testing.assert_allclose(ours.biases, theirs.biases.numpy(), atol=1e-5)
    images = features[:500]
    expected = theirs.logits(torch.from_numpy(images)).argmax(2).numpy()
    assert (ours.guesses(images) == expected).mean() > 0.999


@pytest.mark.parametrize("number", range(10))
def test_a_board_is_fair(number: int) -> None:
    """Every choice has the budget and comes from the pool; the judges' images are in no pool."""
    board, roles = tables.read(tables.Boards).boards[number], tables.dataset()[2]
    pool = set(board.unlabeled)
    assert len(board.labeled) == 40
    assert len(pool) == 200
    assert not pool & set(board.labeled)
    assert (roles[[*pool, *board.labeled]] == POOL).all()
    for name, choice in board.choices.items():
        assert len(set(choice)) == beat.BUDGET, name
        assert set(choice) <= pool, name
    assert len(board.luck) == 100
    assert board.luck == sorted(board.luck)
    assert (roles == TEST).sum() == 1000


def test_the_page_s_f_is_right_where_the_core_s_is() -> None:
    """What the page trains on the spot and what a run's evaluation would have said of the same choice."""
    board = tables.read(tables.Boards).boards[2]
    features, (_, labels, roles) = tables.pixels(), tables.dataset()
    test = np.flatnonzero(roles == TEST)
    for name, choice in {"": [], **board.choices}.items():
        grown = np.array(sorted([*board.labeled, *choice]))
        fitted = core.fit_heads(
            torch.from_numpy(features[grown]),
            torch.from_numpy(labels[grown]),
            torch.ones(1, len(grown), dtype=torch.bool),
            num_classes=10,
            l2=LogisticConfig().l2,
            iterations=LogisticConfig().iterations,
        )
        guess = fitted.logits(torch.from_numpy(features[test]))[0].argmax(1).numpy()
        expected = pytest.approx((guess == labels[test]).mean(), abs=0.0011)
        assert beat.rivals(2)[name] == expected
        assert beat.train(2, choice) == expected


def test_more_labels_help_on_average() -> None:
    start = np.mean([beat.rivals(board)[""] for board in range(beat.boards())])
    grown = np.mean([np.mean(beat.luck(board)) for board in range(3)])
    assert grown > start


def test_the_pairs_are_pairs_of_equal_size_from_one_labeled_pool() -> None:
    pairs, labeled = which.shipped(), set(tables.read(tables.Pairs).labeled)
    assert len(pairs.sets) >= 100
    assert len(labeled) == 200
    for first, second in pairs.sets:
        assert len(set(first)) == len(set(second)) == len(first) >= 20
        assert set(first) | set(second) <= labeled
    assert pairs.utilities.shape == (len(pairs.sets), 2, 2)
    assert ((pairs.utilities > 0.1) & (pairs.utilities < 1)).all()
    assert (pairs.utilities[..., 0] != pairs.utilities[..., 1]).mean() > 0.8  # trained twice


def test_equation_4_is_the_core_s() -> None:
    sets = interpolation.shipped()
    _, values = interpolation.interpolate(sets.distances, sets.accuracies)
    near, far = torch.from_numpy(sets.distances).T
    expected = interpolate_utilities(near, far, *sets.accuracies)
    np.testing.assert_allclose(values, expected.numpy())
    stored = [row.interpolated for row in tables.read(tables.Interpolation).sets]
    np.testing.assert_allclose(values, stored, atol=2e-5)


def test_equation_4_of_two_zeros_is_halfway() -> None:
    alpha, value = interpolation.interpolate(np.zeros(2), (0.6, 0.8))
    assert alpha == 0.5
    assert value == pytest.approx(0.7)


def test_every_filter_spends_the_budget_and_the_smallest_is_margin_sampling() -> None:
    table = tables.read(tables.Filters)
    for size, row in filters.shipped().items():
        assert len(set(row.chosen)) == len(row.margins) == table.budget
        assert size >= table.batch_size
    margin = filters.shipped()[table.batch_size].margins
    assert margin == sorted(margin)
    assert max(margin) <= np.mean(filters.shipped()[max(filters.sizes())].margins)


def test_the_rounds_are_there_for_every_seed() -> None:
    table = tables.read(tables.Rounds)
    for name in rounds.CHOOSERS:
        assert rounds.accuracies(name).shape == (table.settings.seeds, len(table.rounds))
    assert rounds.accuracies("random").shape == (table.settings.seeds, 1)


def test_mean_and_standard_error() -> None:
    assert rounds.mean_and_error(np.array([0.5, 0.7])) == pytest.approx((0.6, 0.1))


def test_what_the_page_says_of_the_rounds_is_so() -> None:
    """The sentence to notice: margin asked once falls behind random images, and a few rounds repair it."""
    margin, random = rounds.accuracies("margin"), rounds.accuracies("random")[:, 0]
    once, error = rounds.mean_and_error(margin[:, 0] - random)
    assert once < -2 * error
    gain, error = rounds.mean_and_error(margin[:, 2] - margin[:, 0])
    assert gain > 2 * error


def test_what_the_page_says_of_the_pairs_is_so() -> None:
    """u_hat is not far from a coin, and two trainings do not always agree."""
    pairs = which.shipped()
    gaps = pairs.utilities[:, 0] - pairs.utilities[:, 1]
    share = which.right_share(pairs.scores[:, 0] - pairs.scores[:, 1], gaps[:, 0])
    assert share is not None
    assert abs(share - 0.5) < 0.1
    assert 0.6 < which.agreement(gaps) < 0.9


def test_what_the_page_says_of_the_filter_is_so() -> None:
    """The margins grow with M at once; the accuracy goes up and down within four points, as the page says."""
    rows = [filters.shipped()[size] for size in filters.sizes()]
    mean_margins = [np.mean(row.margins) for row in rows]
    assert mean_margins == sorted(mean_margins)
    means = [np.mean(row.test_accuracies) for row in rows]
    assert max(means) - min(means) < 0.04
    steps = np.diff(means)
    assert min(steps) < 0 < max(steps), "it follows M"
    assert "within four points" in next(s.notice for s in steps_of.STEPS if s.name == "filter")
