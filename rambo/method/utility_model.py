"""The utility model u_hat: create it, fit it (ordinary or bilevel), and ask it for predicted utilities."""

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from rambo.config import BilevelConfig, UtilityModelConfig
from rambo.errors import DivergedError
from rambo.events import (
    Emit,
    HyperStep,
    Noticed,
    TransportPredicted,
    UtilityModelEpoch,
    ignore,
)
from rambo.method import bilevel, losses
from rambo.method.adam import Adam
from rambo.method.networks import (
    AttentionPooling,
    ConvElements,
    FeatureElements,
    Reference,
    SetNetwork,
    SetPrediction,
)
from rambo.method.pools import Problem, membership_matrix
from rambo.method.utility_samples import UtilitySamples, split_by_size
from rambo.seeding import Streams, pinned

_ELEMENTS_CHUNK = 500  # images embedded at once; more leave the cache and take half as long again
_UNIONS_CHUNK = 64  # padded unions scored at once by the Set Transformer
_GROWN = 2.0  # times the inner objective of before: momentum overshoots by less
_HALVINGS = 6  # a rate that is further off is a mistake, which a person should hear of


@dataclasses.dataclass(frozen=True, eq=False)
class UtilityModel:
    """u_hat with what its training learned beside the weights.

    Attributes:
        network: the set network; `fit_utility_model` changes its weights in place, nothing else does.
        log_l2: lambda, one log-L2 weight per parameter tensor of the network, in its order.
        config: architecture, loss and training; its inner learning rate is smaller than the run's once that diverged.
    """

    network: SetNetwork
    log_l2: tuple[Tensor, ...]
    config: UtilityModelConfig


def create_utility_model(
    problem: Problem, config: UtilityModelConfig, streams: Streams
) -> UtilityModel:
    """Return a fresh u_hat for the problem's images.

    Source: A.1 for 28 x 28 grey images, A.2 for frozen features. Lambda starts at `initial_log_l2`.
    """
    # One generator for the weights of all layers, so the network is the same whatever was drawn before.
    with streams.ambient("weights"):
        # psi: 28 x 28 grey pixels through two convolutions (A.1), or frozen features through two linear layers (A.2).
        elements = (
            ConvElements(config.dropout)
            if problem.features is None or not problem.reads_features
            else FeatureElements(problem.features.shape[1])
        )
        network = SetNetwork(elements, config.pooling)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # embeds twice as fast on a CPU
    # Lambda lives beside the network and survives its fits: each iteration of pretraining goes on from the last.
    log_l2 = tuple(torch.tensor(config.bilevel.initial_log_l2) for _ in network.parameters())
    return UtilityModel(network.eval(), log_l2, config)


@dataclasses.dataclass(frozen=True, eq=False)
class _Task:
    """Utility samples as tensors: `p` pairs over the `k` images of the labeled pool."""

    inputs: Tensor  # k x ...
    membership: Tensor  # 2p x k
    utilities: Tensor  # p x 2
    transport: Tensor  # p x 2

    def rows(self, pairs: Tensor) -> "_Task":
        """Return the task of some pairs, over the same images."""
        # The sets of pair i are the rows 2 i and 2 i + 1, so a pair is never torn apart by a minibatch.
        both = torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten()
        return _Task(
            self.inputs, self.membership[both], self.utilities[pairs], self.transport[pairs]
        )


def _task(problem: Problem, samples: UtilitySamples, inputs: Tensor) -> _Task:
    """Return the samples as tensors over the labeled pool, whose network inputs are given."""
    return _Task(
        inputs,
        samples.membership(problem.labeled),
        samples.utilities,
        samples.transport.float(),
    )


def _losses(
    prediction: SetPrediction, task: _Task, config: UtilityModelConfig
) -> tuple[Tensor, Tensor]:
    """Return the two parts of L_Total: ranking (or regression) loss and OT loss."""
    utility, transport = prediction.utility.view(-1, 2), prediction.transport.view(-1, 2)
    # Both take pairs: the ranking loss sees only which set is better, the regression loss by how much.
    compare = losses.ranking_loss if config.loss == "rank" else losses.regression_loss
    distance = losses.transport_loss(
        transport,
        task.transport,
        square_weight=config.square_weight,
        # The third term of Definition 3 keeps a distance above zero; a residual may well be negative.
        positive_weight=0.0 if config.ground_cost.residual else config.positive_weight,
    )
    return compare(utility, task.utilities), distance


def _total(prediction: SetPrediction, task: _Task, config: UtilityModelConfig) -> Tensor:
    """Return L_Total = L_Rank + lambda_OT L_OT (Definition 4)."""
    first, distance = _losses(prediction, task, config)
    # With OT off the head is there all the same, untrained: the network has one shape in all ablations.
    return first + config.ot_weight * distance if config.transport else first


def fit_utility_model(
    model: UtilityModel,
    problem: Problem,
    samples: UtilitySamples,
    streams: Streams,
    *,
    bilevel_training: bool,
    phase: str,
    emit: Emit = ignore,
) -> UtilityModel:
    """Return u_hat trained on `samples`, from the weights and lambda it has (Algorithm 1, lines 3 and 14).

    Source: Section 4.2.1. Choice: warm start; `epochs` epochs over D, each a hyper-step when bilevel.

    Args:
        model: its network is trained in place.
        problem: the images.
        samples: D; at least 2 pairs.
        streams: minibatch order and dropout.
        bilevel_training: shorter half inner, longer half outer; else ordinary training on all of D.
        phase: name for the events.
        emit: hears of every epoch and hyper-step.

    Raises:
        DivergedError: the loss is not finite.
    """
    # The images of S_0 stand once, as tensors; a subset is a row of weights over them.
    inputs = problem.network_inputs(problem.labeled)
    # Halves by size and not by chance: what is learned on small sets has to hold on large ones (4.1d).
    short, long = (_task(problem, half, inputs) for half in split_by_size(samples))
    whole = _task(problem, samples, inputs)
    # The report measures both halves in every scheme, so that "bilevel off" is drawn on the axes of "bilevel on".
    report = _Report(model, short, long, phase, emit)
    if bilevel_training:
        model = _fit_bilevel(model, short, long, streams, report)
        if model.config.bilevel.refit:
            # Lambda was learned with half of D held out; the weights get all of it at last.
            refitted = dataclasses.replace(report, phase=f"{phase}-refit")
            _fit_ordinary(model, whole, streams.child("refit"), refitted)
    else:
        _fit_ordinary(model, whole, streams, report)
    model.network.eval()
    with torch.no_grad():
        predicted = model.network(inputs, whole.membership).transport
    emit(TransportPredicted(phase, whole.transport.flatten().tolist(), predicted.tolist()))
    return model


@dataclasses.dataclass(frozen=True, eq=False)
class _Report:
    """Measures both halves after an epoch, tells the listener, and stops a diverged fit."""

    model: UtilityModel
    short: _Task
    long: _Task
    phase: str
    emit: Emit

    def epoch(self, number: int) -> None:
        """Emit the figures of one epoch."""
        config = self.model.config
        # Without dropout, as the acquisition will ask it; a fit sets the mode again for its next epoch.
        self.model.network.eval()
        figures = []
        with torch.no_grad():
            for task in (self.short, self.long):
                prediction = self.model.network(task.inputs, task.membership)
                first, distance = _losses(prediction, task, config)
                ranking = losses.ranking_accuracy(prediction.utility.view(-1, 2), task.utilities)
                figures.append((float(first), float(distance), ranking))
        (rank, distance_, inner), (outer_rank, outer_distance, outer) = figures
        if not all(map(math.isfinite, (rank, distance_, outer_rank, outer_distance))):
            raise DivergedError(
                f"the utility model's loss is not finite in {self.phase}, epoch {number}",
                field="rambo.utility_model.learning_rate",
                hint="lower it, or rambo.utility_model.bilevel.inner_learning_rate",
            )
        self.emit(
            UtilityModelEpoch(
                phase=self.phase,
                epoch=number,
                epochs=config.epochs,
                rank_loss=rank,
                transport_loss=distance_,
                outer_rank_loss=outer_rank,
                outer_transport_loss=outer_distance,
                inner_ranking_accuracy=inner,
                outer_ranking_accuracy=outer,
            )
        )


def _fit_ordinary(model: UtilityModel, task: _Task, streams: Streams, report: _Report) -> None:
    """Train on all pairs in minibatches, with Adam and a small fixed weight decay.

    Choice: the control for the row "bilevel off" of Table 1, and the offline initialisation.
    """
    config, network = model.config, model.network
    # A new optimizer at each call: moments of the iteration before belong to another D.
    optimizer = Adam(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    orders, dropout = streams.torch("pair order"), streams.child("dropout")
    for epoch in range(1, config.epochs + 1):
        # Each epoch anew: the report between two epochs left the network in eval mode.
        network.train()
        # Pairs are shuffled, not sets. The order has a stream of its own, so it is the same with and without dropout.
        order = torch.randperm(len(task.utilities), generator=orders)
        with dropout.ambient(f"epoch-{epoch}"):
            for pairs in order.split(config.minibatch_pairs):
                part = task.rows(pairs)
                loss = _total(network(part.inputs, part.membership), part, config)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        report.epoch(epoch)


def _fit_bilevel(
    model: UtilityModel, short: _Task, long: _Task, streams: Streams, report: _Report
) -> UtilityModel:
    """Learn weights on the short pairs and lambda on the long ones; return the model with its new lambda.

    Inner objective: L_Total on D_tr plus Omega_lambda = sum over tensors of exp(log_l2) |w|^2 / 2. Outer: L_Total on
    D_val. Choice: per epoch one hyper-step, that is T momentum steps on the weights and one Adam step on lambda; the
    dropout mask is held still during a hyper-step, and the outer objective is measured without dropout. A hyper-step
    that diverges is taken again at half the learning rate, which then stays.
    """
    config, network = model.config, model.network
    # Weights as plain tensors beside the network: the hypergradient differentiates with respect to them, which
    # parameters changed in place by an optimizer do not allow. `functional_call` puts them in for one prediction.
    names = [name for name, _ in network.named_parameters()]
    weights = tuple(weight.detach().clone() for weight in network.parameters())
    # Momentum goes on from hyper-step to hyper-step: together they are one long descent under a penalty that moves.
    velocity = tuple(map(torch.zeros_like, weights))
    # The logarithm, so that any step of Adam leaves a positive penalty, and halving is as easy as doubling.
    log_l2 = tuple(value.clone().requires_grad_() for value in model.log_l2)
    optimizer = Adam(log_l2, config.bilevel.outer_learning_rate)
    masks = streams.child("dropout")
    schedule = config.bilevel
    best: tuple[float, bilevel.Tensors, bilevel.Tensors] | None = None

    def predict(values: bilevel.Tensors, task: _Task) -> SetPrediction:
        # BatchNorm is nowhere in u_hat, so parameters are all the state there is.
        state = dict(zip(names, values, strict=True))
        prediction: SetPrediction = functional_call(network, state, (task.inputs, task.membership))
        return prediction

    for epoch in range(1, config.epochs + 1):
        # One mask for all T inner steps: a hypergradient is that of one function, not of a new one at each step.
        mask = masks.take(f"epoch-{epoch}")

        def inner(values: bilevel.Tensors, hyper: bilevel.Tensors, mask: int = mask) -> Tensor:
            # Bound as an argument, so that this function keeps its mask whatever the loop does.
            network.train()
            with pinned(mask):
                prediction = predict(values, short)
            # A weight for each tensor: layers can be held back one by one, biases left free.
            penalty = sum(h.exp() * v.square().sum() for h, v in zip(hyper, values, strict=True))
            return _total(prediction, short, config) + penalty / 2

        def outer(values: bilevel.Tensors, hyper: bilevel.Tensors) -> Tensor:
            # No penalty here: lambda would only fall to make its own term small. It is judged by the long pairs alone.
            network.eval()
            return _total(predict(values, long), long, config)

        gradient, weights, velocity, schedule = _careful_step(
            inner, outer, weights, velocity, log_l2, schedule
        )
        if config.bilevel.learn_lambda:
            # The hypergradient is no gradient autograd knows of, so Adam gets it by hand.
            for value, slope in zip(log_l2, gradient, strict=True):
                value.grad = slope
            optimizer.step()
        # The report measures the network, not the tensors beside it.
        _load(network, weights)
        report.epoch(epoch)
        with torch.no_grad():
            outer_loss = float(outer(weights, log_l2))
        if best is None or outer_loss < best[0]:
            # `hyper_step` returns new weights each time; lambda is changed in place, so it is copied.
            best = outer_loss, weights, tuple(value.detach().clone() for value in log_l2)
        report.emit(
            HyperStep(
                phase=report.phase,
                step=epoch,
                outer_loss=outer_loss,
                hypergradient_norm=math.sqrt(sum(float(g.square().sum()) for g in gradient)),
                log_l2={n: float(v.detach()) for n, v in zip(names, log_l2, strict=True)},
            )
        )
    if config.bilevel.stop_at_lowest and best is not None:
        _, weights, log_l2 = best
        _load(network, weights)
    if schedule != config.bilevel:
        report.emit(
            Noticed(
                f"inner steps of u_hat diverged at a learning rate of {config.bilevel.inner_learning_rate:g} in "
                f"{report.phase}; from there on it is {schedule.inner_learning_rate:g}"
            )
        )
    return dataclasses.replace(
        model,
        log_l2=tuple(value.detach() for value in log_l2),
        config=config.model_copy(update={"bilevel": schedule}),
    )


def _careful_step(
    inner: bilevel.Objective,
    outer: bilevel.Objective,
    weights: bilevel.Tensors,
    velocity: bilevel.Tensors,
    hyper: bilevel.Tensors,
    schedule: BilevelConfig,
) -> tuple[bilevel.Tensors, bilevel.Tensors, bilevel.Tensors, BilevelConfig]:
    """Return `hyper_step` at the largest of the halved learning rates that descends, and the schedule with that rate.

    Choice: what is stable depends on the images; on frozen features some pools need half of what serves others.
    """
    with torch.no_grad():
        before = float(inner(weights, hyper))
    for halvings in range(_HALVINGS + 1):
        step = hyper_step(inner, outer, weights, velocity, hyper, schedule)
        with torch.no_grad():
            after = float(inner(step[1], hyper))
        # Not the other way round: a NaN compares with nothing. Where the loss is none from the start, no rate helps.
        descended = after <= _GROWN * before or not math.isfinite(before)
        if descended or halvings == _HALVINGS:
            break
        rate = schedule.inner_learning_rate / 2
        schedule = schedule.model_copy(update={"inner_learning_rate": rate})
        # The momentum is that of the steps which led here.
        velocity = tuple(map(torch.zeros_like, velocity))
    return *step, schedule


def hyper_step(
    inner: bilevel.Objective,
    outer: bilevel.Objective,
    weights: bilevel.Tensors,
    velocity: bilevel.Tensors,
    hyper: bilevel.Tensors,
    config: BilevelConfig,
) -> tuple[bilevel.Tensors, bilevel.Tensors, bilevel.Tensors]:
    """Return the hypergradient, and the weights and velocity after T inner steps.

    Source: Section 4.2.1. Choice: Neumann by default: it costs one graph. At T = 100 it points where unrolling points
    (median cosine 0.99 of five seeds); at the default T = 10 only roughly (median 0.93, from 0.78), and unrolling costs
    the same there (`benchmarks/RESULTS.md`).
    """
    # T steps of the inner problem come first in all three: the gradient is taken where they end, not at a minimum.
    descent = bilevel.Descent(config.inner_steps, config.inner_learning_rate, config.momentum)
    if config.hypergradient == "unroll":
        return bilevel.unrolled_hypergradient(inner, outer, weights, velocity, hyper, descent)
    weights, velocity = bilevel.descend(inner, weights, velocity, hyper, descent)
    if config.hypergradient == "neumann":
        gradient = bilevel.neumann_hypergradient(
            inner,
            outer,
            weights,
            hyper,
            learning_rate=config.inner_learning_rate,
            terms=config.terms,
            momentum=config.momentum,
        )
    else:
        gradient = bilevel.conjugate_gradient_hypergradient(
            inner, outer, weights, hyper, iterations=config.terms, damping=config.damping
        )
    return gradient, weights, velocity


@torch.no_grad()
def _load(network: nn.Module, weights: bilevel.Tensors) -> None:
    """Copy the weights into the network."""
    for parameter, weight in zip(network.parameters(), weights, strict=True):
        parameter.copy_(weight)


@torch.no_grad()
def predict_subsets(model: UtilityModel, problem: Problem, subsets: list[Tensor]) -> SetPrediction:
    """Return u_hat's predictions for `s` subsets of the labeled pool, in eval mode."""
    inputs = problem.network_inputs(problem.labeled)
    # All subsets in one product: `s x k` weights times `k x d` embeddings.
    membership = membership_matrix(subsets, problem.labeled)
    prediction: SetPrediction = model.network.eval()(inputs, membership)
    return prediction


@dataclasses.dataclass(frozen=True, eq=False)
class Elements:
    """Images embedded once, so that no greedy step embeds one again.

    Attributes:
        values: `N x d` float64, psi(x) at its dataset index where it is `embedded`. Choice: float64, so that a sum over
            thousands of images does not depend on their order to the last tie.
        embedded: `N` bool, whether psi(x) is there.
        reference: the labeled pool S_0.
    """

    values: Tensor
    embedded: Tensor
    reference: Reference


@torch.no_grad()
def embed_elements(model: UtilityModel, problem: Problem, unlabeled: Tensor) -> Elements:
    """Return psi(x) of every labeled image and of these unlabeled ones."""
    count = len(problem.labels)
    values = torch.empty(count, model.network.elements.width, dtype=torch.float64)
    embedded = torch.zeros(count, dtype=torch.bool)
    _embed(model, problem, torch.cat([problem.labeled, unlabeled]), values, embedded)
    return Elements(values, embedded, model.network.refer(values[problem.labeled].float()))


@torch.no_grad()
def embed_others(model: UtilityModel, problem: Problem, elements: Elements) -> None:
    """Add psi(x) of the unlabeled images that were left out so far."""
    # The gate or the filter may have kept images from every step; a what-if can still ask about them.
    rest = problem.unlabeled[~elements.embedded[problem.unlabeled]]
    _embed(model, problem, rest, elements.values, elements.embedded)


def _embed(
    model: UtilityModel, problem: Problem, indices: Tensor, values: Tensor, embedded: Tensor
) -> None:
    """Write psi(x) of some images at their dataset indices."""
    network = model.network.eval()
    for part in indices.split(_ELEMENTS_CHUNK):
        if len(part):
            values[part] = network.elements(problem.network_inputs(part)).double()
    embedded[indices] = True


@torch.no_grad()
def predict_unions(
    model: UtilityModel, elements: Elements, labeled: Tensor, batches: Tensor
) -> Tensor:
    """Return the predicted utility of `labeled` united with each batch, `s`.

    Source: Algorithm 2, line 5. With average pooling the embedding of a union is rho of a weighted mean of sums that
    are already there, so no image is embedded again.

    Args:
        model: u_hat.
        elements: of all images in question.
        labeled: S_j.
        batches: `s x b` indices outside S_j.

    Raises:
        ValueError: an image was never embedded.
    """
    if not (elements.embedded[labeled].all() and elements.embedded[batches].all()):
        raise ValueError("an image of a union was never embedded")
    network, values = model.network.eval(), elements.values
    # Attention looks at every pair of elements, so nothing of S_j can be summed ahead: the unions are written out.
    if isinstance(network.pooling, AttentionPooling):
        # `s x (|S_j| + b)` dataset indices; all unions are of one size, so nothing is padding.
        unions = torch.cat([labeled.expand(len(batches), -1), batches], 1)
        pooled = torch.cat(
            [
                network.pooling.pool_padded(values[part].float(), torch.ones_like(part).bool())
                for part in unions.split(_UNIONS_CHUNK)
            ]
        )
    else:
        # The sum over S_j is made once for all candidates. `embedding_bag` adds gathered rows without copying them:
        # half the time over a whole pool.
        total = values[labeled].sum(0) + F.embedding_bag(batches, values, mode="sum")
        # The mean of the union, `s x d`: S_j and a batch have no image in common, so the sizes add up.
        pooled = (total / (len(labeled) + batches.shape[1])).float()
    return network.predict_pooled(pooled, elements.reference).utility
