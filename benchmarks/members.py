"""Many classifiers side by side against one after the other: `python -m benchmarks.members`.

Both train the same members with the same weights, minibatches, dropout rates and stop. On a CPU, in CPU seconds on one
thread, there is nothing to gain: the loop already keeps a core busy. On a GPU, in the device's own time between two
events, the loop waits for launches most of the time.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.timing import interleaved, machine, spread
from rambo.batched import Images, Member, fit_members
from rambo.classifier import fit_classifier
from rambo.config import ClassifierConfig
from rambo.datasets import catalog

MEMBERS, SIZE, EPOCHS, ROUNDS = 8, 200, 3, 3
# A stop that three epochs do not reach: both sides do the same number of steps.
CONFIG = ClassifierConfig(name="mnistnet", max_epochs=EPOCHS, train_accuracy=1.0)


def contenders(images: Images, labels: torch.Tensor) -> dict[str, Callable[[], None]]:
    """Return both ways to train the members, on the device of the images."""
    rows = torch.arange(MEMBERS * SIZE).split(SIZE)
    members = [Member(part, labels[part], seed) for seed, part in enumerate(rows)]
    device = images.pixels.device

    def loop() -> None:
        for one in members:
            chosen = images.normalised(one.rows.to(device))
            fit_classifier(chosen, one.labels.to(device), CONFIG, num_classes=10, seed=one.seed)

    def together() -> None:
        for _ in fit_members(members, images, CONFIG, num_classes=10, slots=MEMBERS):
            pass

    return {"one after the other": loop, "side by side": together}


def on_device(contenders: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Return the seconds of each contender in each round between two events on the device, after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for counted in range(-1, ROUNDS):
        for name, contender in contenders.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            contender()
            end.record()
            end.synchronize()
            if counted >= 0:
                seconds[name].append(begin.elapsed_time(end) / 1000)
    return seconds


def show(title: str, seconds: dict[str, list[float]]) -> None:
    """Print a table of rates and their ratio."""
    count = MEMBERS * SIZE * EPOCHS
    print(f"| {title} | images per second |\n| --- | --- |")
    for name, values in seconds.items():
        print(f"| {name} | {spread([count / value for value in values])} |")
    loop, together = seconds.values()
    ratios = [a / b for a, b in zip(loop, together, strict=True)]
    print(f"\nRatio side by side / one after the other: {spread(ratios)}\n")


def main() -> None:
    """Measure and print a Markdown section."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as workspace:
        data = catalog.prepare("fashion-mnist-mini", Path(workspace))
        pixels = torch.from_numpy(data.images[: MEMBERS * SIZE].copy())
        labels = torch.from_numpy(data.labels[: MEMBERS * SIZE].copy())
    images = Images(pixels, data.mean, data.std)
    print(f"{machine()}\n")
    print(
        f"{MEMBERS} MnistNets, {SIZE} images each, {EPOCHS} epochs, median of {ROUNDS} rounds (range)\n"
    )
    show("CPU, CPU seconds", interleaved(contenders(images, labels), ROUNDS))
    if torch.cuda.is_available():
        there = dataclasses.replace(images, pixels=pixels.cuda())
        show(f"{torch.cuda.get_device_name()}, events", on_device(contenders(there, labels)))


if __name__ == "__main__":
    main()
