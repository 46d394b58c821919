"""Train many small classifiers at once, side by side in one network: what keeps a GPU busy.

One such classifier is too small for a GPU: it waits for the next launch most of the time. Here `M` members stand in
`M` slots of one network (`stacked`). A step of all slots is recorded once as a CUDA graph and then launched as one; a
member that is done leaves its slot to the next at once, so no one waits for the slowest. When nobody is left to come
and at most half of the slots still have a member, these move to a group of just their number.

Choice: members as channels and not `torch.func.vmap`, because the layers stay ordinary modules with ordinary gradients
and running statistics, which a CUDA graph can record. The slices of one slot are parameters of one `torch.optim.Adam`,
which keeps a step counter for each, so a slot starts afresh when its slices' state is set to zero.

A member gets the weights, minibatches and dropout masks that `classifier.fit_classifier` gives it on a CPU, drawn from
the same streams in the same order; results differ by rounding alone, whatever the number of slots. What is drawn on the
host (masks, orders, fresh weights) is drawn while the device works, one epoch ahead.

Runs on a GPU train this way, and on a CPU where `compute.slots` asks for it. None of it has run on a GPU yet.
"""

import contextlib
import dataclasses
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from rambo.config import ClassifierConfig
from rambo.errors import DivergedError
from rambo.events import Emit, Noticed, ignore
from rambo.method.networks import Classifier
from rambo.method.pools import normalise
from rambo.seeding import Streams
from rambo.storage import pulse
from rambo.training.classifier import Fit, create_classifier
from rambo.training.gpu.stacked import BatchNorm, Convolution, Dropout, stack

_JUDGED = 8192  # images of all slots that are asked about at once
_NOBODY = -1  # a class id that no prediction equals
_ROOMY = 2  # slots for each member left, from which on a group narrows
_FULL = ("out of memory", "ALLOC_FAILED")  # of CUDA, MPS, cuBLAS and cuDNN


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """The resident images of all members; their device decides where to train.

    Attributes:
        pixels: `N x C x H x W` uint8.
        mean: `C` means of `pixels / 255`.
        std: `C` deviations of `pixels / 255`.
    """

    pixels: Tensor
    mean: Sequence[float]
    std: Sequence[float]

    def normalised(self, rows: Tensor) -> Tensor:
        """Return the images of these rows as a classifier reads them, `a x C x H x W`."""
        return normalise(self.pixels[rows], self.mean, self.std)


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """One classifier to train.

    Attributes:
        rows: `a` indices into the resident images.
        labels: `a` class ids, int64.
        seed: decides weights, order and dropout.
    """

    rows: Tensor
    labels: Tensor
    seed: int


@dataclasses.dataclass(frozen=True)
class Batching:
    """How many classifiers are trained at once, and how.

    Attributes:
        slots: M, at most.
        precision: of products and convolutions on a GPU; a CPU always computes in float32.
        convolution: how the slots' convolutions are done; see `stack`.
    """

    slots: int
    precision: Literal["float32", "tf32"] = "float32"
    convolution: Convolution = "grouped"


def fit_members(
    members: Sequence[Member],
    images: Images,
    config: ClassifierConfig,
    *,
    num_classes: int,
    batching: Batching,
    emit: Emit = ignore,
) -> Iterator[tuple[int, Fit | DivergedError]]:
    """Yield the place of every member with what `fit_classifier` would give for it, in the order of finishing.

    Choice: a member that diverges gives its error as the result, and disturbs no other. Where memory does not
    suffice, half as many slots start the members in progress again.

    Args:
        members: what to train, none empty.
        images: what `members` index.
        config: how, with a resolved name.
        num_classes: c.
        batching: how many at once, and how.
        emit: hears when the number of slots is halved.

    Raises:
        torch.OutOfMemoryError: one member alone does not fit.
    """
    # Only members without a result wait, so a second try with fewer slots repeats nothing that is done.
    waiting = dict(enumerate(members))
    slots = max(1, min(batching.slots, len(waiting)))
    while waiting:
        try:
            now = dataclasses.replace(batching, slots=slots)
            for place, result in _fit_group(waiting, images, config, num_classes, now):
                del waiting[place]
                yield place, result
        except RuntimeError as error:
            if slots == 1 or not is_full(error):
                raise
            failed, slots = slots, slots // 2
        if waiting:  # out here the error is gone, and with it what its frames held
            torch.cuda.empty_cache()
            emit(
                Noticed(f"{failed} classifiers at once need too much memory; going on with {slots}")
            )


def is_full(error: BaseException) -> bool:
    """Return whether a GPU is full: torch says so in a class of its own, the libraries below it in words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    words = str(error)
    return isinstance(error, RuntimeError) and any(sign in words for sign in _FULL)


class _Run:
    """A member on its way: fresh model, streams, epochs begun and steps to go in this one."""

    def __init__(
        self, place: int, member: Member, images: Images, config: ClassifierConfig, num_classes: int
    ) -> None:
        # On the host, from the member's own seed: the draws are then those of a CPU, bit by bit.
        streams, on_host = Streams(member.seed), images.pixels[:0].cpu()
        self.place, self.member, self.epoch, self.steps = place, member, 0, 0
        self.model = create_classifier(on_host, config, num_classes, streams)
        self.orders, self.dropout = streams.torch("order"), streams.child("dropout")

    def draw(self, size: int, layers: Sequence[tuple[int, float]]) -> list[Tensor]:
        """Return the next epoch, with the draws of `train_classifier`: rows, labels, ones and dropout masks.

        Args:
            size: of a minibatch.
            layers: of each dropout layer the draws an image and the rate.
        """
        member, count = self.member, len(self.member.labels)
        # In the order in which `train_classifier` draws, or the same seed would train another classifier.
        order = torch.randperm(count, generator=self.orders)
        draws = self.dropout.torch(f"epoch-{self.epoch + 1}")
        keeps = [torch.empty(count, width) for width, _ in layers]
        # Minibatch by minibatch although one call would do: a generator may give other numbers for other shapes.
        for start in range(0, count, size):
            for keep, (_, rate) in zip(keeps, layers, strict=True):
                keep[start : start + size].bernoulli_(1 - rate, generator=draws)
        return [member.rows.cpu()[order], member.labels.cpu()[order], torch.ones(count), *keeps]


def _fit_group(
    members: Mapping[int, Member],
    images: Images,
    config: ClassifierConfig,
    num_classes: int,
    batching: Batching,
) -> Iterator[tuple[int, Fit | DivergedError]]:
    """Yield results as they come; a slot that is free takes the next member, or the group narrows in the end."""
    # A generator: a model is made when its turn comes, so that thousands of members do not lie in memory at once.
    runs = (_Run(place, one, images, config, num_classes) for place, one in list(members.items()))
    running = dict(enumerate(itertools.islice(runs, batching.slots)))
    longest = max(len(member.labels) for member in members.values())
    # As wide as the longest subset: tables have one size for good, because a graph reads fixed addresses.
    group = _Group(running[0].model, images, config, batching, longest)
    group.start(running)
    group.deal(running, {slot: group.draw(run) for slot, run in running.items()})
    ready: deque[_Run] = deque()
    while running:
        furthest = max(run.epoch for run in running.values())
        pulse.beat(furthest, config.max_epochs, together=len(running))
        # As many steps as nobody's epoch ends in: in between the host asks the device for nothing.
        steps = min(run.steps for run in running.values())
        for _ in range(steps):
            group.step()
        for run in running.values():
            run.steps -= steps
        ending = {slot: run for slot, run in running.items() if not run.steps}
        # The device is still at work: meanwhile the host draws what may come next.
        plans = {slot: group.draw(run) for slot, run in ending.items()}
        ready.extend(itertools.islice(runs, max(0, len(ending) - len(ready))))
        # Here the host waits for the device, once for all slots.
        results = group.judge(ending)
        fresh: dict[int, _Run] = {}
        for slot in results:
            if ready:
                fresh[slot] = running[slot] = ready.popleft()
                plans[slot] = group.draw(fresh[slot])
            else:
                del running[slot], plans[slot]  # the slot trains for nobody till the group narrows
        group.start(fresh)
        group.deal(running, plans)
        for slot, result in results.items():
            yield ending[slot].place, result
        if running and len(group.slot) >= _ROOMY * len(running):
            group = group.narrowed(running)
            running = dict(enumerate(running.values()))


class _Group:
    """`M` slots that train in step, each on its own plan of one epoch, all on the device.

    A plan says for every step which images a slot sees and which activations it keeps. All minibatches have one size:
    a short last one is filled with images that do not count, not in the loss, not in its divisor and not in
    BatchNorm's statistics.
    """

    def __init__(
        self,
        model: Classifier,
        images: Images,
        config: ClassifierConfig,
        batching: Batching,
        longest: int,
    ) -> None:
        """Make room for such models, on at most `longest` images each."""
        self.images, self.config, self.batching = images, config, batching
        self.device = device = images.pixels.device
        # As in `normalise`, whose constants come from the host at each call: a graph may not record that.
        shift, scale = torch.tensor(images.mean) * 255, torch.tensor(images.std) * 255
        self.shift, self.scale = (v.view(-1, 1, 1).to(device) for v in (shift, scale))

        # The model gives shapes alone; weights come with each member in `start`.
        self.network = stack(model, batching.slots, batching.convolution).to(device).train()
        self.norms = [m for m in self.network.modules() if isinstance(m, BatchNorm)]
        widths = _dropout_widths(model, images.pixels[:1].cpu())
        layers = dict(self.network.named_modules())
        self.dropouts = [layer for name in widths if isinstance(layer := layers[name], Dropout)]
        self.dropout_draws = [
            (w, layer.rate) for w, layer in zip(widths.values(), self.dropouts, strict=True)
        ]

        # A subset smaller than a minibatch needs no room for a whole one.
        self.size = min(config.minibatch_size, longest)
        plan = (batching.slots, -(-longest // self.size), self.size)  # M x steps x b
        self.rows = torch.zeros(plan, dtype=torch.int64, device=device)
        self.targets = torch.zeros_like(self.rows)
        self.counts = torch.zeros(plan, device=device)  # 1 or 0
        self.keeps = [
            torch.zeros(*plan, width, dtype=torch.bool, device=device) for width in widths.values()
        ]
        self.all_rows = torch.zeros(batching.slots, longest, dtype=torch.int64, device=device)
        self.all_labels = torch.full_like(self.all_rows, _NOBODY)
        self.slot = torch.arange(batching.slots, device=device)
        # Counters live on the device, where a recorded step can move them on.
        self.position = torch.zeros_like(self.slot)  # the step of its plan each slot is at
        self.correct = torch.zeros_like(self.slot)
        self.worst = torch.zeros(batching.slots, device=device)

        # One parameter a slot and tensor, so that a slot can start afresh. `fused` takes them all in a few kernels,
        # `capturable` keeps their step counters on the device, where a graph can move them on.
        self.slices = [_slices(parameter) for parameter in self.network.parameters()]
        self.optimizer = torch.optim.Adam(
            itertools.chain(*self.slices),
            lr=config.learning_rate,
            fused=True,
            capturable=device.type == "cuda",
        )
        self.graph = capture(self._step) if device.type == "cuda" else None

    def start(self, runs: Mapping[int, _Run]) -> None:
        """Give slots to members: their fresh weights, and an optimizer that has seen nothing."""
        if not runs:
            return
        index = self._index(runs)
        states = [run.model.state_dict() for run in runs.values()]
        for name, value in self.network.state_dict().items():
            value[index] = torch.stack([state[name] for state in states]).to(value)
        # Adam's moments of the member before would push the new one's first steps.
        _forget(self.optimizer, [slices[slot] for slices in self.slices for slot in runs])
        members = [run.member for run in runs.values()]
        self._write(self.all_rows, index, [member.rows for member in members], 0)
        self._write(self.all_labels, index, [member.labels for member in members], _NOBODY)

    def draw(self, run: _Run) -> list[Tensor]:
        """Return the next epoch of a member."""
        return run.draw(self.size, self.dropout_draws)

    def deal(self, runs: Mapping[int, _Run], plans: Mapping[int, Sequence[Tensor]]) -> None:
        """Write the plans of the epochs that begin now."""
        if not plans:
            return
        index = self._index(plans)
        tables = [self.rows, self.targets, self.counts, *self.keeps]
        for table, values in zip(tables, zip(*plans.values(), strict=True), strict=True):
            self._write(table.flatten(1, 2), index, values, 0)
        # Counted anew each epoch, as `fit_classifier` does.
        for counter in (self.position, self.correct, self.worst):
            counter[index] = 0
        for slot in plans:
            run = runs[slot]
            run.epoch += 1
            run.steps = -(-len(run.member.labels) // self.size)

    def judge(self, runs: Mapping[int, _Run]) -> dict[int, Fit | DivergedError]:
        """Return the results of those members that are done, of all whose epoch has ended.

        Choice: as in `fit_classifier`, but the accuracy is always counted out, with no bound: fewer reads of the
        device, one for all slots.
        """
        index, config = self._index(runs), self.config
        right = self.correct[index] if config.accuracy_mode == "train" else self._right(index, runs)
        # Both in one tensor: each read of the device is a wait, so there is one for all slots.
        measures = torch.stack([right.double(), self.worst[index].double()], 1).tolist()
        results: dict[int, Fit | DivergedError] = {}
        for (slot, run), (correct, worst) in zip(runs.items(), measures, strict=True):
            reached = correct / len(run.member.labels)
            # Diverged first: a NaN network can still "reach" an accuracy.
            if not math.isfinite(worst):
                results[slot] = DivergedError(
                    f"the classifier's loss is not finite in epoch {run.epoch}",
                    field="classifier.learning_rate",
                    value=config.learning_rate,
                    hint="lower it",
                )
            elif (
                reached == 1.0 or reached > config.train_accuracy or run.epoch == config.max_epochs
            ):
                results[slot] = Fit(self._read(slot, run.model), run.epoch, reached)
        return results

    def narrowed(self, runs: Mapping[int, _Run]) -> "_Group":
        """Return a group of just these slots, in their order, which go on where they are; this one is used up."""
        self.graph = None  # its memory is free before the next graph needs some
        model, index = next(iter(runs.values())).model, self._index(runs)
        batching = dataclasses.replace(self.batching, slots=len(runs))
        group = _Group(model, self.images, self.config, batching, self.all_rows.shape[1])
        # Only now, and in place: to capture a graph takes steps, and the graph looks where it looked then.
        for ours, theirs in zip(self._tables(), group._tables(), strict=True):
            theirs.copy_(ours[index])
        for before, after in zip(self.slices, group.slices, strict=True):
            for slot, part in zip(runs, after, strict=True):
                state = group.optimizer.state[part]  # empty where no step was taken
                for name, value in self.optimizer.state[before[slot]].items():
                    state.setdefault(name, torch.empty_like(value)).copy_(value)
        return group

    def _tables(self) -> list[Tensor]:
        """Return all there is of each slot but its optimizer, slots first."""
        plans = [self.rows, self.targets, self.counts, *self.keeps, self.all_rows, self.all_labels]
        counters = [self.position, self.correct, self.worst]
        return [*self.network.state_dict().values(), *plans, *counters]

    def step(self) -> None:
        """Take one step in all slots, each on its own minibatch."""
        if self.graph is None:
            self._step()
        else:
            self.graph.replay()

    def _step(self) -> None:
        """Take one step; nothing leaves the device and nothing comes from outside it."""
        at = (self.slot, self.position)
        rows, targets, counts = self.rows[at].T, self.targets[at].T, self.counts[at].T  # b x M
        for norm in self.norms:
            norm.counts = counts
        for dropout, keep in zip(self.dropouts, self.keeps, strict=True):
            dropout.keep = keep[at].transpose(0, 1).flatten(1)  # b x M*d
        with exactly(self.batching.precision):
            # b x M x c
            logits = self.network(self._images(rows)).unflatten(1, (len(self.slot), -1))
            each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            # A mean for each slot over images that count, then the sum: no slot's gradient depends on another's.
            losses = (each.view_as(counts) * counts).sum(0) / counts.sum(0).clamp(min=1)
            self.network.zero_grad(set_to_none=False)  # the slices look at these very gradients
            losses.sum().backward()
        self.optimizer.step()
        torch.maximum(self.worst, losses.detach(), out=self.worst)  # a NaN stays
        self.correct += ((logits.argmax(2) == targets) & (counts > 0)).sum(0)
        # Round and round: a slot that trains for nobody must not walk off its plan.
        self.position.add_(1).remainder_(self.rows.shape[1])

    @torch.no_grad()
    def _right(self, index: Tensor, runs: Mapping[int, _Run]) -> Tensor:
        """Return how many images of its subset each slot's member gets right in eval mode, `E`."""
        longest = max(len(run.member.labels) for run in runs.values())
        rows, labels = (t[index, :longest].T for t in (self.all_rows, self.all_labels))  # a x E
        # A copy with the slots that are judged, so that the others cost nothing here.
        state = {name: value[index] for name, value in self.network.state_dict().items()}
        right, size = torch.zeros_like(index), max(1, _JUDGED // len(index))
        self.network.eval()
        with exactly(self.batching.precision):
            for part, truth in zip(rows.split(size), labels.split(size), strict=True):
                logits = functional_call(self.network, state, self._images(part))
                right += (logits.unflatten(1, (len(index), -1)).argmax(2) == truth).sum(0)
        self.network.train()
        return right

    def _images(self, rows: Tensor) -> Tensor:
        """Return normalised images `b x M*C x H x W` of rows `b x M`."""
        return ((self.images.pixels[rows].float() - self.shift) / self.scale).flatten(1, 2)

    def _index(self, slots: Mapping[int, object]) -> Tensor:
        """Return slots as a tensor on the device."""
        return torch.tensor(list(slots), device=self.device)

    def _write(self, table: Tensor, index: Tensor, values: Sequence[Tensor], filler: int) -> None:
        """Write one row a slot, filled up to the width of the table, in one transfer."""
        host = torch.full((len(values), *table.shape[1:]), filler, dtype=table.dtype)
        for row, value in zip(host, values, strict=True):
            row[: len(value)] = value.cpu()
        # Pinned, the copy runs while the device computes.
        if self.device.type == "cuda":
            host = host.pin_memory()
        table[index] = host.to(self.device, non_blocking=True)

    def _read(self, slot: int, model: Classifier) -> Classifier:
        """Return the model with the slot's weights, on the device, in eval mode."""
        model = model.to(self.device).eval()
        model.load_state_dict({k: v[slot] for k, v in self.network.state_dict().items()})
        return model


@contextlib.contextmanager
def exactly(precision: str) -> Iterator[None]:
    """Let a GPU compute the same way every time, in full float32 or in TF32; it changes nothing on a CPU."""
    fast, products = precision == "tf32", torch.backends.cuda.matmul
    # A global switch of torch: put back, because others in this process train as well.
    before, products.allow_tf32 = products.allow_tf32, fast
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=fast):
            yield
    finally:
        products.allow_tf32 = before


def _slices(parameter: Tensor) -> list[nn.Parameter]:
    """Return each slot's slice of a parameter and of its gradient, in the same memory: what the optimizer sees."""
    parameter.grad = torch.zeros_like(parameter)
    slices = [nn.Parameter(part) for part in parameter.detach()]
    for part, gradient in zip(slices, parameter.grad, strict=True):
        part.grad = gradient
    return slices


def _forget(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> None:
    """Let the optimizer begin again with these parameters; in place, where a graph looks for its numbers."""
    for parameter in parameters:
        for value in optimizer.state[parameter].values():  # the step counter is one of them
            value.zero_()


def capture(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Return a CUDA graph that repeats the step as one launch. Not run yet: no GPU was at hand.

    The step reads and writes the same memory each time and never asks the host. It is taken three times here, to warm
    up on a side stream as torch's notes on CUDA graphs ask, and then recorded; so this comes before anything counts.
    """
    # Warm-up lets libraries make their workspaces and choose their kernels, which must not happen while recording.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def _dropout_widths(model: Classifier, pixels: Tensor) -> dict[str, int]:
    """Return the name of every dropout layer with its draws an image, in the order in which they draw."""
    # Asked of the model itself, by a hook on a real pass: widths depend on the images, and order on the forward.
    widths: dict[str, int] = {}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, inputs, name=name: widths.update({name: inputs[0].shape[1]})
        )
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Dropout | nn.Dropout2d)
    ]
    with torch.no_grad():
        model.eval()(pixels[:1].float())
    for hook in hooks:
        hook.remove()
    return widths
