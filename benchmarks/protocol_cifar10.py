"""The paper's whole protocol on CIFAR10 with ResNet-18, on one GPU: `python -m benchmarks.protocol_cifar10`."""

from benchmarks import protocol
from benchmarks.measure import Measure
from benchmarks.report import show


def measure() -> list[Measure]:
    """Return what `protocol.measure` finds on CIFAR10."""
    return protocol.measure("cifar10")


if __name__ == "__main__":
    show(measure())
