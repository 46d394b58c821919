"""Utility samples: how pairs are drawn, interpolated, split by size and gathered in D."""

import math

import pytest
import torch

from rambo.errors import DataError
from rambo.method.utility_samples import (
    UtilitySamples,
    draw_pairs,
    interpolate_utilities,
    smallest_size,
    split_by_size,
)

POOL = torch.tensor([41, 7, 90, 3, 55, 12, 68, 23, 31, 77, 19, 84, 62, 5, 98, 46, 50, 2, 71, 36])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples_of(*sizes: int) -> UtilitySamples:
    """Return one pair of each size; pair i has utilities i, -i and OT distances 10 i, 100 i."""
    pairs = tuple((torch.arange(a), torch.arange(50, 50 + a)) for a in sizes)
    places = torch.arange(len(sizes)).double()
    return UtilitySamples(
        pairs, torch.stack([places, -places], 1), torch.stack([10 * places, 100 * places], 1)
    )


def places_of(samples: UtilitySamples) -> list[int]:
    """Return the places of `samples_of`, after checking that each pair stayed whole."""
    first, second = samples.utilities.unbind(1)
    assert torch.equal(second, -first)
    assert torch.equal(samples.transport, torch.stack([10 * first, 100 * first], 1))
    return [int(place) for place in first]


def test_interpolated_labels_fall_with_the_size_of_a_set() -> None:
    """A regression learns from them that larger sets are worse, whatever the images are."""
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(150, 16, generator=draw)
    middle, grown = points[:100].mean(0), points.mean(0)
    sizes = [10, 30, 60, 90]
    means = []
    for size in sizes:
        sets = torch.stack(
            [points[torch.randperm(100, generator=draw)[:size]].mean(0) for _ in range(50)]
        )
        labels = interpolate_utilities(
            (sets - middle).norm(dim=1), (sets - grown).norm(dim=1), 0.7, 0.8
        )
        means.append(float(labels.mean()))
    assert means == sorted(means, reverse=True)
    assert means[0] - means[-1] > 0.01


def test_pairs_have_equal_sizes_within_the_limits_and_distinct_members_of_the_pool() -> None:
    pairs = draw_pairs(POOL, 200, 6, seeded(0))
    assert len(pairs) == 200
    for first, second in pairs:
        assert len(first) == len(second)
        for subset in (first, second):
            assert subset.dtype == torch.int64
            assert set(subset.tolist()) <= set(POOL.tolist())
            assert (subset.diff() > 0).all()  # sorted, so none twice
    sizes = {len(first) for first, _ in pairs}
    assert sizes == set(range(6, 20))  # diverse: every size from the smallest to one below the pool


def test_sizes_and_members_are_uniform() -> None:
    """20,000 draws against their means, within four standard errors."""
    pairs = draw_pairs(POOL, 10_000, 6, seeded(1))
    sizes = torch.tensor([len(first) for first, _ in pairs]).double()
    spread = math.sqrt((14**2 - 1) / 12)  # of the uniform distribution on 6..19
    assert abs(float(sizes.mean()) - 12.5) < 4 * spread / 100
    counts = torch.cat([subset for pair in pairs for subset in pair]).bincount()[POOL].double()
    expected = 2 * float(sizes.sum()) / 20
    assert (counts / expected - 1).abs().max() < 4 * math.sqrt(20 / 12.5 / 20_000)


def test_the_two_subsets_of_a_pair_are_drawn_independently() -> None:
    pairs = draw_pairs(POOL, 100, 6, seeded(2))
    assert sum(torch.equal(first, second) for first, second in pairs) < 10
    overlaps = [len(set(first.tolist()) & set(second.tolist())) for first, second in pairs]
    assert 0 < sum(overlaps) < sum(len(first) for first, _ in pairs)


def test_same_generator_same_pairs_and_the_pool_is_left_as_it_was() -> None:
    before = POOL.clone()
    one, two, other = (draw_pairs(POOL, 20, 6, seeded(seed)) for seed in (5, 5, 6))
    assert [s.tolist() for pair in one for s in pair] == [s.tolist() for pair in two for s in pair]
    assert [s.tolist() for pair in one for s in pair] != [
        s.tolist() for pair in other for s in pair
    ]
    assert torch.equal(POOL, before)


@pytest.mark.parametrize("size", range(2, 13))
@pytest.mark.parametrize("classes", [2, 4, 10, 100])
def test_pairs_can_be_drawn_from_every_pool_down_to_two(size: int, classes: int) -> None:
    smallest = smallest_size(size, classes)
    for first, second in draw_pairs(POOL[:size], 40, smallest, seeded(size)):
        assert len(first) == len(second)
        assert smallest <= len(first) <= max(smallest, size - 1)
        assert set(first.tolist()) | set(second.tolist()) <= set(POOL[:size].tolist())
        assert len(first) < size  # never the whole pool: both subsets would be the same


@pytest.mark.parametrize(
    ("pool", "classes", "smallest"),
    [
        (200, 10, 20),  # 2c
        (200, 2, 10),  # at least 10
        (41, 10, 20),
        (40, 10, 20),
        (39, 10, 19),  # half the pool, where the pool is smaller than twice 2c
        (20, 3, 10),
        (19, 3, 9),
        (5, 10, 2),
        (3, 2, 1),
        (2, 2, 1),
        (2500, 100, 200),
    ],
)
def test_smallest_size(pool: int, classes: int, smallest: int) -> None:
    assert smallest_size(pool, classes) == smallest


def test_equation_4_by_hand() -> None:
    """alpha = d_{i+1} / (d_i + d_{i+1}); u = alpha acc_i + (1 - alpha) acc_{i+1}."""
    near = torch.tensor([1.0, 0.0, 2.0, 0.0, 3.0])
    far = torch.tensor([3.0, 2.0, 0.0, 0.0, 3.0])
    # alpha: 3/4, 1, 0, 1/2 (0/0), 1/2; acc_i = 0.5, acc_{i+1} = 0.75
    expected = torch.tensor([0.5625, 0.5, 0.75, 0.625, 0.625], dtype=torch.float64)
    utilities = interpolate_utilities(near, far, 0.5, 0.75)
    assert utilities.dtype == torch.float64
    assert torch.equal(utilities, expected)


def test_equation_4_keeps_the_shape() -> None:
    distances = torch.rand(3, 2, generator=seeded(0))
    assert interpolate_utilities(distances, distances, 0.1, 0.9).shape == (3, 2)


@pytest.mark.parametrize(("before", "after"), [(0.2, 0.9), (0.9, 0.2), (0.4, 0.4), (0.0, 1.0)])
def test_interpolated_utilities_stay_between_the_two_accuracies(
    before: float, after: float
) -> None:
    generator = seeded(3)
    scales = 10.0 ** torch.randint(-40, 30, (2, 2000), generator=generator)
    near, far = torch.rand(2, 2000, generator=generator) * scales
    near[:50], far[25:75] = 0.0, 0.0
    near[100:110], far[100:110] = 1e-45, 1e-45  # the smallest float there is
    utilities = interpolate_utilities(near, far, before, after)
    assert utilities.isfinite().all()
    assert (utilities >= min(before, after) - 1e-12).all()
    assert (utilities <= max(before, after) + 1e-12).all()
    torch.testing.assert_close(
        utilities[100:110], torch.full((10,), (before + after) / 2, dtype=torch.float64)
    )


def test_interpolation_moves_towards_the_nearer_pool() -> None:
    near = torch.linspace(0, 5, 50)
    utilities = interpolate_utilities(near, torch.ones(50), 0.5, 0.75)
    assert (utilities.diff() > 0).all()  # farther from S_i means nearer to acc_{i+1}
    swapped = interpolate_utilities(torch.ones(50), near, 0.75, 0.5)
    torch.testing.assert_close(swapped, utilities)


def test_split_by_size_puts_the_longer_pairs_outside_and_keeps_ties_in_order() -> None:
    short, long = split_by_size(samples_of(9, 4, 9, 4, 6, 9))
    assert places_of(short) == [1, 3, 4]
    assert places_of(long) == [0, 2, 5]
    assert short.sizes.tolist() == [4, 4, 6]
    assert long.sizes.tolist() == [9, 9, 9]


def test_split_of_an_odd_number_gives_the_longer_half_one_more() -> None:
    short, long = split_by_size(samples_of(8, 7, 6, 5, 4))
    assert places_of(short) == [4, 3]
    assert places_of(long) == [2, 1, 0]
    alone = split_by_size(samples_of(5))
    assert [len(half) for half in alone] == [0, 1]


@pytest.mark.parametrize("count", [2, 3, 50, 51])
def test_split_of_equal_sizes_is_the_order_of_drawing(count: int) -> None:
    short, long = split_by_size(samples_of(*[7] * count))
    assert places_of(short) + places_of(long) == list(range(count))
    assert len(short) == count // 2


def test_split_loses_and_doubles_no_pair() -> None:
    sizes = torch.randint(2, 9, (31,), generator=seeded(8)).tolist()
    short, long = split_by_size(samples_of(*sizes))
    assert sorted(places_of(short) + places_of(long)) == list(range(31))
    assert short.sizes.max() <= long.sizes.min()
    for half in (short, long):
        assert half.sizes.tolist() == [sizes[place] for place in places_of(half)]


def test_tables_accumulate_in_order_and_leave_their_parts_as_they_were() -> None:
    total = UtilitySamples.empty()
    assert len(total) == 0
    assert total.utilities.shape == total.transport.shape == (0, 2)
    assert total.utilities.dtype == total.transport.dtype == torch.float64
    first, second = samples_of(3, 4), samples_of(5)
    total += first
    total += second
    assert len(total) == 3
    assert total.sizes.tolist() == [3, 4, 5]
    assert places_of(total) == [0, 1, 0]
    assert len(first) == 2
    assert len(second) == 1


def test_take_keeps_pairs_utilities_and_distances_together() -> None:
    samples = samples_of(3, 4, 5, 6)
    part = samples.take(torch.tensor([3, 1]))
    assert places_of(part) == [3, 1]
    assert part.sizes.tolist() == [6, 4]
    assert len(samples.take(torch.arange(0))) == 0


def test_subsets_and_membership_stand_pair_by_pair() -> None:
    pairs = ((torch.tensor([3, 7]), torch.tensor([7, 9])), (torch.tensor([9]), torch.tensor([3])))
    samples = UtilitySamples(pairs, torch.zeros(2, 2).double(), torch.zeros(2, 2).double())
    assert [subset.tolist() for subset in samples.subsets] == [[3, 7], [7, 9], [9], [3]]
    universe = torch.tensor([9, 3, 7])
    expected = torch.tensor([[0, 0.5, 0.5], [0.5, 0, 0.5], [1, 0, 0], [0, 1, 0]])
    assert torch.equal(samples.membership(universe), expected)
    with pytest.raises(DataError):
        samples.membership(torch.tensor([3, 7]))


def test_whole_pairs_reach_the_membership_matrix() -> None:
    pairs = draw_pairs(POOL, 15, 6, seeded(4))
    zeros = torch.zeros(15, 2, dtype=torch.float64)
    matrix = UtilitySamples(pairs, zeros, zeros).membership(POOL)
    torch.testing.assert_close(matrix.sum(1), torch.ones(30))
    for row, subset in zip(matrix, [s for pair in pairs for s in pair], strict=True):
        assert POOL[row > 0].sort().values.tolist() == subset.tolist()
