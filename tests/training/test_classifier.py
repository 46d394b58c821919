"""The classifier f: reproducible, stops where it should, learns, and never returns a diverged model."""

import contextlib
import math
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from tiny import tiny_config
from torch import Tensor
from torch.nn import functional as F

from rambo.checks import resolve_classifier as resolve
from rambo.config import ClassifierConfig
from rambo.datasets.prepared import Prepared
from rambo.errors import DataError, DivergedError
from rambo.method.networks import Classifier, MnistNet, ResNet18
from rambo.method.pools import digest, normalise
from rambo.seeding import Streams
from rambo.training import classifier
from rambo.training.classifier import (
    Fit,
    create_classifier,
    cross_entropy,
    fit_classifier,
    predict,
    train_classifier,
)

MNISTNET = ClassifierConfig(name="mnistnet", max_epochs=2)


def some(tiny: Prepared, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Return normalised images and labels of a range of the tiny dataset."""
    images = normalise(torch.from_numpy(tiny.images[start:stop]), tiny.mean, tiny.std)
    return images, torch.from_numpy(tiny.labels[start:stop])


def fit(images: Tensor, labels: Tensor, config: ClassifierConfig = MNISTNET, seed: int = 3) -> Fit:
    return fit_classifier(images, labels, config, num_classes=4, seed=seed)


def weights(fitted: Fit) -> str:
    return digest(*fitted.model.state_dict().values())


@pytest.fixture(scope="module")
def fitted(tiny: Prepared) -> Fit:
    """f on 32 images for two epochs, seed 3."""
    return fit(*some(tiny, 0, 32))


def test_same_seed_same_bytes_and_another_seed_differs(tiny: Prepared, fitted: Fit) -> None:
    torch.manual_seed(99)  # what torch's global generators hold must not matter
    assert weights(fit(*some(tiny, 0, 32))) == weights(fitted)
    assert weights(fit(*some(tiny, 0, 32), seed=4)) != weights(fitted)


def test_the_global_random_state_is_left_as_it_was(tiny: Prepared) -> None:
    before = torch.get_rng_state()
    fit(*some(tiny, 0, 32), MNISTNET.model_copy(update={"max_epochs": 1}))
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_are_left_as_they_were(tiny: Prepared) -> None:
    images, labels = some(tiny, 0, 8)
    before = digest(images, labels)
    fit(images, labels)
    assert digest(images, labels) == before


def test_it_learns_the_tiny_data_far_above_chance(tiny: Prepared) -> None:
    config = ClassifierConfig(name="mnistnet", max_epochs=12)
    learned = fit(*some(tiny, 0, 60), config)
    assert classifier.accuracy(learned.model, *some(tiny, 100, 200)) > 0.9  # chance is 0.25


@pytest.mark.parametrize(
    ("reached", "threshold", "epochs"),
    [
        ([0.5, 0.98, 0.995, 1.0], 0.99, 3),  # the first epoch above the threshold is the last
        ([0.5, 0.99, 0.991, 1.0], 0.99, 3),  # "above 99 %": 0.99 itself is not enough
        ([0.2, 0.3, 0.4, 0.5, 0.5], 0.99, 4),  # never above it: max_epochs, counted once more
        ([0.9, 1.0, 1.0, 1.0], 1.0, 2),  # nothing is above 1, so 1 itself stops
        ([0.7, 0.2], 0.5, 1),
    ],
)
def test_it_stops_at_the_first_epoch_above_the_threshold(
    tiny: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    reached: list[float],
    threshold: float,
    epochs: int,
) -> None:
    train_epoch, done = classifier._train_epoch, 0

    def counted(*arguments: Any) -> Any:
        nonlocal done
        done += 1
        return train_epoch(*arguments)

    monkeypatch.setattr(classifier, "_train_epoch", counted)
    monkeypatch.setattr(classifier, "accuracy", lambda *arguments: reached[done - 1])
    config = ClassifierConfig(name="mnistnet", max_epochs=4, train_accuracy=threshold)
    stopped = fit(*some(tiny, 0, 4), config)
    assert stopped.epochs == done == epochs
    assert stopped.train_accuracy == reached[epochs - 1]


def test_the_training_accuracy_is_that_of_the_whole_subset_in_eval_mode(
    tiny: Prepared, fitted: Fit
) -> None:
    images, labels = some(tiny, 0, 32)
    assert not fitted.model.training
    with torch.no_grad():
        guesses = fitted.model(images).argmax(1)
    assert fitted.train_accuracy == int((guesses == labels).sum()) / 32


def test_the_train_mode_option_counts_what_was_right_on_the_way(tiny: Prepared) -> None:
    """The running accuracy, rebuilt by hand: before each step, in train mode, with the same draws."""
    images, labels = some(tiny, 0, 32)
    config = MNISTNET.model_copy(update={"accuracy_mode": "train", "max_epochs": 1})
    right: list[bool] = []

    def listen(module: torch.nn.Module, inputs: tuple[Tensor, ...], logits: Tensor) -> None:
        if isinstance(module, MnistNet) and module.training:
            rows = [int((images == one).flatten(1).all(1).nonzero()) for one in inputs[0]]
            right.extend((logits.argmax(1) == labels[rows]).tolist())

    handle = torch.nn.modules.module.register_module_forward_hook(listen)
    try:
        running = fit(images, labels, config)
    finally:
        handle.remove()
    assert len(right) == 32
    assert running.train_accuracy == sum(right) / 32
    evaluated = fit(images, labels, config.model_copy(update={"accuracy_mode": "eval"}))
    assert weights(running) == weights(evaluated)  # only the stop differs, not the training


def test_the_last_minibatch_is_smaller_and_every_image_is_seen_once_an_epoch(
    tiny: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = some(tiny, 0, 25)
    batches: list[Tensor] = []
    forward: Callable[[MnistNet, Tensor], Tensor] = MnistNet.forward

    def watched(self: MnistNet, minibatch: Tensor) -> Tensor:
        if self.training:
            batches.append(minibatch.detach().clone())
        return forward(self, minibatch)

    monkeypatch.setattr(MnistNet, "forward", watched)
    monkeypatch.setattr(classifier, "accuracy", lambda *arguments: 0.5)  # no early stop
    fit(images, labels, MNISTNET.model_copy(update={"minibatch_size": 10, "max_epochs": 2}))
    assert [len(minibatch) for minibatch in batches] == [10, 10, 5, 10, 10, 5]
    for epoch in (torch.cat(batches[:3]), torch.cat(batches[3:])):
        order = [int((images == one).flatten(1).all(1).nonzero()) for one in epoch]
        assert sorted(order) == list(range(25))
        assert order != list(range(25))
    assert not torch.equal(torch.cat(batches[:3]), torch.cat(batches[3:]))  # a new order each epoch


def test_one_image_is_enough(tiny: Prepared) -> None:
    alone = fit(*some(tiny, 0, 1))
    assert 1 <= alone.epochs <= 2
    assert alone.train_accuracy in (0.0, 1.0)


@pytest.mark.parametrize("side", [16, 28])
@pytest.mark.parametrize("count", [1, 5])
def test_resnet_takes_a_last_minibatch_of_one_image(side: int, count: int) -> None:
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    config = ClassifierConfig(name="resnet18", max_epochs=1, minibatch_size=4)
    trained = fit(images, torch.arange(count) % 4, config)
    assert isinstance(trained.model, ResNet18)
    assert predict(trained.model, images)[0].isfinite().all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_images_that_are_not_finite_are_a_diverged_fit(tiny: Prepared, bad: float) -> None:
    images, labels = some(tiny, 0, 24)
    images[17, 0, 5, 5] = bad
    with pytest.raises(
        DivergedError, match=r"^classifier\.learning_rate 0\.001: .* in epoch 1; lower it$"
    ):
        fit(images, labels)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_learning_rate_of_10_diverges_loudly_or_stays_finite(tiny: Prepared, seed: int) -> None:
    images, labels = some(tiny, 0, 24)
    config = MNISTNET.model_copy(update={"learning_rate": 10.0, "max_epochs": 3})
    wild: Fit | None = None
    with contextlib.suppress(DivergedError):
        wild = fit(images, labels, config, seed)
    if wild is not None:
        assert 0 <= wild.train_accuracy <= 1
        assert predict(wild.model, images)[0].isfinite().all()


def test_accuracy_is_the_share_of_right_guesses_over_all_chunks(
    tiny: Prepared, fitted: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = some(tiny, 0, 50)
    guesses = predict(fitted.model, images)[0].argmax(1)
    assert classifier.accuracy(fitted.model, images, guesses) == 1.0
    wrong = guesses.clone()
    wrong[[3, 20, 49]] = (wrong[[3, 20, 49]] + 1) % 4
    monkeypatch.setattr(classifier, "_CHUNK", 7)  # the last chunk has one image
    assert classifier.accuracy(fitted.model, images, wrong) == 47 / 50
    assert classifier.accuracy(fitted.model, images, (guesses + 1) % 4) == 0.0


def test_counting_may_end_early_but_never_on_the_wrong_side_of_the_threshold(
    tiny: Prepared, fitted: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = some(tiny, 0, 40)
    guesses = predict(fitted.model, images)[0].argmax(1)
    for size in (1, 7, 40, 500):
        monkeypatch.setattr(classifier, "_DECIDING", size)
        for wrong in (0, 1, 2, 20, 39, 40):
            labels = guesses.clone()
            order = torch.randperm(40, generator=torch.Generator().manual_seed(size))[:wrong]
            labels[order] = (labels[order] + 1) % 4
            share = (40 - wrong) / 40
            for above in (0.025, 0.5, 0.95, 0.975, 0.99, 1.0):
                measure = classifier.accuracy(fitted.model, images, labels, above)
                assert (measure > above) == (share > above)
                assert measure == share if share > above else share <= measure <= max(above, share)


def test_the_images_it_was_worst_at_on_the_way_are_counted_first(
    tiny: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch asks about the whole subset, in order of falling training loss; the last asks for no bound."""
    images, labels = some(tiny, 0, 24)
    epochs: list[Tensor] = []  # of each epoch the loss of every image, by its content
    targets: list[float] = []
    train_epoch = classifier._train_epoch

    def loss_of(inputs: Tensor, truth: Tensor, logits: Tensor) -> dict[bytes, float]:
        each = F.cross_entropy(logits, truth, reduction="none")
        return dict(zip(map(digest, inputs), each.tolist(), strict=True))

    def noted(*arguments: Any) -> Any:
        logits, finite = train_epoch(*arguments)
        epochs.append(loss_of(arguments[2], arguments[3], logits))
        return logits, finite

    def counted(model: Any, inputs: Tensor, truth: Tensor, above: float) -> float:
        values = [epochs[-1][digest(image)] for image in inputs]
        assert values == sorted(values, reverse=True)
        assert sorted(map(digest, inputs)) == sorted(map(digest, images))
        truths = dict(zip(map(digest, images), labels.tolist(), strict=True))
        assert truth.tolist() == [truths[digest(image)] for image in inputs]
        targets.append(above)
        return 0.5

    monkeypatch.setattr(classifier, "_train_epoch", noted)
    monkeypatch.setattr(classifier, "accuracy", counted)
    fit(images, labels, MNISTNET.model_copy(update={"max_epochs": 3}))
    assert targets == [0.99, 0.99, 0.0]


def test_few_images_settle_a_share_that_cannot_pass(
    tiny: Prepared, fitted: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks double, and none is counted once the answer stands."""
    images, _ = some(tiny, 0, 40)
    guesses = predict(fitted.model, images)[0].argmax(1)
    sizes: list[int] = []
    hook = fitted.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    wrong = (guesses + 1) % 4
    for labels, above, expected in (
        (torch.cat([wrong[:1], guesses[1:]]), 0.99, [10]),
        (torch.cat([guesses[:15], wrong[15:]]), 0.99, [10, 20]),
        (guesses, 0.99, [10, 20, 10]),
        (guesses, 0.0, [40]),
    ):
        sizes.clear()
        classifier.accuracy(fitted.model, images, labels, above)
        assert sizes == expected
    hook.remove()


def test_predictions_are_probabilities_and_embeddings_feed_the_head_to_the_same(
    tiny: Prepared, fitted: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = some(tiny, 0, 50)
    fitted.model.train()  # asking is done in eval mode whatever was before
    probabilities, embeddings = predict(fitted.model, images)
    assert probabilities.shape == (50, 4)
    assert embeddings.shape == (50, MnistNet.width)
    assert not probabilities.requires_grad
    assert (probabilities >= 0).all()
    torch.testing.assert_close(probabilities.sum(1), torch.ones(50))
    with torch.no_grad():
        torch.testing.assert_close(fitted.model.head(embeddings).softmax(1), probabilities)
        torch.testing.assert_close(fitted.model.eval()(images).softmax(1), probabilities)
    monkeypatch.setattr(classifier, "_CHUNK", 7)
    torch.testing.assert_close(predict(fitted.model, images)[0], probabilities)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        ((1, 28, 28), "mnistnet"),
        ((3, 28, 28), "resnet18"),
        ((3, 32, 32), "resnet18"),
        ((1, 32, 32), "resnet18"),
        ((1, 28, 27), "resnet18"),
        ((3, 16, 40), "resnet18"),
    ],
)
def test_auto_takes_mnistnet_for_28_by_28_grey_images_only(
    shape: tuple[int, int, int], name: str
) -> None:
    config = tiny_config().classifier
    assert config.name == "auto"
    resolved = resolve(config, shape)
    assert resolved.name == name
    assert resolved.model_copy(update={"name": "auto"}) == config


def test_a_named_classifier_is_kept_or_refused() -> None:
    resnet = ClassifierConfig(name="resnet18")
    assert resolve(resnet, (1, 28, 28)) == resnet
    assert resolve(MNISTNET, (1, 28, 28)) == MNISTNET
    with pytest.raises(DataError, match=r"classifier\.name mnistnet: images are 3 x 28 x 28"):
        resolve(MNISTNET, (3, 28, 28))
    with pytest.raises(DataError, match="3 x 8 x 8, and it needs sides of 16"):
        resolve(ClassifierConfig(), (3, 8, 8))


def test_a_bound_answers_the_question_that_was_asked(tiny: Prepared) -> None:
    """Counting that ends early never disagrees with the full count about the threshold."""
    images, labels = some(tiny, 0, 200)
    model = fit(images[:8], labels[:8], MNISTNET.model_copy(update={"max_epochs": 2})).model
    exact = classifier.accuracy(model, images, labels)
    assert 0.1 < exact < 0.99
    for above in (0.1, exact - 0.01, exact, exact + 0.01, 0.99, 1.0):
        bound = classifier.accuracy(model, images, labels, above)
        assert (bound > above) == (exact > above)
        assert bound >= exact


@pytest.mark.parametrize("name", ["auto", "resnet18"])
@pytest.mark.parametrize("shape", [(3, 15, 28), (3, 28, 8), (1, 8, 8)])
def test_images_too_small_for_batch_norm_are_refused(
    name: Literal["auto", "resnet18"], shape: tuple[int, int, int]
) -> None:
    size = " x ".join(map(str, shape))
    with pytest.raises(
        DataError, match=rf"classifier\.name resnet18: images are {size}, and it needs"
    ):
        resolve(ClassifierConfig(name=name), shape)


def test_training_is_adam_on_the_mean_cross_entropy_step_by_step() -> None:
    """Rebuilt by hand from the same draws, to the bit."""
    images = torch.randn(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(7) % 4
    config = ClassifierConfig(name="mnistnet", max_epochs=2, minibatch_size=3)
    streams = Streams(5)
    with streams.ambient("weights"):
        model = MnistNet(1, 4)
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    orders, dropout = streams.torch("order"), streams.child("dropout")
    for epoch in (1, 2):
        order = torch.randperm(7, generator=orders)
        model.train()
        with dropout.ambient(f"epoch-{epoch}"):
            for rows in order.split(3):
                optimizer.zero_grad()
                inputs = images[rows].contiguous(memory_format=torch.channels_last)
                loss = torch.nn.functional.cross_entropy(model(inputs), labels[rows])
                loss.backward()
                optimizer.step()
    trained = fit(images, labels, config, seed=5)
    assert trained.epochs == 2
    assert weights(trained) == digest(*model.state_dict().values())


def test_an_objective_of_ones_own_is_told_the_epoch_and_trains_what_stands_beside(
    tiny: Prepared,
) -> None:
    images, labels = some(tiny, 0, 25)
    config = MNISTNET.model_copy(update={"minibatch_size": 10, "max_epochs": 3})
    offset, minibatches = torch.nn.Parameter(torch.zeros(4)), []

    def shifted(
        model: Classifier, minibatch: Tensor, target: Tensor, epoch: int
    ) -> tuple[Tensor, Tensor]:
        minibatches.append((epoch, len(minibatch)))
        logits = model(minibatch) + offset
        return torch.nn.functional.cross_entropy(logits, target), logits

    streams = Streams(3)
    model = create_classifier(images, config, 4, streams)
    before = digest(*model.state_dict().values())
    trained = train_classifier(
        model, images, labels, config, streams, objective=shifted, beside=[offset]
    )
    assert trained.model is model
    assert digest(*model.state_dict().values()) != before
    assert (offset.detach() != 0).all()
    expected = [(epoch, size) for epoch in (1, 2, 3) for size in (10, 10, 5)]
    assert minibatches == expected[: len(minibatches)]
    assert len(minibatches) == 3 * trained.epochs


def test_a_training_with_its_parts_in_hand_is_the_usual_one(tiny: Prepared, fitted: Fit) -> None:
    images, labels = some(tiny, 0, 32)
    streams = Streams(3)
    model = create_classifier(images, MNISTNET, 4, streams)
    trained = train_classifier(model, images, labels, MNISTNET, streams, objective=cross_entropy)
    assert weights(trained) == weights(fitted)


def test_each_epoch_is_a_beat(tiny: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[tuple[int, int]] = []
    monkeypatch.setattr(classifier.pulse, "beat", lambda *beat: beats.append(beat))
    trained = fit(*some(tiny, 0, 32))
    assert beats == [(epoch + 1, MNISTNET.max_epochs) for epoch in range(trained.epochs)]
