"""Active Finetuning: vectors that spread like the pool, and the images they end beside."""

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import tiny_config
from torch import Tensor

from rambo.config import ActiveftConfig
from rambo.events import StageAdvanced, StageStarted, ignore
from rambo.method.pools import Problem, Selection
from rambo.seeding import Streams
from rambo.strategies.activeft import (
    earth_movers_distance,
    fit_centres,
    nearest_untaken,
    spread_loss,
)

MODULE = sys.modules["rambo.strategies.activeft"]  # the package has the function of that name
DISTANCE, OF_RANDOM = "earth mover distance to the pool", "earth mover distance of a random set"


Choose = Callable[..., Selection]


@pytest.fixture
def choose(choose_where: Any) -> Choose:
    """Return a function that lets Active Finetuning choose among given features."""

    def choose(
        features: Tensor, budget: int, seed: int = 0, emit: Any = ignore, **settings: Any
    ) -> Selection:
        config = tiny_config(rivals={"space": "features", "activeft": settings})
        return choose_where("activeft", budget, config, features=features, seed=seed, emit=emit)

    return choose


def on_circle(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def scattered(count: int, size: int, seed: int) -> Tensor:
    """Return random unit vectors, float64."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=1)


def test_the_choice_lies_closer_to_the_pool_than_a_random_set(choose: Choose) -> None:
    """Six groups around the axes of eight dimensions, a label for each; three seeds."""
    noise = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    features = torch.eye(8)[torch.arange(200) % 6] + 0.1 * noise
    settings = {"learning_rate": 0.03, "iterations": 50}
    answers = [choose(features, 6, seed, **settings) for seed in range(3)]
    ours = [float(answer.figures[DISTANCE]) for answer in answers]
    random = [float(answer.figures[OF_RANDOM]) for answer in answers]
    assert sum(ours) < 0.8 * sum(random)
    assert answers[0].figures["space"] == "frozen features"
    assert answers[0].steps.tolist() == [0] * 6
    expected = (answers[0].indices % 4).tolist()
    assert answers[0].evidence["predicted_class"].tolist() == expected


def test_labeled_images_play_no_part(problem: Problem, choose: Choose) -> None:
    features = scattered(200, 5, 0).float()
    other = features.clone()
    other[problem.labeled] = -1.0
    one, two = (choose(variant, 8, iterations=20).indices.tolist() for variant in (features, other))
    assert one == two


def test_same_seed_same_answer(choose: Choose) -> None:
    features = scattered(200, 5, 1).float()
    one, two, other = (choose(features, 8, seed, iterations=20) for seed in (0, 0, 1))
    assert one.indices.tolist() == two.indices.tolist() != other.indices.tolist()
    assert one.figures == two.figures


@pytest.mark.parametrize("budget", [1, 12, 76])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_point_everywhere(problem: Problem, choose: Choose, budget: int, value: float) -> None:
    selection = choose(torch.full((200, 3), value), budget, iterations=12)
    assert len(selection.indices.unique()) == budget
    assert torch.isin(selection.indices, problem.unlabeled).all()
    assert selection.figures[DISTANCE] == pytest.approx(0, abs=1e-6)


def test_the_whole_pool_has_no_distance_to_itself(problem: Problem, choose: Choose) -> None:
    selection = choose(scattered(200, 5, 2).float(), 76, iterations=12)
    assert sorted(selection.indices.tolist()) == sorted(problem.unlabeled.tolist())
    assert selection.figures[DISTANCE] == pytest.approx(0, abs=1e-6)


def test_one_label_goes_to_the_middle(problem: Problem, choose: Choose) -> None:
    """With one vector the loss asks for the feature nearest to the mean direction."""
    angles = torch.zeros(200)
    pool = problem.unlabeled.sort().values
    angles[pool] = torch.linspace(-0.3, 0.3, 76) ** 3 * 10
    selection = choose(on_circle(angles), 1, learning_rate=0.01)
    assert abs(float(angles[selection.indices])) < 0.01


@pytest.mark.parametrize("iterations", [1, 10, 25])
def test_progress_is_told_every_ten_steps_and_at_the_end(choose: Choose, iterations: int) -> None:
    events: list[Any] = []
    choose(scattered(200, 5, 0).float(), 4, emit=events.append, iterations=iterations)
    (started,) = (event for event in events if isinstance(event, StageStarted))
    steps = [event.step for event in events if isinstance(event, StageAdvanced)]
    assert started.total == math.ceil(iterations / 10) + 1
    assert steps == list(range(1, started.total + 1))


def test_the_loss_is_that_of_loops() -> None:
    features, centres = scattered(30, 4, 0), 3 * scattered(5, 4, 1)
    unit = centres / centres.norm(dim=1, keepdim=True)
    pull = sum(max(float(f @ c) for c in unit) / 0.2 for f in features) / 30
    push = 0.0
    for j in range(5):
        others = [math.exp(float(unit[j] @ unit[k]) / 0.2) for k in range(5) if k != j]
        push += math.log(sum(others)) / 5
    assert spread_loss(centres, features, 0.2, 0.7).item() == pytest.approx(-pull + 0.7 * push)
    alone = -float((features @ unit[0]).mean()) / 0.2
    assert spread_loss(centres[:1], features, 0.2, 0.7).item() == pytest.approx(alone)


def test_no_gradient_goes_into_the_length_of_a_centre() -> None:
    centres = scattered(5, 4, 1).requires_grad_()
    spread_loss(centres, scattered(30, 4, 0), 0.07, 1.0).backward()
    assert centres.grad is not None
    torch.testing.assert_close(
        (centres.grad * centres.detach()).sum(1), torch.zeros(5, dtype=torch.float64)
    )
    assert (centres.grad.norm(dim=1) > 0).all()


def test_training_lowers_the_loss_and_keeps_the_length() -> None:
    features, settings = scattered(80, 6, 3), ActiveftConfig(iterations=100)
    one = fit_centres(features, 7, settings, Streams(0), lambda: None)
    start = fit_centres(
        features, 7, settings.model_copy(update={"iterations": 0}), Streams(0), lambda: None
    )
    assert all((features == row).all(1).any() for row in start)  # features themselves
    torch.testing.assert_close(one.norm(dim=1), torch.ones(7, dtype=torch.float64))
    before, after = (spread_loss(c, features, 0.07, 1.0).item() for c in (start, one))
    assert after < before - 0.5
    assert not one.requires_grad


def test_diversity_drives_centres_apart() -> None:
    features = scattered(80, 6, 3)
    apart = [
        torch.pdist(
            fit_centres(
                features, 7, ActiveftConfig(diversity=w, iterations=100), Streams(0), lambda: None
            )
        ).min()
        for w in (0.0, 1.0)
    ]
    assert apart[1] > apart[0] + 0.05


def test_of_a_large_pool_every_step_sees_a_random_part(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []

    def watched(centres: Tensor, features: Tensor, *rest: float) -> Tensor:
        losses.append(features.clone())
        return spread_loss(centres, features, *rest)

    features = scattered(80, 6, 3)
    monkeypatch.setattr(MODULE, "_PER_STEP", 25)
    monkeypatch.setattr(MODULE, "spread_loss", watched)
    settings = ActiveftConfig(iterations=4)
    one = fit_centres(features, 7, settings, Streams(0), lambda: None)
    assert [len(part.unique(dim=0)) for part in losses] == [25] * 4
    assert not torch.equal(losses[0], losses[1])
    assert torch.equal(one, fit_centres(features, 7, settings, Streams(0), lambda: None))


def test_each_centre_takes_the_nearest_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_ROWS", 3)
    features = on_circle(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    centres = on_circle(torch.tensor([0.9, 1.1, 1.2, 0.8]))
    assert nearest_untaken(centres, features).tolist() == [1, 2, 0, 3]
    same = torch.ones(4, 2)
    assert nearest_untaken(same, same).tolist() == [0, 1, 2, 3]


def test_the_distance_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the mass goes from (1, 0) to (-1, 0), a quarter to (0, 1)."""
    chosen = torch.tensor([[1.0, 0.0]])
    pool = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    expected = 2 / 2 + math.sqrt(2) / 4
    assert earth_movers_distance(chosen, pool, Streams(0)) == pytest.approx(expected)
    monkeypatch.setattr(MODULE, "_MEASURED", 1)
    distances = {round(earth_movers_distance(chosen, pool, Streams(s)), 3) for s in range(20)}
    assert distances == {0.0, 1.414, 2.0}
