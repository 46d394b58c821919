"""Classifier training against a plain per-model PyTorch loop: `python -m benchmarks.classifier_training`.

Both follow the same protocol (Adam 1e-3, batch 20, eval-mode accuracy on the subset after each epoch) on the same
FashionMNIST subsets. The plain loop is what one would write first: the stock network, default Adam, one minibatch
after the other.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import statistics
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import gemm_rate, interleaved, machine, spread
from rambo.classifier import fit_classifier
from rambo.config import ClassifierConfig
from rambo.datasets import catalog
from rambo.networks import MnistNet
from rambo.pools import normalise

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


def main() -> None:
    """Measure and print a Markdown section."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as workspace:
        data = catalog.prepare("fashion-mnist-mini", Path(workspace))
        members = MEMBERS * SIZE
        images = normalise(torch.from_numpy(data.images[:members].copy()), data.mean, data.std)
        labels = torch.from_numpy(data.labels[:members].copy())
    subsets = [slice(start, start + SIZE) for start in range(0, members, SIZE)]
    # A stop that three epochs do not reach: both sides do the same number of steps.
    config = ClassifierConfig(name="mnistnet", max_epochs=EPOCHS, train_accuracy=1.0)

    def ours() -> None:
        for seed, part in enumerate(subsets):
            fit_classifier(images[part], labels[part], config, num_classes=10, seed=seed)

    def plain() -> None:
        for part in subsets:
            plain_loop(images[part], labels[part])

    seconds = interleaved({"plain": plain, "ours": ours})
    count = members * EPOCHS
    rates = {name: [count / s for s in values] for name, values in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["plain"], seconds["ours"], strict=True)]
    ceiling, needed = gemm_rate(), flops_per_image()
    share = {n: statistics.median(r) * needed / ceiling for n, r in rates.items()}
    print(f"{machine()}\n")
    print(
        f"{MEMBERS} MnistNets, {SIZE} images each, batch {BATCH}, {EPOCHS} epochs, median of 5 rounds (range)\n"
    )
    print("| loop | images per CPU-second | percent of the GEMM rate |\n| --- | --- | --- |")
    for name, values in rates.items():
        print(f"| {name} | {spread(values)} | {100 * share[name]:.0f} % |")
    print(
        f"\nRatio ours / plain: {spread(ratios)}. GEMM rate {ceiling / 1e9:.0f} GFLOP/s on one core;"
    )
    print(f"{needed / 1e6:.1f} MFLOP a training image.")


if __name__ == "__main__":
    main()
