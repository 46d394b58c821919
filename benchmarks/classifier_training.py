"""Classifier training against a plain per-model PyTorch loop: `python -m benchmarks.classifier_training`.

Both follow the same protocol (Adam 1e-3, batch 20, eval-mode accuracy on the subset after each epoch) on the same
FashionMNIST subsets. The plain loop is what one would write first: the stock network, default Adam, one minibatch
after the other. Each has a process of its own, ours prepared as the library prepares its workers.
"""

import statistics
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import data
from benchmarks.measure import Goal, Measure, ratio
from benchmarks.report import show
from benchmarks.timing import CPU, elsewhere, gemm_rate, interleaved
from rambo.config import ClassifierConfig
from rambo.method.networks import MnistNet
from rambo.method.pools import normalise
from rambo.training.backends import keep_memory
from rambo.training.classifier import fit_classifier

MEMBERS, SIZE, EPOCHS, BATCH = 4, 200, 3, 20


class StockNet(nn.Module):
    """The network as its examples write it: ReLU before pooling, default memory layout."""

    def __init__(self) -> None:
        """Draw fresh weights."""
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.drop1, self.drop2 = nn.Dropout2d(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = self.drop1(x).flatten(1)
        return self.fc2(self.drop2(F.relu(self.fc1(x))))


def plain_loop(images: Tensor, labels: Tensor) -> None:
    """Train one member the plain way."""
    model = StockNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(labels))
        for start in range(0, len(labels), BATCH):
            batch = order[start : start + BATCH]
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            float((model(images).argmax(1) == labels).float().mean())


def flops_per_image() -> float:
    """Return FLOP of one image, forward and backward; accuracy passes are not counted as useful work."""
    model, images = MnistNet(1, 10), torch.randn(BATCH, 1, 28, 28)
    with FlopCounterMode(display=False) as step:
        F.cross_entropy(model(images), torch.zeros(BATCH, dtype=torch.long)).backward()
    return step.get_total_flops() / BATCH


@cache
def members() -> list[tuple[Tensor, Tensor]]:
    """Return the images and labels of every member."""
    shipped, count = data.shipped(), MEMBERS * SIZE
    pixels = torch.from_numpy(shipped.images[:count].copy())
    images = normalise(pixels, shipped.mean, shipped.std).split(SIZE)
    labels = torch.from_numpy(shipped.labels[:count].copy()).split(SIZE)
    return list(zip(images, labels, strict=True))


def plain() -> None:
    """Train all members the plain way."""
    for images, labels in members():
        plain_loop(images, labels)


def ours() -> None:
    """Train all members as the library does."""
    # A stop that these epochs do not reach: both sides do the same number of steps.
    config = ClassifierConfig(name="mnistnet", max_epochs=EPOCHS, train_accuracy=1.0)
    for seed, (images, labels) in enumerate(members()):
        fitted = fit_classifier(images, labels, config, num_classes=10, seed=seed)
        assert fitted.epochs == EPOCHS


def measure() -> list[Measure]:
    """Return what both loops need for the same members."""
    images_seen, needed = MEMBERS * SIZE * EPOCHS, flops_per_image()
    with elsewhere(plain) as first, elsewhere(ours, keep_memory) as second:
        seconds = interleaved(
            {"plain loop": first, "ours": second}, timer=lambda ask, _: float(ask())
        )
    reached = images_seen * needed / statistics.median(seconds["ours"])
    return [
        Measure(
            name="Classifiers on a CPU",
            what=f"{MEMBERS} MnistNets are trained, {SIZE} images each, batch {BATCH}, {EPOCHS} epochs.",
            clock=CPU,
            seconds=seconds,
            goals=[
                Goal("ours / plain loop", ratio(*seconds.values()), 1.35, 1.8),
                Goal("share of the matrix product rate", reached / gemm_rate(CPU), 0.6),
            ],
            work=images_seen,
            unit="images",
            flops=dict.fromkeys(seconds, images_seen * needed),
            note=(
                f"{needed / 1e6:.1f} MFLOP a training image. The arithmetic of accuracy passes is not counted as "
                "useful work on either side; ours ends a pass once the stop is out of reach."
            ),
        )
    ]


if __name__ == "__main__":
    show(measure())
