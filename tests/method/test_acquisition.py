"""Scores, candidate batches, and the arithmetic of the greedy steps over every small size."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import make_problem
from torch import Tensor

from rambo import config as configs
from rambo.algorithm import split_initial
from rambo.config import Config
from rambo.events import Emit, ignore
from rambo.method import acquisition
from rambo.method.acquisition import (
    GreedyStep,
    choice_evidence,
    confidences,
    entropies,
    filter_for,
    k_centers,
    logit_gradients,
    margins,
    random_chunks,
    rank_by,
    spread_gradients,
)
from rambo.method.pools import UNLABELED, Problem, Selection
from rambo.seeding import Streams
from rambo.strategies import STRATEGIES
from rambo.training.call import Call
from rambo.training.ensemble import Predictions

SEEDS = st.integers(0, 2**31)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 9), st.integers(2, 7))
def test_margins_are_the_two_largest_of_a_sort(seed: int, count: int, classes: int) -> None:
    probabilities = torch.rand(count, classes, generator=generator(seed)).softmax(1)
    expected = []
    for row in probabilities.tolist():
        ordered = sorted(row)
        expected.append(ordered[-1] - ordered[-2])
    torch.testing.assert_close(margins(probabilities), torch.tensor(expected), atol=1e-6, rtol=0)


def test_margins_of_certain_and_of_torn_predictions() -> None:
    table = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5]])
    assert margins(table).tolist() == [1.0, 0.0, 0.25]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 9), st.integers(2, 7))
def test_entropies_and_confidences_are_those_of_plain_sums(
    seed: int, count: int, classes: int
) -> None:
    probabilities = torch.rand(count, classes, generator=generator(seed)).softmax(1)
    naive = [-sum(p * math.log(p) for p in row) for row in probabilities.tolist()]
    torch.testing.assert_close(entropies(probabilities), torch.tensor(naive), atol=1e-5, rtol=0)
    assert confidences(probabilities).tolist() == [max(row) for row in probabilities.tolist()]


def test_entropies_of_certain_and_of_torn_predictions() -> None:
    table = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]])
    assert entropies(table).tolist() == pytest.approx([0.0, math.log(2), math.log(4)])
    assert confidences(table).tolist() == [1.0, 0.5, 0.25]


def test_logit_gradients_are_those_of_autograd() -> None:
    logits = torch.randn(6, 4, generator=generator(0), dtype=torch.float64).requires_grad_()
    labels = torch.tensor([0, 3, 1, 1, 2, 0])  # labels need not be the most probable class
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    (expected,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(logit_gradients(logits.detach().softmax(1), labels), expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 9), st.integers(0, 3), st.integers(1, 3))
def test_every_one_of_the_k_centers_is_the_farthest_point_left(
    seed: int, count: int, old: int, width: int
) -> None:
    """On a small grid, where many points are as far as others or lie on each other."""
    grid = torch.randint(0, 3, (count + old, width), generator=generator(seed)).double()
    centers, points = grid[:old], grid[old:]
    rest = list(range(count))
    for pick in k_centers(points, centers):
        if len(centers):
            far = torch.cdist(points[rest], centers, compute_mode="donot_use_mm_for_euclid_dist")
            apart = dict(zip(rest, far.amin(1).tolist(), strict=True))
            assert apart[pick] == pytest.approx(max(apart.values()))
            if max(apart.values()) == 0:
                assert pick == rest[0]
        else:
            assert pick == 0
        rest.remove(pick)
        centers = torch.cat([centers, points[[pick]]])
    assert rest == []


def test_k_centers_look_at_more_labels_than_fit_one_chunk() -> None:
    """Point 1 lies on the very last of 2,500 centers."""
    centers = torch.arange(2500.0)[:, None].double()
    points = torch.tensor([[2490.3], [2499.0], [1023.6], [10.1]]).double()
    assert list(k_centers(points, centers)) == [2, 0, 3, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pickers_know_equal_points_apart_from_rounding(dtype: torch.dtype) -> None:
    """Five kinds of point, 2,048 wide: five picks meet all of them, in either precision."""
    kinds = torch.arange(60) % 5
    table = torch.randn(5, 2048, generator=generator(1), dtype=dtype).relu()[kinds]
    outputs = torch.randn(5, 10, generator=generator(2), dtype=dtype)[kinds]
    for picks in (k_centers(table, table[:0]), spread_gradients(outputs, table, generator(3))):
        order = list(picks)
        assert sorted(kinds[order[:5]].tolist()) == [0, 1, 2, 3, 4]
        assert sorted(order) == list(range(60))


def test_spread_gradients_never_draws_a_center_again() -> None:
    outputs = torch.randn(12, 3, generator=generator(4))
    inputs = torch.randn(12, 5, generator=generator(5))
    for seed in range(50):
        assert sorted(spread_gradients(outputs, inputs, generator(seed))) == list(range(12))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=14), st.data())
def test_rank_by_orders_by_score_then_by_index(scores: list[int], data: st.DataObject) -> None:
    pool = data.draw(st.lists(st.integers(0, len(scores) - 1), unique=True))
    ranked = rank_by(torch.tensor(pool, dtype=torch.int64), torch.tensor(scores).float())
    assert ranked.tolist() == sorted(pool, key=lambda index: (scores[index], index))
    shuffled = data.draw(st.permutations(pool))
    again = rank_by(torch.tensor(shuffled, dtype=torch.int64), torch.tensor(scores).float())
    assert again.tolist() == ranked.tolist()


def test_rank_by_reads_no_score_outside_the_pool() -> None:
    scores = torch.full((6,), torch.nan)
    scores[[1, 4]] = torch.tensor([0.5, 0.25])
    assert rank_by(torch.tensor([1, 4]), scores).tolist() == [4, 1]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SEEDS, st.integers(1, 20), st.integers(1, 25))
def test_random_chunks_are_disjoint_batches_in_the_order_of_the_margins(
    seed: int, count: int, size: int
) -> None:
    ranked = torch.randperm(100, generator=generator(seed))[:count]
    batches = random_chunks(ranked, size, generator(seed + 1))
    width = min(size, count)
    assert batches.shape == (count // width, width)
    taken = batches.flatten().tolist()
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(ranked.tolist())
    place = {image: rank for rank, image in enumerate(ranked.tolist())}
    for batch in batches.tolist():
        ranks = [place[image] for image in batch]
        assert ranks == sorted(ranks)
    again = random_chunks(ranked, size, generator(seed + 1))
    assert again.tolist() == batches.tolist()


def test_every_image_is_as_likely_to_be_in_the_first_batch_and_in_the_remainder() -> None:
    ranked, stream, turns = torch.arange(7), generator(0), 3000
    first, dropped = torch.zeros(7), torch.zeros(7)
    for _ in range(turns):
        batches = random_chunks(ranked, 3, stream)
        first[batches[0]] += 1
        dropped += 1 - torch.zeros(7).index_add_(0, batches.flatten(), torch.ones(6))
    for counts, chance in ((first, 3 / 7), (dropped, 1 / 7)):
        error = math.sqrt(turns * chance * (1 - chance))
        assert (counts - turns * chance).abs().max() < 4.5 * error


@pytest.mark.parametrize(
    ("filter_size", "batch_size", "count", "filtered"),
    [(500, 50, 50, 500), (500, 50, 20, 200), (50, 50, 20, 20), (7, 3, 2, 5), (7, 3, 1, 3)],
)
def test_a_smaller_last_batch_looks_at_fewer_margins(
    filter_size: int, batch_size: int, count: int, filtered: int
) -> None:
    assert filter_for(filter_size, batch_size, count) == filtered


class Predicted:
    """An ensemble that trains nothing: f's probabilities are given."""

    seed = 0

    def __init__(self, probabilities: Tensor) -> None:
        self.probabilities = probabilities

    def predict_pools(self, emit: Emit) -> Predictions:
        return Predictions(self.probabilities, self.probabilities, 0.5)


def pool_of(size: int) -> tuple[Problem, Tensor]:
    """Return a problem with `size` unlabeled images, and their margins at their dataset index."""
    total = size + 2
    labels = torch.full((total,), UNLABELED)
    labels[[0, total - 1]] = 0
    problem = make_problem(
        images=torch.zeros(total, 1, 2, 2, dtype=torch.uint8),
        labels=labels,
        labeled=torch.tensor([0]),
        unlabeled=torch.arange(1, total - 1),
        validation=torch.tensor([total - 1]),
    )
    certainty = 0.5 + torch.randperm(total, generator=generator(size)) / (2 * total)
    return problem, torch.stack([certainty, 1 - certainty], 1)


def choose(
    strategy: str, problem: Problem, probabilities: Tensor, budget: int, config: Config, seed: int
) -> Selection:
    """Return the choice of a strategy that asks nothing of the ensemble but predictions."""
    return STRATEGIES[strategy](
        Call(
            problem,
            budget,
            config,
            streams=Streams(seed),
            ensemble=Predicted(probabilities),  # type: ignore[arg-type]
            emit=ignore,
        )
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_greedy_steps_spend_exactly_the_budget_for_every_small_size(size: int) -> None:
    """All B, b and M: the steps the config announces, every batch inside its filter, the last one smaller."""
    problem, probabilities = pool_of(size)
    scores = margins(probabilities)
    for budget, batch_size in itertools.product(range(1, size + 1), range(1, 9)):
        for filter_size in range(batch_size, 9):
            settings = {"batch_size": batch_size, "filter_size": filter_size}
            config = configs.build({"budget": budget, "acquisition": settings})
            choice = choose("filter-only", problem, probabilities, budget, config, 0)
            chosen = choice.indices.tolist()
            assert len(chosen) == len(set(chosen)) == budget
            assert set(chosen) <= set(problem.unlabeled.tolist())
            sizes = torch.bincount(choice.steps).tolist()
            assert len(sizes) == config.greedy_steps
            assert all(s == batch_size for s in sizes[:-1])
            assert sizes[-1] == budget - batch_size * (len(sizes) - 1)
            rest = sorted(problem.unlabeled.tolist(), key=lambda i: scores[i])
            for step, taken in enumerate(choice.indices.split(sizes)):
                visible = math.ceil(filter_size * sizes[step] / batch_size)
                assert set(taken.tolist()) <= set(rest[:visible])
                rest = [index for index in rest if index not in taken.tolist()]


@pytest.mark.parametrize(("size", "budget"), [(8, 8), (8, 7), (5, 3)])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_filter_of_one_batch_is_margin_sampling(size: int, budget: int, batch_size: int) -> None:
    problem, probabilities = pool_of(size)
    config = configs.build({"acquisition": {"batch_size": batch_size, "filter_size": batch_size}})
    filtered = choose("filter-only", problem, probabilities, budget, config, 0)
    margin = choose("margin", problem, probabilities, budget, config, 1)
    assert filtered.indices.tolist() == margin.indices.tolist()
    scores = margins(probabilities)
    assert (
        margin.indices.tolist()
        == sorted(problem.unlabeled.tolist(), key=lambda i: scores[i])[:budget]
    )


def test_pretraining_slices_share_out_the_labeled_pool_for_every_small_size() -> None:
    """All k, k_1 and b: P_0 has k_1 labels, the slices b each, the last the rest, nothing twice."""
    for k, batch_size in itertools.product(range(2, 9), range(1, 9)):
        for initial_size in range(2, k + 1):
            config = configs.build(
                {
                    "k": k,
                    "acquisition": {"batch_size": batch_size},
                    "rambo": {"initial_size": initial_size},
                }
            )
            pool = torch.arange(k) * 3 + 1
            first, slices = split_initial(pool, config, generator(k))
            assert len(first) == initial_size
            assert len(slices) == config.slices
            assert all(len(part) == batch_size for part in slices[:-1])
            assert sum(map(len, slices)) == k - initial_size
            assert all(1 <= len(part) <= batch_size for part in slices)
            assert torch.cat([first, *slices]).sort().values.tolist() == pool.tolist()


def test_the_initial_split_is_random_and_follows_its_generator() -> None:
    config = configs.build({"k": 60, "acquisition": {"batch_size": 20}})
    splits = [
        split_initial(torch.arange(60), config, generator(seed))[0].tolist() for seed in (1, 1, 2)
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]
    assert splits[0] != list(range(15))


def test_many_equal_scores_stay_in_the_order_of_the_dataset() -> None:
    """So many that a sort which is not stable would mix them."""
    scores = (torch.arange(1000) % 3).float()
    expected = [index for level in range(3) for index in range(1000) if index % 3 == level]
    assert rank_by(torch.arange(1000).flip(0), scores).tolist() == expected


def test_of_many_equal_candidates_the_first_are_shown() -> None:
    batches = torch.arange(2000).view(1000, 2)
    step = GreedyStep(batches, (torch.arange(1000) % 3).float())
    event = step.event(0, 1, torch.zeros(2000))
    assert event.candidates == [[2 * row, 2 * row + 1] for row in range(2, 26, 3)]
    assert event.chosen == [4, 5]
    assert event.runner_up == event.utility == 2.0


def test_a_step_tells_the_winner_the_runner_up_and_the_mean_margins() -> None:
    batches = torch.tensor([[0, 1], [2, 3], [4, 5]])
    step = GreedyStep(batches, torch.tensor([0.25, 0.75, 0.5]))
    event = step.event(2, 7, torch.tensor([0.0, 0.5, 0.25, 0.75, 1.0, 1.0]))
    assert (event.step, event.steps) == (2, 7)
    assert event.chosen == [2, 3]
    assert (event.utility, event.runner_up) == (0.75, 0.5)
    assert event.utilities == [0.25, 0.75, 0.5]
    assert event.candidates == [[2, 3], [4, 5], [0, 1]]
    assert event.candidate_utilities == [0.75, 0.5, 0.25]
    assert event.candidate_margins == [0.5, 1.0, 0.25]


def test_the_control_takes_the_lowest_and_tells_it_first() -> None:
    """What u_hat ranks lowest is taken, of equal ones the first; the runner-up is the next from below."""
    batches = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]])
    utilities = torch.tensor([0.5, 0.25, 0.75, 0.25])
    lowest, highest = GreedyStep(batches, utilities, lowest=True), GreedyStep(batches, utilities)
    assert (lowest.best.tolist(), float(lowest.utility)) == ([2, 3], 0.25)
    assert (highest.best.tolist(), float(highest.utility)) == ([4, 5], 0.75)
    event = lowest.event(0, 1, torch.arange(8) / 8)
    assert (event.chosen, event.utility, event.runner_up) == ([2, 3], 0.25, 0.25)
    assert event.candidates == [[2, 3], [6, 7], [0, 1], [4, 5]]
    assert event.candidate_utilities == [0.25, 0.25, 0.5, 0.75]
    assert event.candidate_margins == [2.5 / 8, 6.5 / 8, 0.5 / 8, 4.5 / 8]
    assert event.utilities == utilities.tolist()


def test_evidence_stands_in_the_order_of_choice() -> None:
    scores = torch.tensor([0.5, 0.25, 0.75, 1.0])
    table = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 0.9, 0.1], [1.0, 0.0, 0.0]])
    evidence = choice_evidence(
        torch.tensor([2, 0, 1]), scores, table, torch.tensor([0.1, 0.3, 0.2])
    )
    assert evidence["margin"].tolist() == [0.75, 0.5, 0.25]
    assert evidence["predicted_class"].tolist() == [1, 0, 2]
    torch.testing.assert_close(evidence["predicted_utility"], torch.tensor([0.1, 0.3, 0.2]))


def test_spread_gradients_draw_no_center_again_for_what_rounding_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With rounding taken for distance, a center may seem apart from itself."""
    monkeypatch.setattr(acquisition, "_ROUNDING", 0)
    apart = 0
    for seed in range(40):
        outputs = torch.randn(1, 10, generator=generator(seed)).repeat(8, 1)
        inputs = torch.randn(1, 2048, generator=generator(seed + 100)).relu().repeat(8, 1)
        own = (outputs @ outputs[0]) * (inputs @ inputs[0])
        apart += bool((outputs.square().sum(1) * inputs.square().sum(1) > own).all())
        assert sorted(spread_gradients(outputs, inputs, generator(seed))) == list(range(8))
    assert apart > 1, "nothing is rounded here"


def test_of_two_candidates_the_other_is_the_runner_up() -> None:
    step = GreedyStep(torch.tensor([[0], [1]]), torch.tensor([0.25, 0.75]))
    assert step.event(0, 1, torch.zeros(2)).runner_up == 0.25
    alone = GreedyStep(torch.tensor([[0]]), torch.tensor([0.25]))
    assert alone.event(0, 1, torch.zeros(1)).runner_up is None


def test_batches_are_cut_in_order_from_one_permutation() -> None:
    """So the same seed gives the same batches in every version."""
    ranked, order = torch.arange(100, 108), torch.randperm(8, generator=generator(3))
    batches = random_chunks(ranked, 3, generator(3))
    assert batches.tolist() == [sorted((order[i : i + 3] + 100).tolist()) for i in (0, 3)]


def test_k_centers_tell_near_points_apart_far_from_the_origin() -> None:
    """In single precision, where the squares of the coordinates swallow the distances."""
    points = torch.tensor([[10000.0], [10001.0], [10004.0], [10010.0]])
    assert list(k_centers(points[:3], points[3:])) == [0, 2, 1]


def test_k_centers_skip_no_center_where_two_chunks_meet() -> None:
    centers = torch.arange(2500.0)[:, None].double()
    points = torch.tensor([[1023.0], [1024], [2047], [2048], [5.4]]).double()
    assert list(k_centers(points, centers)) == [4, 0, 1, 2, 3]


def test_the_first_center_of_spread_gradients_is_the_largest_outer_product() -> None:
    """Neither the largest gradient by the logits nor the largest embedding, and the first of equals."""
    outputs = torch.tensor([[3.0], [0.1], [1.0], [1.0], [2.0]])
    inputs = torch.tensor([[1.0], [20.0], [10.0], [10.0], [2.0]])
    firsts = {next(spread_gradients(outputs, inputs, generator(seed))) for seed in range(30)}
    assert firsts == {2}


def test_spread_gradients_draw_in_proportion_to_squared_distances() -> None:
    """Beside a center at 10, points at 9 and 7 are drawn 1 to 9."""
    outputs, inputs = torch.tensor([[10.0], [9.0], [7.0]]), torch.ones(3, 1)
    turns, stream, far = 1000, generator(0), 0
    for _ in range(turns):
        picks = spread_gradients(outputs, inputs, stream)
        assert next(picks) == 0
        far += next(picks) == 2
    assert abs(far - 0.9 * turns) < 4.5 * math.sqrt(turns * 0.9 * 0.1)


def test_spread_gradients_follow_their_generator() -> None:
    outputs = torch.randn(12, 3, generator=generator(4))
    inputs = torch.randn(12, 5, generator=generator(5))
    one, same, other = (
        list(spread_gradients(outputs, inputs, generator(seed))) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_that_lie_on_centers_follow_in_the_given_order(dtype: torch.dtype) -> None:
    """The rounding of 2,048 products puts none of them before another."""
    table = torch.randn(5, 2048, generator=generator(1), dtype=dtype).relu()
    order = list(k_centers(table[torch.arange(60) % 5], table[:0]))
    assert order[5:] == sorted(order[5:])


def test_points_that_nearly_lie_on_a_center_come_before_those_that_do() -> None:
    points = torch.tensor([[-10.0], [-10.0], [10.0], [9.5]])
    assert list(k_centers(points, points[:0])) == [0, 2, 3, 1]
