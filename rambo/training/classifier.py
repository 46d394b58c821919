"""Train the classifier f on one labeled subset, and ask it things."""

import dataclasses
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rambo.config import ClassifierConfig
from rambo.errors import DivergedError
from rambo.method.adam import Adam
from rambo.method.networks import CLASSIFIERS, Classifier
from rambo.seeding import Streams
from rambo.storage import pulse

_CHUNK = 500  # images a forward pass; large enough for full speed, small enough for any memory
_DECIDING = 10  # images counted first where a bound may be enough

# What a training descends: model, images, labels and the epoch from 1 give the loss and the logits.
Objective = Callable[[Classifier, Tensor, Tensor, int], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Fit:
    """A trained classifier and how it got there."""

    model: Classifier
    epochs: int
    train_accuracy: float


def fit_classifier(
    images: Tensor,
    labels: Tensor,
    config: ClassifierConfig,
    *,
    num_classes: int,
    seed: int,
) -> Fit:
    """Return a fresh classifier trained until its training accuracy passes the stop, or the epochs end.

    Source: Section 5.1 (Adam, stop above 99 %, at most 100 epochs, no schedule, no augmentation). Choice: training
    accuracy is measured in eval mode on the whole subset after each epoch; `accuracy_mode="train"` counts the
    running one, as public toolkits do.

    Args:
        images: `a x C x H x W` float32, normalised; their device decides where it trains.
        labels: `a` int64, same device.
        config: with a resolved name.
        num_classes: c.
        seed: decides weights, order and dropout.

    Raises:
        DivergedError: the loss is not finite.
    """
    streams = Streams(seed)
    model = create_classifier(images, config, num_classes, streams)
    return train_classifier(model, images, labels, config, streams)


def create_classifier(
    images: Tensor, config: ClassifierConfig, num_classes: int, streams: Streams
) -> Classifier:
    """Return a fresh f for such images, on their device."""
    with streams.ambient("weights"):
        model = CLASSIFIERS[config.name](images.shape[1], num_classes)
    model.to(images.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def cross_entropy(
    model: Classifier, images: Tensor, labels: Tensor, epoch: int
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy and the logits: what every f but a strategy's own descends."""
    logits = model(images)
    return F.cross_entropy(logits, labels), logits


def train_classifier(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    config: ClassifierConfig,
    streams: Streams,
    *,
    objective: Objective = cross_entropy,
    beside: Iterable[nn.Parameter] = (),
) -> Fit:
    """Return the model trained in place as `fit_classifier` says, on any objective.

    Args:
        model: f; its weights are changed.
        images: `a x C x H x W` float32, normalised, on the device of the model.
        labels: `a` int64, same device.
        config: with a resolved name.
        streams: order and dropout.
        objective: what is descended.
        beside: parameters that the objective has of its own.

    Raises:
        DivergedError: the loss is not finite.
    """
    device = images.device
    images = images.contiguous(memory_format=torch.channels_last)
    optimizer = Adam([*model.parameters(), *beside], config.learning_rate, fused=True)
    orders, dropout = streams.torch("order"), streams.child("dropout")
    epoch, reached = 0, 0.0
    while epoch < config.max_epochs and reached <= config.train_accuracy:
        epoch += 1
        pulse.beat(epoch, config.max_epochs)
        order = torch.randperm(len(labels), generator=orders).to(device)
        with dropout.ambient(f"epoch-{epoch}"):
            logits, finite = _train_epoch(
                model, optimizer, images[order], labels[order], config, objective, epoch
            )
        if not finite:
            raise DivergedError(
                f"the classifier's loss is not finite in epoch {epoch}",
                field="classifier.learning_rate",
                value=config.learning_rate,
                hint="lower it",
            )
        if config.accuracy_mode == "train":
            reached = int((logits.argmax(1) == labels[order]).sum()) / len(labels)
        else:
            # Those it was worst at on the way come first: most epochs of a whole fit are then judged by a tenth of
            # the subset (measured over fits of 200 FashionMNIST images; in any other order by a third).
            losses = F.cross_entropy(logits, labels[order], reduction="none")
            hardest = order[losses.argsort(descending=True)]
            # max_epochs ends it anyway: no bound then, the share itself
            above = config.train_accuracy if epoch < config.max_epochs else 0.0
            reached = accuracy(model, images[hardest], labels[hardest], above)
        if reached == 1.0:
            break  # nothing is above 1; without this a stop of 1.0 would never come
    return Fit(model.eval(), epoch, reached)


def _train_epoch(
    model: Classifier,
    optimizer: Adam,
    images: Tensor,
    labels: Tensor,
    config: ClassifierConfig,
    objective: Objective,
    epoch: int,
) -> tuple[Tensor, bool]:
    """Take one pass in minibatches; return the logits on the way, `a x c`, and whether the loss stayed finite."""
    model.train()
    outputs = []
    worst = torch.zeros((), device=labels.device)
    size = config.minibatch_size
    for minibatch, target in zip(images.split(size), labels.split(size), strict=True):
        loss, logits = objective(model, minibatch, target, epoch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # a NaN stays; one device read an epoch, not a step
        worst = torch.maximum(worst, loss.detach())
        outputs.append(logits.detach())
    return torch.cat(outputs), math.isfinite(float(worst))


@torch.no_grad()
def accuracy(model: Classifier, images: Tensor, labels: Tensor, above: float = 0.0) -> float:
    """Return the share of right predictions in [0, 1], in eval mode.

    With `above`, counting ends once the share can no longer be above it, and the bound that says so is returned. It
    begins with a few images: where the likely errors come first, they are often enough.

    Args:
        model: f.
        images: `a x C x H x W` float32, normalised.
        labels: `a` int64.
        above: the only threshold the caller asks about.
    """
    model.eval()
    start, size, bound = 0, _DECIDING if above else _CHUNK, len(labels)
    while start < len(labels) and (bound == len(labels) or bound / len(labels) > above):
        part = slice(start, start + size)
        bound -= int((model(images[part]).argmax(1) != labels[part]).sum())
        start, size = start + size, min(2 * size, _CHUNK)
    return bound / len(labels)


@torch.no_grad()
def right(model: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """Return which predictions are right, `a` bool on the CPU, in eval mode.

    Args:
        model: f.
        images: `a x C x H x W` float32, normalised.
        labels: `a` int64.
    """
    model.eval()
    parts = zip(images.split(_CHUNK), labels.split(_CHUNK), strict=True)
    return torch.cat([(model(part).argmax(1) == truth).cpu() for part, truth in parts])


@torch.no_grad()
def predict(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return class probabilities `a x c` and embeddings `a x e`, in eval mode, on the CPU.

    Args:
        model: f.
        images: `a x C x H x W` float32, normalised.
    """
    model.eval()
    embeddings = torch.cat([model.embed(part) for part in images.split(_CHUNK)])
    return model.head(embeddings).softmax(1).cpu(), embeddings.cpu()
