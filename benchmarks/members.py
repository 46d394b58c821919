"""Many classifiers side by side against one after the other: `python -m benchmarks.members`.

Both train the same members with the same weights, minibatches, dropout rates and stop. A CPU has nothing to gain: the
loop already keeps a core busy. On a GPU the loop waits for launches most of the time.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from unittest import mock

import torch
from torch import Tensor

from benchmarks import data
from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, DEVICE, interleaved, scaled
from rambo.config import ClassifierConfig
from rambo.training.classifier import Fit, accuracy, fit_classifier
from rambo.training.gpu import batched
from rambo.training.gpu.batched import Batching, Images, Member, fit_members

FEW, SIZE, EPOCHS = 8, 200, 3  # on a CPU, where nothing is to be gained
SUBSETS = 100  # whose utilities are compared
# A stop that three epochs do not reach: both sides do the same number of steps.
SHORT = ClassifierConfig(name="mnistnet", max_epochs=EPOCHS, train_accuracy=1.0)
WHOLE = ClassifierConfig(name="mnistnet")  # to the stop of the paper


def measure() -> list[Measure]:
    """Measure on the CPU, and on a GPU where there is one."""
    found = [_on_cpu(), _refill("cpu", count=16, slots=4, sizes=(20, 40))]
    if torch.cuda.is_available():
        found += [
            _mnistnets(),
            _resnets(),
            _refill("cuda", count=512, slots=128, sizes=(20, 200)),
            _precision(),
        ]
    return found


def _on_cpu() -> Measure:
    images, labels = _shipped("cpu")
    members = _members(labels, [SIZE] * FEW)
    seconds = interleaved(
        {
            "one after the other": partial(_loop, members, images, SHORT),
            "side by side, grouped": partial(_together, members, images, SHORT, Batching(FEW)),
            "side by side, products": partial(
                _together, members, images, SHORT, Batching(FEW, convolution="products")
            ),
        }
    )
    return Measure(
        name="MnistNets side by side on a CPU",
        what=f"{FEW} members of {SIZE} images, {EPOCHS} epochs, in one network or one after the other.",
        clock=CPU,
        seconds=seconds,
        goals=[],
        work=FEW * SIZE * EPOCHS,
        unit="images",
        note="This is why a CPU trains one after the other.",
    )


def _refill(device: str, count: int, slots: int, sizes: tuple[int, int]) -> Measure:
    """Measure slots that take the next member at once, in a group that narrows, against waiting for the slowest."""
    images, labels = _shipped(device)
    spread = torch.linspace(sizes[1], sizes[0], count).long().tolist()  # longest first
    members = _members(labels, spread)
    batching = Batching(slots)

    def refilled() -> None:
        _together(members, images, WHOLE, batching)

    def never_narrowed() -> None:
        with mock.patch.object(batched, "_ROOMY", math.inf):
            refilled()

    def in_waves() -> None:
        """Let a slot whose member is done train on, for nobody, until the slowest of the wave is done."""
        with mock.patch.object(batched, "_ROOMY", math.inf):
            for start in range(0, count, slots):
                _together(members[start : start + slots], images, WHOLE, batching)

    seconds = interleaved(
        {
            "waiting for the slowest": in_waves,
            "refilled at once, never narrowed": never_narrowed,
            "refilled at once": refilled,
        },
        clock=DEVICE if device == "cuda" else CPU,
    )
    speedup = ratio(seconds["waiting for the slowest"], seconds["refilled at once"])
    return Measure(
        name=f"Slot refill on {_name(device)}",
        what=f"{count} MnistNets of {sizes[0]} to {sizes[1]} images to their stop, {slots} side by side.",
        clock=DEVICE if device == "cuda" else CPU,
        seconds=seconds,
        goals=[Goal("slot refill", speedup, 1.2, 1.4)],
        work=count,
        unit="classifiers",
        note="Only the last way lets a group narrow when no member waits any more.",
    )


def _mnistnets() -> Measure:
    count, few = 512, 16
    images, labels = _shipped("cuda")
    members = _members(labels, torch.linspace(200, 20, count).long().tolist())
    some = members[:: count // few]
    share = sum(len(m.rows) for m in members) / sum(len(m.rows) for m in some)
    return _against_loop(
        "MnistNets side by side on one GPU",
        images,
        members,
        some,
        share,
        SHORT,
        Batching(256),
        (10, 25),
    )


def _resnets() -> Measure:
    count, few, size = 64, 2, 1500
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (10_000, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (10_000,), generator=generator)
    images = Images(pixels.cuda(), (0.5,) * 3, (0.25,) * 3)
    config = SHORT.model_copy(update={"name": "resnet18", "max_epochs": 1})
    members = _members(labels, [size] * count)
    return _against_loop(
        "ResNet-18s side by side on one GPU",
        images,
        members,
        members[:few],
        count / few,
        config,
        Batching(count),
        (3, 8),
    )


def _against_loop(
    name: str,
    images: Images,
    members: Sequence[Member],
    some: Sequence[Member],
    share: float,
    config: ClassifierConfig,
    batching: Batching,
    wanted: tuple[float, float],
) -> Measure:
    """Measure both convolutions on a GPU against the loop, of which `some` members are timed and scaled up."""
    loop, *ways = "one after the other", "side by side, grouped", "side by side, products"
    contenders: dict[str, Callable[[], object]] = {loop: partial(_loop, some, images, config)}
    for way in ways:
        chosen = Batching(
            batching.slots, convolution="products" if "products" in way else "grouped"
        )
        contenders[way] = partial(_together, members, images, config, chosen)
    seconds = scaled(interleaved(contenders, clock=DEVICE), {loop: share})
    best = max(ratio(seconds[loop], seconds[way]) for way in ways)
    return Measure(
        name=name,
        what=f"{len(members)} members, {config.max_epochs} epochs, the images on the device; of the loop "
        f"{len(some)} members were timed and scaled up.",
        clock=DEVICE,
        seconds=seconds,
        goals=[Goal(name, best, *wanted)],
        work=config.max_epochs * sum(len(member.rows) for member in members),
        unit="images",
    )


def _precision() -> Measure:
    """Measure whether TF32 leaves the order of utilities as it is."""
    from scipy.stats import spearmanr

    images, labels = _shipped("cuda")
    generator = torch.Generator().manual_seed(1)
    sizes = torch.randint(20, 200, (SUBSETS,), generator=generator).tolist()
    members, held = _members(labels, sizes), torch.arange(8000, 10_000, device="cuda")
    validation, truth = images.normalised(held), labels[held.cpu()].cuda()
    utilities: dict[str, list[float]] = {}

    def judge(name: str, batching: Batching) -> None:
        fits = dict(fit_members(members, images, WHOLE, num_classes=10, batching=batching))
        models = [fit.model for _, fit in sorted(fits.items()) if isinstance(fit, Fit)]
        utilities[name] = [accuracy(model, validation, truth) for model in models]

    seconds = interleaved(
        {
            "float32": partial(judge, "float32", Batching(SUBSETS)),
            "TF32": partial(judge, "TF32", Batching(SUBSETS, "tf32")),
            "float32, half the slots": partial(judge, "half", Batching(SUBSETS // 2)),
        },
        clock=DEVICE,
    )
    order, control = (
        float(spearmanr(utilities["float32"], utilities[name]).statistic)
        for name in ("TF32", "half")
    )
    return Measure(
        name="Utilities with TF32 on one GPU",
        what=f"{SUBSETS} subsets trained to their stop and measured on 2,000 images, with the same seeds.",
        clock=DEVICE,
        seconds=seconds,
        goals=[Goal("Spearman of utilities with TF32 and without", order, 0.99)],
        note=f"Other rounding alone, half the slots in float32, gives a Spearman correlation of {control:.4f}.",
    )


def _loop(members: Iterable[Member], images: Images, config: ClassifierConfig) -> None:
    """Train one member after the other."""
    device = images.pixels.device
    for one in members:
        chosen = images.normalised(one.rows.to(device))
        fit_classifier(chosen, one.labels.to(device), config, num_classes=10, seed=one.seed)


def _together(
    members: Sequence[Member], images: Images, config: ClassifierConfig, batching: Batching
) -> None:
    """Train the members side by side."""
    for _ in fit_members(members, images, config, num_classes=10, batching=batching):
        pass


def _shipped(device: str) -> tuple[Images, Tensor]:
    """Return the shipped images on the device, and their class ids."""
    found = data.shipped()
    pixels = torch.from_numpy(found.images[:].copy()).to(device)
    return Images(pixels, found.mean, found.std), torch.from_numpy(found.labels[:].copy())


def _members(labels: Tensor, sizes: Sequence[int]) -> list[Member]:
    """Return members on random rows, none of the last 2,000."""
    generator = torch.Generator().manual_seed(0)
    rows = (torch.randperm(8000, generator=generator)[:size] for size in sizes)
    return [Member(part, labels[part], seed) for part, seed in zip(rows, itertools.count())]


def _name(device: str) -> str:
    return "a CPU" if device == "cpu" else "one GPU"


if __name__ == "__main__":
    show(measure())
