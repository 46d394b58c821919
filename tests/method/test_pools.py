"""The problem a strategy sees: disjoint pools, no readable label that was not bought, sets as matrices."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import make_problem
from torch import Tensor

from rambo.errors import BudgetError, DataError
from rambo.method import pools


def test_a_problem_is_frozen_and_keeps_what_it_was_given() -> None:
    problem = make_problem()
    assert problem.labeled.tolist() == [4, 0, 2]
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.labels = torch.zeros(10)  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"labeled": [4, 0, 1]},  # shared with the unlabeled pool
        {"labeled": [4, 0, 7]},  # shared with the validation set
        {"unlabeled": [1, 3, 5, 6, 6]},
        {"labeled": [4, 4, 0]},
        {"validation": [7, 7]},
    ],
)
def test_a_problem_refuses_pools_that_overlap(changes: dict[str, list[int]]) -> None:
    with pytest.raises(DataError, match="overlap"):
        make_problem(**{name: torch.tensor(pool) for name, pool in changes.items()})


def test_a_problem_refuses_pools_that_share_unlabeled_images() -> None:
    with pytest.raises(DataError, match="overlap"):
        make_problem(unlabeled=torch.tensor([1, 3, 8]))


@pytest.mark.parametrize("index", [1, 6])
@pytest.mark.parametrize("label", [0, 1, -2])
def test_a_problem_refuses_a_readable_label_nobody_bought(index: int, label: int) -> None:
    labels = make_problem().labels.clone()
    labels[index] = label
    with pytest.raises(DataError, match="UNLABELED"):
        make_problem(labels=labels)


def test_a_problem_refuses_a_readable_label_of_the_test_set() -> None:
    """Image 9 is in no pool: its label may be known to the judge, never to a strategy."""
    labels = make_problem().labels.clone()
    labels[9] = 1
    with pytest.raises(DataError, match="UNLABELED"):
        make_problem(labels=labels)


def test_descriptors_are_pixels_in_the_unit_interval() -> None:
    problem = make_problem()
    described = problem.describe_images(torch.tensor([3, 1]))
    assert described.dtype == torch.float32
    expected = torch.stack([problem.images[3], problem.images[1]]).double().reshape(2, 18) / 255
    torch.testing.assert_close(described.double(), expected, rtol=1e-6, atol=0)


def test_network_inputs_are_normalised_images() -> None:
    problem = make_problem()
    inputs = problem.network_inputs(torch.tensor([3, 1]))
    assert inputs.shape == (2, 2, 3, 3)
    pixel = problem.images[1, 1, 2, 0].item()
    assert inputs[1, 1, 2, 0].item() == pytest.approx((pixel / 255 - 0.5) / 0.125, rel=1e-5)


def test_frozen_features_stand_for_the_images_where_there_are_some() -> None:
    features = torch.arange(20.0).view(10, 2)
    problem = make_problem(features=features)
    rows = torch.tensor([5, 2, 5])
    assert problem.describe_images(rows).tolist() == [[10, 11], [4, 5], [10, 11]]
    assert problem.network_inputs(rows).tolist() == [[10, 11], [4, 5], [10, 11]]


@pytest.mark.parametrize("budget", [1, 3, 4])
def test_a_budget_up_to_the_whole_pool_fits(budget: int) -> None:
    pools.check_budget(make_problem(), budget)


@pytest.mark.parametrize("budget", [-3, 0, 5, 10**12])
def test_a_budget_beyond_the_pool_is_refused_in_one_line(budget: int) -> None:
    with pytest.raises(BudgetError, match=rf"^budget {budget} .* 4 unlabeled images; use 1 to 4$"):
        pools.check_budget(make_problem(), budget)


def test_union_and_without_keep_the_order() -> None:
    first, second = torch.tensor([5, 2]), torch.tensor([9, 1])
    assert pools.union(first, second, torch.tensor([7])).tolist() == [5, 2, 9, 1, 7]
    pool = torch.tensor([5, 2, 9, 1, 7])
    assert pools.without(pool, torch.tensor([7, 2, 100])).tolist() == [5, 9, 1]
    assert pools.without(pool, torch.zeros(0, dtype=torch.int64)).tolist() == pool.tolist()
    assert pools.without(pool, pool).tolist() == []


@st.composite
def universes(draw: st.DrawFn) -> tuple[Tensor, list[Tensor]]:
    """Return an unsorted universe and subsets of it, each in an order of its own."""
    universe = draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=12, unique=True))
    subset = st.lists(st.sampled_from(universe), min_size=1, max_size=12, unique=True)
    subsets = draw(st.lists(subset, max_size=5))
    return torch.tensor(universe), [torch.tensor(s) for s in subsets]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(universes())
def test_membership_matrix_against_a_loop(sets: tuple[Tensor, list[Tensor]]) -> None:
    universe, subsets = sets
    matrix = pools.membership_matrix(subsets, universe)
    assert matrix.shape == (len(subsets), len(universe))
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix.sum(1), torch.ones(len(subsets)))
    for row, subset in zip(matrix.tolist(), subsets, strict=True):
        for weight, image in zip(row, universe.tolist(), strict=True):
            expected = 1 / len(subset) if image in subset.tolist() else 0.0
            assert weight == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "bad",
    [[], [3], [10**6], [-1], [5, 3], [9, 6]],
    ids=["empty", "between", "above", "below", "half inside", "last inside"],
)
def test_a_subset_that_is_empty_or_leaves_the_universe_is_refused(bad: list[int]) -> None:
    universe = torch.tensor([9, 2, 5])
    good = torch.tensor([2])
    with pytest.raises(DataError, match="subset 1 "):
        pools.membership_matrix([good, torch.tensor(bad, dtype=torch.int64)], universe)


def test_normalise_against_the_formula() -> None:
    images = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).view(2, 3, 2, 2) * 10
    mean, std = (0.1, 0.2, 0.7), (0.3, 0.5, 0.25)
    result = pools.normalise(images, mean, std)
    assert result.dtype == torch.float32
    for index in torch.cartesian_prod(*(torch.arange(n) for n in images.shape)):
        channel = index[1]
        expected = (images[tuple(index)].item() / 255 - mean[channel]) / std[channel]
        assert result[tuple(index)].item() == pytest.approx(expected, abs=2e-6)


def test_normalised_images_have_the_moments_asked_for() -> None:
    images = torch.randint(
        0, 256, (40, 2, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    scaled = images.double() / 255
    mean, std = scaled.mean((0, 2, 3)), scaled.std((0, 2, 3), correction=0)
    result = pools.normalise(images, mean.tolist(), std.tolist()).double()
    torch.testing.assert_close(result.mean((0, 2, 3)), torch.zeros(2).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        result.std((0, 2, 3), correction=0), torch.ones(2).double(), atol=1e-5, rtol=0
    )


def test_a_digest_depends_on_values_order_type_shape_and_grouping() -> None:
    base = torch.tensor([1, 2, 3, 4])
    different = [
        (base,),
        (base.flip(0),),
        (base.int(),),
        (base.view(2, 2),),
        (base.view(1, 4),),
        (base[:2], base[2:]),
        (base[2:], base[:2]),
        (base, torch.zeros(0)),
        (torch.tensor([1, 2, 3, 5]),),
        (),
    ]
    digests = [pools.digest(*tensors) for tensors in different]
    assert len(set(digests)) == len(different)
    alike = {pools.digest(torch.zeros(2, dtype=kind)) for kind in (torch.int32, torch.float32)}
    assert len(alike) == 2  # the same bytes, read as another type
    assert all(len(text) == 64 and int(text, 16) >= 0 for text in digests)


def test_a_digest_does_not_depend_on_how_a_tensor_lies_in_memory() -> None:
    table = torch.arange(12).view(3, 4)
    assert pools.digest(table.t()) == pools.digest(table.t().contiguous())
    assert pools.digest(table[:, ::2]) == pools.digest(table[:, ::2].clone())
    weight = torch.ones(3, requires_grad=True)
    assert pools.digest(weight) == pools.digest(torch.ones(3))
