"""Logistic heads: each at the one optimum of its own subset, whichever others it is trained beside."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from rambo.training import heads
from rambo.training.heads import Heads, fit_heads, principal_axes

POOL, WIDTH, CLASSES = 60, 5, 3


def draw(seed: int = 0, count: int = POOL, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """Return features of three overlapping classes, on scales of their own, and labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centers = torch.randn(CLASSES, width, generator=generator)
    features = centers[labels] + torch.randn(count, width, generator=generator)
    scales = 10.0 ** torch.linspace(-2, 2, width)
    return features * scales + 3 * scales, labels


def draw_members(sets: int, count: int = POOL, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(sets, count, generator=generator) < 0.6


def fit(
    features: Tensor, labels: Tensor, members: Tensor, *, l2: float = 0.5, iterations: int = 3000
) -> Heads:
    return fit_heads(features, labels, members, num_classes=CLASSES, l2=l2, iterations=iterations)


def scaled(features: Tensor, queries: Tensor) -> np.ndarray:
    """Return features as a head sees them: centred, of unit deviation over root d, and a column of ones."""
    pool = features.double().numpy()
    inside = (queries.double().numpy() - pool.mean(0)) / (pool.std(0) * math.sqrt(pool.shape[1]))
    return np.hstack([inside, np.ones((len(queries), 1))])


@pytest.mark.parametrize("l2", [0.05, 0.5, 5.0])
def test_every_head_is_at_the_optimum_that_scikit_learn_finds(l2: float) -> None:
    """The sum of the losses and l2 / 2 of the squared weights is C = 1 / l2, the intercept punished too."""
    features, labels = draw()
    queries, _ = draw(seed=5)
    members = draw_members(4)
    fitted = fit(features, labels, members, l2=l2)
    for head, member in enumerate(members):
        reference = LogisticRegression(C=1 / l2, fit_intercept=False, tol=1e-10, max_iter=10_000)
        reference.fit(scaled(features, features[member]), labels[member].numpy())
        for images in (features, queries):
            values = fitted.logits(images)[head].softmax(1)
            expected = reference.predict_proba(scaled(features, images))
            np.testing.assert_allclose(values, expected, atol=1e-3)


def test_the_gradient_is_zero_at_the_optimum() -> None:
    """By autograd, over the raw features and the weights as they are given back."""
    features, labels = draw()
    member = draw_members(1)[0]
    fitted = fit(features, labels, member[None], l2=0.5)
    pool = features.double()
    spread = pool.std(0, correction=0) * math.sqrt(WIDTH)
    inside = fitted.weights[0].double() * spread[:, None]
    bias = fitted.biases[0].double() + pool.mean(0) @ fitted.weights[0].double()
    whole = torch.cat([inside, bias[None]]).requires_grad_()
    images = torch.from_numpy(scaled(features, features[member]))
    loss = torch.nn.functional.cross_entropy(images @ whole, labels[member], reduction="sum")
    (loss + 0.25 * whole.square().sum()).backward()
    assert whole.grad is not None
    assert whole.grad.abs().max() < 1e-3


def test_a_head_alone_is_the_same_head_in_company() -> None:
    """At the default number of steps too, where not everything has come to rest."""
    features, labels = draw(count=90, width=200)  # more features than images, as with real ones
    members = draw_members(40, count=90)
    together = fit(features, labels, members, l2=0.2, iterations=100)
    for place in (0, 17, 39):
        alone = fit(features, labels, members[place : place + 1], l2=0.2, iterations=100)
        torch.testing.assert_close(
            alone.logits(features)[0].softmax(1),
            together.logits(features)[place].softmax(1),
            atol=1e-6,
            rtol=0,
        )


def test_what_is_not_in_the_subset_has_no_say() -> None:
    features, labels = draw()
    member = draw_members(1)
    other = torch.where(member[0], labels, (labels + 1) % CLASSES)
    one, two = fit(features, labels, member), fit(features, other, member)
    assert torch.equal(one.weights, two.weights)
    assert torch.equal(one.biases, two.biases)


def test_shapes_types_and_logits() -> None:
    features, labels = draw()
    fitted = fit(features, labels, draw_members(4), iterations=3)
    assert fitted.weights.shape == (4, WIDTH, CLASSES)
    assert fitted.biases.shape == (4, CLASSES)
    assert fitted.weights.dtype == fitted.biases.dtype == torch.float32
    logits = fitted.logits(features[:7])
    assert logits.shape == (4, 7, CLASSES)
    expected = features[:7] @ fitted.weights[2] + fitted.biases[2]
    torch.testing.assert_close(logits[2], expected)


def test_the_default_steps_come_near_the_optimum() -> None:
    """What 100 steps leave is small beside what separates two heads."""
    features, labels = draw(count=90, width=200)
    members = draw_members(3, count=90)
    short, long = (fit(features, labels, members, l2=0.2, iterations=n) for n in (100, 5000))
    gap = (short.logits(features).softmax(2) - long.logits(features).softmax(2)).abs()
    assert gap.max() < 0.01


def test_a_subset_of_one_class_says_that_class() -> None:
    features, labels = draw()
    members = (labels == 1)[None]
    fitted = fit(features, labels, members, l2=0.2)
    assert fitted.weights.isfinite().all()
    assert (fitted.logits(features)[0].argmax(1) == 1).all()


def test_a_subset_of_one_image_is_learned() -> None:
    features, labels = draw()
    members = torch.zeros(1, POOL, dtype=torch.bool)
    members[0, 11] = True
    assert fit(features, labels, members).logits(features)[0, 11].argmax() == labels[11]


def test_constant_features_change_nothing_wherever_they_stand() -> None:
    """A column without spread in the pool has no say, whatever it reads elsewhere."""
    features, labels = draw()
    members = draw_members(2)
    queries, _ = draw(seed=5)
    plain = fit(features, labels, members, l2=0.2)
    wider = torch.cat([features, torch.full((POOL, 1), 4.2)], 1)
    # One more feature divides all others by root 6 for root 5: l2 makes up for it but for the bias.
    fitted = fit(wider, labels, members, l2=0.2)
    elsewhere = fitted.logits(torch.cat([queries, torch.full((POOL, 1), -3.0)], 1))
    same = fitted.logits(torch.cat([queries, torch.full((POOL, 1), 4.2)], 1))
    torch.testing.assert_close(elsewhere, same, atol=1e-3, rtol=0)
    agree = (same.argmax(2) == plain.logits(queries).argmax(2)).double().mean()
    assert agree > 0.9


def test_features_without_any_spread_give_the_shares_of_the_classes() -> None:
    """All that is left is the bias: its optimum is softmax(b) m + l2 b = counts."""
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    fitted = fit(torch.full((10, 4), 2.5), labels, torch.ones(1, 10, dtype=torch.bool), l2=0.01)
    logit = fitted.logits(torch.full((1, 4), 2.5))[0, 0]
    np.testing.assert_allclose(logit.softmax(0), [0.6, 0.3, 0.1], atol=0.01)
    assert fitted.weights.isfinite().all()


# Embeddings.


@pytest.mark.parametrize(("count", "width", "axes"), [(60, 5, 5), (20, 50, 20), (150, 200, 128)])
def test_principal_axes_are_those_of_the_scaled_pool(count: int, width: int, axes: int) -> None:
    features, _ = draw(count=count, width=width)
    directions = principal_axes(features)
    embedded = directions.embed(features)
    assert embedded.shape == (count, axes)
    assert embedded.dtype == torch.float32
    inside = scaled(features, features)[:, :-1]
    stable = min(axes, count - 1)  # the last axis of a pool smaller than its features is arbitrary
    expected = PCA(stable).fit_transform(inside)
    np.testing.assert_allclose(embedded[:, :stable].abs(), np.abs(expected), atol=1e-4)
    spread = embedded.std(0)
    assert (spread.diff() <= 1e-6).all()


def test_embedding_is_linear_and_zero_at_the_mean() -> None:
    features, _ = draw()
    axes = principal_axes(features)
    torch.testing.assert_close(
        axes.embed(features.mean(0, keepdim=True)), torch.zeros(1, 5), atol=1e-5, rtol=0
    )
    queries, _ = draw(seed=9)
    middle = (queries[:1] + queries[1:2]) / 2
    torch.testing.assert_close(
        axes.embed(middle), axes.embed(queries[:2]).mean(0, keepdim=True), atol=1e-4, rtol=1e-4
    )


def test_axes_of_constant_features_are_finite() -> None:
    embedded = principal_axes(torch.full((8, 3), 1.5)).embed(torch.full((2, 3), 1.5))
    assert embedded.isfinite().all()
    assert embedded.abs().max() < 1e-3


def test_each_iteration_is_a_beat_of_all_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[tuple[object, ...]] = []
    monkeypatch.setattr(heads.pulse, "beat", lambda *beat: beats.append(beat))
    fit(*draw(), draw_members(4), iterations=3)
    assert beats == [(step, 3, "iteration", 4) for step in (1, 2, 3)]
