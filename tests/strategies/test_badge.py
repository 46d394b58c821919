"""BADGE: k-means++ among last-layer gradients that are never built."""

import torch
from scripted import choose, only_pools, random_embeddings, random_probabilities, small_problem
from torch import Tensor

from rambo.method.pools import Problem
from rambo.seeding import Streams

POOL = [*range(38, 12, -1), 3, 5]  # 28 images, not in order
PROBLEM = small_problem({0: 0, 1: 1, 2: 2}, POOL, {10: 0, 11: 1})


def explicit(
    problem: Problem, budget: int, probabilities: Tensor, embeddings: Tensor, seed: int
) -> list[int]:
    """Return the choice of k-means++ over gradients that autograd computes, one image at a time."""
    pool = sorted(problem.unlabeled.tolist())
    gradients = []
    for index in pool:
        logits = only_pools(problem, probabilities)[index].double().log()
        weights = torch.zeros(len(logits), embeddings.shape[1], dtype=torch.float64)
        weights.requires_grad_()
        moved = logits + weights @ only_pools(problem, embeddings)[index].double()
        loss = torch.nn.functional.cross_entropy(moved, logits.argmax())
        gradients.append(torch.autograd.grad(loss, weights)[0].flatten())
    table = torch.stack(gradients)
    draw = Streams(seed).torch("draw")
    picks = [int(table.norm(dim=1).argmax())]
    while len(picks) < budget:
        squared = torch.stack([(table - table[pick]).square().sum(1) for pick in picks]).amin(0)
        picks.append(int(torch.multinomial(squared, 1, generator=draw)))
    return [pool[pick] for pick in picks]


def test_the_factored_draw_is_the_explicit_one() -> None:
    probabilities, embeddings = random_probabilities(3), random_embeddings(7)
    for seed in range(3):
        selection = choose("badge", PROBLEM, 12, probabilities, embeddings, seed=seed)
        assert selection.indices.tolist() == explicit(PROBLEM, 12, probabilities, embeddings, seed)
    assert selection.steps.tolist() == [0] * 12
    top = probabilities[selection.indices].float().topk(2).values
    torch.testing.assert_close(selection.evidence["margin"], top[:, 0] - top[:, 1])


def test_the_largest_gradient_comes_first_and_of_equal_ones_the_lowest_index() -> None:
    sure, torn = torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.4, 0.3, 0.3])
    probabilities, embeddings = sure.repeat(40, 1), torch.ones(40, 4)
    probabilities[[30, 20]] = torn
    probabilities[[0, 10]] = torn
    embeddings[[0, 10]] = 9.0  # the largest, but not for sale
    for seed in range(5):
        selection = choose("badge", PROBLEM, 1, probabilities, embeddings, seed=seed)
        assert selection.indices.tolist() == [20]
    embeddings[33] = 3.0  # |q| is 0.245 against 0.735, |h| three times as long: equal, nearly
    embeddings[33] += 0.1
    assert choose("badge", PROBLEM, 1, probabilities, embeddings).indices.tolist() == [33]


def test_chances_follow_the_squared_distance_to_the_nearest_center() -> None:
    """On a line at 3, 5, 4 and 0 the first pick is 5, so the second has chances 4, 1 and 25 of 30."""
    problem = small_problem({0: 0, 1: 1}, [3, 5, 7, 9], {10: 0, 11: 1}, classes=2)
    embeddings = torch.zeros(40, 1)
    embeddings[[3, 5, 7, 9]] = torch.tensor([[3.0], [5.0], [4.0], [0.0]])
    probabilities = torch.tensor([0.7, 0.3]).repeat(40, 1)
    counts = torch.zeros(40)
    for seed in range(300):
        one, two = choose("badge", problem, 2, probabilities, embeddings, seed=seed).indices
        assert int(one) == 5
        counts[two] += 1
    chances = torch.tensor([4.0, 1.0, 25.0]) / 30
    errors = (300 * chances * (1 - chances)).sqrt()
    assert ((counts[[3, 7, 9]] - 300 * chances).abs() < 4.5 * errors).all()


def test_a_duplicate_of_a_center_waits_until_nothing_else_is_left() -> None:
    """Three distinct gradients in 28 images, and more bought than are distinct."""
    kinds = torch.arange(40) % 3
    probabilities = random_probabilities(3)[kinds]
    embeddings = random_embeddings(50)[kinds]
    for seed in range(20):
        chosen = choose("badge", PROBLEM, 28, probabilities, embeddings, seed=seed).indices
        assert sorted(kinds[chosen[:3]].tolist()) == [0, 1, 2]
        assert sorted(chosen.tolist()) == sorted(POOL)


def test_equal_or_vanishing_gradients_are_drawn_uniformly() -> None:
    equal = torch.tensor([0.6, 0.3, 0.1]).repeat(40, 1)
    vanishing = torch.tensor([0.0, 1.0, 0.0]).repeat(40, 1)
    for probabilities in (equal, vanishing):
        counts = torch.zeros(40)
        for seed in range(80):
            chosen = choose("badge", PROBLEM, 8, probabilities, torch.ones(40, 5), seed=seed)
            assert chosen.indices[0] == min(POOL)
            assert len(chosen.indices.unique()) == 8
            counts[chosen.indices[1:]] += 1
        others = sorted(set(POOL) - {min(POOL)})
        chance = 7 / 27
        spread = 5 * (80 * chance * (1 - chance)) ** 0.5
        assert (counts[others] - 80 * chance).abs().max() < spread
        assert int(counts.sum()) == 560


def test_one_class_guessed_for_all_still_spreads_over_the_embedding() -> None:
    probabilities = torch.tensor([0.9, 0.05, 0.05]).repeat(40, 1)
    embeddings = torch.eye(4)[torch.arange(40) % 4] * 3
    chosen = choose("badge", PROBLEM, 4, probabilities, embeddings).indices
    assert sorted((chosen % 4).tolist()) == [0, 1, 2, 3]
