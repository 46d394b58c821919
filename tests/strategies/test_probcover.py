"""ProbCover: balls of one radius, each over as many points without a ball as there can be."""

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from rambo.config import ProbcoverConfig
from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies.probcover import cover, pick_radius, reached

MODULE = sys.modules["rambo.strategies.probcover"]  # the package has the function of that name


Choose = Callable[..., Selection]


@pytest.fixture
def choose(choose_where: Any) -> Choose:
    """Return a function that lets ProbCover choose among points on the unit circle."""

    def choose(angles: Tensor, budget: int, seed: int = 0, **settings: Any) -> Selection:
        config = tiny_config(rivals={"space": "features", "probcover": settings})
        features = 3 * on_circle(angles)
        return choose_where("probcover", budget, config, features=features, seed=seed)

    return choose


def on_circle(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def groups_on_circle(problem: Problem) -> Tensor:
    """Return angles: S_0 and ten others at 0, then groups of 36, 20 and 10, each within 0.1 of 1, 2 and 3."""
    angles = torch.zeros(200)
    places = torch.tensor([0.0] * 10 + [1.0] * 36 + [2.0] * 20 + [3.0] * 10)
    angles[problem.unlabeled] = places + torch.linspace(0, 0.1, 76)
    angles[problem.labeled] = 0.05
    return angles


def test_the_largest_group_comes_first_and_that_of_the_labels_never(
    problem: Problem, choose: Choose
) -> None:
    angles = groups_on_circle(problem)
    selection = choose(angles, 3, radius=0.4)
    assert angles[selection.indices].round().tolist() == [1, 2, 3]
    assert selection.figures == {
        "space": "frozen features",
        "radius": 0.4,
        "radius from": "settings",
        "graph points": 76,
        "share covered": 1.0,
        "chosen to cover": 3,
    }
    first = problem.unlabeled.sort().values
    at_one = first[angles[first].round() == 1]
    # All 36 cover the same, so the first of the dataset is chosen.
    assert int(selection.indices[0]) == int(at_one[0])
    assert selection.evidence["predicted_class"].tolist() == (selection.indices % 4).tolist()
    assert selection.steps.tolist() == [0, 0, 0]


def test_fewer_labels_than_groups_leave_a_share_uncovered(problem: Problem, choose: Choose) -> None:
    figures = choose(groups_on_circle(problem), 2, radius=0.4).figures
    assert figures["share covered"] == pytest.approx(66 / 76)
    assert figures["chosen to cover"] == 2


def test_once_all_is_covered_the_rest_is_random(problem: Problem, choose: Choose) -> None:
    angles = groups_on_circle(problem)
    one, two, other = (choose(angles, 30, seed, radius=0.4).indices for seed in (0, 0, 1))
    assert one.tolist() == two.tolist()
    assert one[:3].tolist() == other[:3].tolist()
    assert one[3:].tolist() != other[3:].tolist()
    assert len(one.unique()) == 30
    assert torch.isin(one, problem.unlabeled).all()


@pytest.mark.parametrize("budget", [1, 12, 76])
@pytest.mark.parametrize("radius", [None, 1e-6, 2.0, 10.0])
def test_one_point_everywhere_and_points_all_apart(
    problem: Problem, choose: Choose, budget: int, radius: float | None
) -> None:
    for angles in (torch.ones(200), torch.linspace(0, 6, 200)):
        chosen = choose(angles, budget, radius=radius).indices
        assert len(chosen.unique()) == budget
        assert torch.isin(chosen, problem.unlabeled).all()


def test_where_nothing_reaches_another_the_choice_is_the_order_of_the_dataset(
    problem: Problem, choose: Choose
) -> None:
    chosen = choose(torch.linspace(0, 6, 200), 76, radius=0.001)
    assert chosen.indices.tolist() == problem.unlabeled.sort().values.tolist()
    assert chosen.figures["chosen to cover"] == 76


def test_a_large_pool_is_covered_in_part(
    problem: Problem, choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "_LARGEST", 20)
    one, other = (choose(torch.linspace(0, 6, 200), 10, s, radius=0.01) for s in (0, 1))
    assert one.figures["graph points"] == one.figures["chosen to cover"] * 2 == 20
    assert one.figures["share covered"] == 0.5
    assert one.indices.tolist() != other.indices.tolist()
    whole = choose(torch.linspace(0, 6, 200), 76, radius=0.01)
    assert sorted(whole.indices.tolist()) == sorted(problem.unlabeled.tolist())


def naive_cover(points: Tensor, labeled: Tensor, radius: float, budget: int) -> list[int]:
    """Return the greedy choice by loops over edges."""
    count = len(points)
    edges = {
        (x, y)
        for x in range(count)
        for y in range(count)
        if math.dist(points[x].tolist(), points[y].tolist()) < radius
        and all(math.dist(points[y].tolist(), p.tolist()) >= radius for p in labeled)
    }
    chosen: list[int] = []
    while edges and len(chosen) < budget:
        degrees = [sum(x == place for x, _ in edges) for place in range(count)]
        best = degrees.index(max(degrees))
        covered = {y for x, y in edges if x == best}
        edges = {(x, y) for x, y in edges if y not in covered}
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_the_cover_is_that_of_loops_over_edges(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_ROWS", 7)  # 40 = 5 * 7 + 5
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(40, 2, generator=generator, dtype=torch.float64)
    labeled = torch.rand(2, 2, generator=generator, dtype=torch.float64)
    graph, near = reached(points, points, 0.2), reached(points, labeled, 0.2).any(1)
    chosen, covered = cover(graph, near, 40)
    expected = naive_cover(points, labeled, 0.2, 40)
    assert chosen.tolist() == expected
    assert covered.all()
    some, then = cover(graph, near, 3)
    assert some.tolist() == expected[:3]
    assert then.tolist() == (near | graph[:, expected[:3]].any(1)).tolist()


def test_nothing_to_cover_chooses_nothing() -> None:
    chosen, covered = cover(torch.eye(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool), 2)
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == []
    assert covered.all()


def test_the_last_rows_of_a_graph_have_their_edges() -> None:
    """300 rows are more than one part: a public code forgets those of the last one."""
    points = torch.linspace(0, 299, 300, dtype=torch.float64)[:, None]
    graph = reached(points, points, 1.5)
    assert graph.sum(0).tolist() == [2, *[3] * 298, 2]
    assert graph[299, 298]
    assert graph[298, 299]


def test_points_at_exactly_the_radius_are_not_held() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    assert reached(points, points, 1.0).tolist() == torch.eye(3, dtype=torch.bool).tolist()


def test_the_radius_is_the_largest_that_is_pure_enough() -> None:
    """Two groups 2 sin(0.55) = 1.05 apart at least: balls of 1.0 are pure, of 1.2 are not."""
    angles = torch.cat([torch.linspace(0, 0.2, 30), torch.linspace(1.3, 1.5, 30)])
    points = on_circle(angles.double())
    for purity in (0.95, 1.0):
        settings = ProbcoverConfig(purity=purity)
        assert pick_radius(points, 2, settings, Streams(0)) == (
            1.0,
            "1.000 of the balls pure under k-means",
        )
    chord = torch.cdist(points[:30], points[30:])
    share = ((chord.amin(1) >= 1.2).sum() + (chord.amin(0) >= 1.2).sum()).item() / 60
    assert 0 < share < 1
    assert pick_radius(points, 2, ProbcoverConfig(purity=share), Streams(0))[0] == 1.2


def test_without_a_pure_radius_the_smallest_serves() -> None:
    points = on_circle(torch.linspace(0, 2 * math.pi, 101, dtype=torch.float64)[:-1])
    radius, source = pick_radius(points, 2, ProbcoverConfig(), Streams(0))
    assert radius == 0.2
    assert 0.8 < float(source.split()[0]) < 0.95


def test_one_cluster_makes_every_ball_pure() -> None:
    points = on_circle(torch.linspace(0, 3, 50, dtype=torch.float64))
    assert pick_radius(points, 1, ProbcoverConfig(), Streams(0))[0] == 2.0


def test_the_balls_probed_are_a_seeded_part_with_all_of_their_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One stranger among 60 spoils every ball that holds it, whichever are probed."""
    angles = torch.cat([torch.linspace(0, 0.1, 60), torch.tensor([1.0])])
    points = on_circle(angles.double())
    monkeypatch.setattr(MODULE, "_PROBED", 5)
    assert pick_radius(points, 2, ProbcoverConfig(), Streams(0))[0] == 0.8
    assert pick_radius(points, 2, ProbcoverConfig(), Streams(3))[0] == 0.8


def test_a_given_radius_is_taken_as_it_is() -> None:
    points = on_circle(torch.linspace(0, 3, 50, dtype=torch.float64))
    settings = ProbcoverConfig(radius=0.75)
    assert pick_radius(points, 4, settings, Streams(0)) == (0.75, "settings")
