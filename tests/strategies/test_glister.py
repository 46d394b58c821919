"""GLISTER-ONLINE: the gradient step that lowers the validation loss most, without building a gradient."""

import pytest
import torch
from scripted import choose, only_pools, random_embeddings, random_probabilities, small_problem
from torch import Tensor
from torch.nn import functional as F

from rambo.method.pools import Problem
from rambo.strategies.glister import steepest

POOL = [*range(38, 16, -1), 3, 5]  # 24 images, not in order
VALIDATION = {10: 0, 11: 1, 12: 2, 13: 0, 14: 2, 15: 1}
PROBLEM = small_problem({0: 0, 1: 1, 2: 2, 6: 0}, POOL, VALIDATION)


def last_layer_gradient(
    logits: Tensor, embeddings: Tensor, weights: Tensor, labels: Tensor, reduction: str
) -> Tensor:
    """Return the gradient of the cross-entropy by what is added to the last layer, `c x (e + 1)`, by autograd."""
    moving = weights.detach().clone().requires_grad_()
    loss = F.cross_entropy(
        logits + F.pad(embeddings, (0, 1), value=1.0) @ moving.T, labels, reduction=reduction
    )
    return torch.autograd.grad(loss, moving)[0]


def explicit(
    problem: Problem, budget: int, probabilities: Tensor, embeddings: Tensor, rate: float
) -> list[int]:
    """Return the choice of the definition: one last layer that moves, every gradient built by autograd."""
    p, h = (only_pools(problem, values).double() for values in (probabilities, embeddings))
    z, pool = p.log(), sorted(problem.unlabeled.tolist())
    start = torch.zeros(p.shape[1], h.shape[1] + 1, dtype=torch.float64)
    labeled, judges = problem.labeled, problem.validation
    own = {
        i: last_layer_gradient(z[[i]], h[[i]], start, p[[i]].argmax(1), "sum").flatten()
        for i in pool
    }
    moved = start - rate * last_layer_gradient(
        z[labeled], h[labeled], start, problem.labels[labeled], "sum"
    )
    chosen: list[int] = []
    for _ in range(budget):
        v = last_layer_gradient(
            z[judges], h[judges], moved, problem.labels[judges], "mean"
        ).flatten()
        gains = {i: float(own[i] @ v) for i in pool if i not in chosen}
        chosen.append(max(gains, key=gains.__getitem__))
        moved = moved - rate * own[chosen[-1]].view_as(moved)
    return chosen


@pytest.mark.parametrize("rate", [1e-3, 0.3])
def test_the_factored_choice_is_the_explicit_one(rate: float) -> None:
    for seed in range(3):
        probabilities, embeddings = random_probabilities(3, seed), random_embeddings(7, seed + 50)
        settings = {"glister": {"learning_rate": rate}}
        selection = choose("glister", PROBLEM, 16, probabilities, embeddings, rivals=settings)
        expected = explicit(PROBLEM, 16, probabilities, embeddings, rate)
        assert selection.indices.tolist() == expected
    assert selection.steps.tolist() == [0] * 16
    assert set(selection.evidence) == {"margin", "predicted_class"}


def test_the_steps_matter() -> None:
    """The comparison above would hold without any step, were the rates so small that none is felt."""
    predictions = random_probabilities(3), random_embeddings(7)
    still, moving = (explicit(PROBLEM, 16, *predictions, rate) for rate in (1e-9, 0.3))
    assert still != moving


def test_the_first_pick_is_the_step_that_lowers_the_validation_loss_most() -> None:
    """Sign and labels, from the loss itself: every candidate's step is tried."""
    rate = 1e-3
    for seed in range(5):
        p, h = random_probabilities(3, seed).double(), random_embeddings(7, seed + 9).double()
        h = F.pad(h, (0, 1), value=1.0)
        q = p - F.one_hot(p.argmax(1), 3)
        z, embeddings, labels = p.log()[:12], h[:12], torch.arange(12) % 3
        losses = [
            float(F.cross_entropy(z - rate * embeddings @ torch.outer(q[i], h[i]).T, labels))
            for i in range(12, 40)
        ]
        before = float(F.cross_entropy(z, labels))
        pick = next(steepest(q[12:], h[12:], z, embeddings, labels, rate))
        assert pick == losses.index(min(losses))
        assert losses[pick] < before < max(losses)


def test_the_rate_is_the_classifiers_where_none_is_given() -> None:
    predictions = random_probabilities(3), random_embeddings(7)
    plain = choose("glister", PROBLEM, 16, *predictions, classifier={"learning_rate": 0.3})
    own = choose("glister", PROBLEM, 16, *predictions, rivals={"glister": {"learning_rate": 0.3}})
    slow = choose("glister", PROBLEM, 16, *predictions)
    assert plain.indices.tolist() == own.indices.tolist()
    assert plain.indices.tolist() != slow.indices.tolist()


def test_the_validation_labels_decide() -> None:
    predictions = random_probabilities(3), random_embeddings(7)
    turned = {index: (label + 1) % 3 for index, label in VALIDATION.items()}
    other = small_problem({0: 0, 1: 1, 2: 2, 6: 0}, POOL, turned)
    one, two = (choose("glister", problem, 8, *predictions).indices for problem in (PROBLEM, other))
    assert one.tolist() != two.tolist()


def test_gradients_that_vanish_are_taken_in_the_order_of_the_dataset() -> None:
    """f is certain of one class for all: logits of minus infinity, gains of 0, the whole pool bought."""
    sure = torch.tensor([0.0, 1.0, 0.0]).repeat(40, 1)
    selection = choose("glister", PROBLEM, 24, sure, random_embeddings(7))
    assert selection.indices.tolist() == sorted(POOL)


def test_equal_images_are_taken_in_the_order_of_the_dataset() -> None:
    rows = torch.tensor([0.5, 0.3, 0.2]).repeat(40, 1)
    selection = choose("glister", PROBLEM, 24, rows, torch.ones(40, 5))
    assert selection.indices.tolist() == sorted(POOL)


def test_more_than_there_are_distinct_images() -> None:
    kinds = torch.arange(40) % 3
    selection = choose(
        "glister", PROBLEM, 24, random_probabilities(3)[kinds], random_embeddings(7)[kinds]
    )
    assert sorted(selection.indices.tolist()) == sorted(POOL)


def test_a_class_without_a_label_is_no_obstacle() -> None:
    """Neither in S_0 nor in S_val is an image of class 3 of 4."""
    lacking = small_problem({0: 0, 1: 1, 2: 1}, POOL, VALIDATION, classes=4)
    predictions = random_probabilities(4), random_embeddings(7)
    selection = choose("glister", lacking, 10, *predictions)
    assert selection.indices.tolist() == explicit(lacking, 10, *predictions, 1e-3)
