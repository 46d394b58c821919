"""LLAL: the images whose loss a small module, trained beside the classifier, predicts to be the largest."""

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rambo.config import LlalConfig
from rambo.errors import ConfigError
from rambo.events import Emit, stage
from rambo.method.acquisition import rank_by
from rambo.method.adam import Adam
from rambo.method.networks import Classifier, LossModule
from rambo.method.pools import Selection
from rambo.seeding import Streams, derive_seed
from rambo.strategies.picking import in_one_step
from rambo.training.call import Call
from rambo.training.classifier import Fit, create_classifier, train_classifier
from rambo.training.ensemble import Ensemble
from rambo.training.outcomes import (
    Outcome,
    Result,
    TrainingRecord,
    accuracies_of,
    pack_right,
)
from rambo.training.units import FitUnit, content_key

_CHUNK = 500  # images a forward pass, as many as f is asked about at once


def llal(call: Call) -> Selection:
    """Return the B images of the largest predicted loss (Yoo and Kweon 2019).

    Choice: the whole pool is looked at, where the original looks at a random 10,000 of it in each of many rounds.
    Weights and orders follow the ensemble's seed alone, as those of every training; `streams` is not drawn from.

    Raises:
        ConfigError: f is a logistic head.
    """
    problem, ensemble = call.problem, call.ensemble
    if ensemble.config.name == "logistic":
        raise ConfigError(
            "a logistic head has no layers to tap",
            field="strategies",
            value="llal",
            hint="leave llal out, or choose another classifier.name",
        )
    predictions = call.predictions()
    unit = LossUnit.of(ensemble, call.config.rivals.llal)
    with stage("acquisition", 1, call.emit) as advance:
        (outcome,) = ensemble.run([unit], call.emit, advance)
    predicted = torch.full((len(problem.labels),), torch.nan)
    predicted[torch.from_numpy(unit.fit.predicted)] = torch.tensor(outcome.arrays["scores"])
    chosen = rank_by(problem.unlabeled, -predicted)[: call.budget]
    figures = {
        "mean predicted loss of the chosen": float(predicted[chosen].mean()),
        "mean predicted loss of the pool": float(predicted[problem.unlabeled].mean()),
    }
    return dataclasses.replace(in_one_step(predictions, chosen), figures=figures)


def ranking_loss(predicted: Tensor, true: Tensor, margin: float) -> Tensor:
    """Return the mean hinge over the pairs of a minibatch: the larger loss is to be predicted larger by `margin`.

    Source: Yoo and Kweon 2019; the first image is paired with the last, the second with the last but one. Choice: of
    an odd number the last image has no partner; no pair gives 0.

    Args:
        predicted: `a` predicted losses.
        true: `a` losses of the classifier, without gradient.
        margin: xi.
    """
    pairs = len(true) // 2
    if not pairs:
        return predicted.new_zeros(())
    first, second = slice(None, pairs), slice(pairs, 2 * pairs)
    sign = torch.where(true[first] > true[second].flip(0), 1.0, -1.0)
    return F.relu(margin - sign * (predicted[first] - predicted[second].flip(0))).mean()


def joint_loss(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    epoch: int,
    *,
    module: LossModule,
    config: LlalConfig,
    max_epochs: int,
) -> tuple[Tensor, Tensor]:
    """Return mean cross-entropy plus weighted ranking loss of one minibatch, and the logits.

    Source: Yoo and Kweon 2019. Late in the training the module learns on, but no longer pulls at the classifier.

    Args:
        model: f.
        images: `a x C x H x W` float32, normalised.
        labels: `a` int64.
        epoch: from 1; beyond the share `detached_from` of `max_epochs` the taps carry no gradient.
        module: the loss module.
        config: weight, margin and that share.
        max_epochs: of the training.
    """
    taps, logits = model.tap(images)
    if epoch > config.detached_from * max_epochs:
        taps = [tap.detach() for tap in taps]
    losses = F.cross_entropy(logits, labels, reduction="none")
    ranking = ranking_loss(module(taps), losses.detach(), config.margin)
    return losses.mean() + config.weight * ranking, logits


@dataclasses.dataclass(frozen=True, eq=False)
class LossUnit:
    """Train a classifier and its loss module together on S_0, and predict the loss of every unlabeled image.

    Attributes:
        fit: the training as it would be without the module; `predicted` are the images whose loss is wanted.
        settings: of the module.
    """

    fit: FitUnit
    settings: LlalConfig

    @classmethod
    def of(cls, ensemble: Ensemble, settings: LlalConfig) -> "LossUnit":
        """Return the unit of an ensemble's problem."""
        fit = dataclasses.replace(
            ensemble.fit_unit(ensemble.problem.labeled, "llal"),
            predicted=ensemble.problem.unlabeled.sort().values.numpy(),
            seed=derive_seed(ensemble.seed, "llal"),
        )
        return cls(fit, settings)

    @functools.cached_property
    def key(self) -> str:
        """Content key: that of the training without the module, and the module's settings."""
        settings = self.settings.model_dump(mode="json")
        return content_key(kind="llal", fit=self.fit.key, llal=settings)

    @property
    def company(self) -> str:
        """None: it is trained alone."""
        return ""

    @property
    def here(self) -> bool:
        """As the training without the module."""
        return self.fit.here

    @property
    def cost(self) -> float:
        """Relative length: the module is small beside the classifier."""
        return self.fit.cost

    def run(self) -> Result:
        """Train, measure, and predict losses.

        Choice: a diverged fit is tried once more with a derived seed, as any other.

        Raises:
            DivergedError: both fits diverged.
        """
        started, fit = time.perf_counter(), self.fit
        images, labels = fit.load(fit.subset), torch.from_numpy(fit.labels).to(fit.device)
        classifier_fit, module = fit.try_twice(lambda seed: self._train(images, labels, seed))
        right = fit.right(classifier_fit.model, fit.load)
        parts = np.array_split(fit.predicted, -(-len(fit.predicted) // _CHUNK))
        with torch.no_grad():
            scores = torch.cat(
                [module(classifier_fit.model.tap(fit.load(part))[0]).cpu() for part in parts]
            )
        record = TrainingRecord(
            accuracies=accuracies_of(right),
            right=pack_right(right),
            epochs=classifier_fit.epochs,
            train_accuracy=classifier_fit.train_accuracy,
            seconds=time.perf_counter() - started,
        )
        return record, {"scores": scores.numpy()}

    def run_group(self, units: Sequence[Any], emit: Emit) -> Iterator[tuple[int, Result]]:
        """Train one after the other: there is only one in a call."""
        yield from ((place, unit.run()) for place, unit in enumerate(units))

    def judged(self, outcome: Outcome) -> Outcome:
        """As the training without the module."""
        return self.fit.judged(outcome)

    def announce(self, outcome: Outcome, emit: Emit) -> None:
        """Emit what happened."""
        self.fit.announce(outcome, emit)

    def _train(self, images: Tensor, labels: Tensor, seed: int) -> tuple[Fit, LossModule]:
        """Return the classifier and the loss module of one joint training."""
        fit, streams = self.fit, Streams(seed)
        model = create_classifier(images, fit.config, fit.num_classes, streams)
        with streams.ambient("loss module"):
            module = LossModule(model.tapped, self.settings.width).to(images.device)
        objective = functools.partial(
            joint_loss, module=module, config=self.settings, max_epochs=fit.config.max_epochs
        )
        classifier_fit = train_classifier(
            model,
            images,
            labels,
            fit.config,
            streams,
            objective=objective,
            beside=module.parameters(),
        )
        if self.settings.learns_on:
            rest = fit.config.max_epochs - classifier_fit.epochs
            learn_on(classifier_fit.model, module, images, labels, self, rest, streams)
        return classifier_fit, module


def learn_on(
    model: Classifier,
    module: LossModule,
    images: Tensor,
    labels: Tensor,
    unit: LossUnit,
    epochs: int,
    streams: Streams,
) -> None:
    """Train the loss module for the epochs that f, which has stopped, leaves it.

    Source: Yoo and Kweon 2019: in the last 80 of 200 epochs the module learns from detached taps. Choice: here f stops
    at 99 % of training accuracy, mostly long before its last epoch, and would leave the module a tenth of its training;
    so f stays as it is, its taps and losses are computed once, and the module learns on to f's last epoch.

    Args:
        model: f, trained.
        module: its weights are changed.
        images: `a x C x H x W` float32, normalised.
        labels: `a` int64.
        unit: learning rate, minibatch size and margin.
        epochs: that are left.
        streams: decides the order.
    """
    config, orders = unit.fit.config, streams.torch("module order")
    model.eval()
    with torch.no_grad():
        parts = [model.tap(part) for part in images.split(_CHUNK)]
        # The module averages each map; a vector it takes as it is.
        taps = [
            torch.cat([tap.unsqueeze(2).flatten(2).mean(2) for tap in layer])
            for layer in zip(*(own for own, _ in parts), strict=True)
        ]
        losses = F.cross_entropy(torch.cat([own for _, own in parts]), labels, reduction="none")
    optimizer = Adam(module.parameters(), config.learning_rate, fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=orders).to(images.device)
        for rows in order.split(config.minibatch_size):
            loss = ranking_loss(
                module([tap[rows] for tap in taps]), losses[rows], unit.settings.margin
            )
            if not len(rows) // 2:
                continue
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
