"""One seed becomes many named, independent random streams.

A stream depends on the seed and its name only, so a new draw somewhere never shifts the draws elsewhere. This is
the one module that touches torch's global random state.
"""

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**63) that depends on all `parts` and on their order."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def pinned(seed: int, device: str = "cpu") -> Iterator[None]:
    """Run the block with torch's global generators at `seed`, and put them back afterwards.

    For what cannot take a generator: module initialisation and dropout. Entering twice with one seed repeats the
    same draws, which is how the bilevel fit holds a dropout mask still during one hyper-step.
    """
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class Streams:
    """Named random streams below one seed; every name may be taken once.

    Args:
        seed: any integer.
        path: names of the parents, for streams made by `child`.
    """

    def __init__(self, seed: int, path: tuple[str, ...] = ()) -> None:
        """Start with no name taken."""
        self.seed, self.path = seed, path
        self._names: set[str] = set()

    def take(self, name: str) -> int:
        """Return the seed of the stream `name`.

        Raises:
            ValueError: the name was taken before: two draws would be the same.
        """
        if name in self._names:
            raise ValueError(f"random stream {'/'.join((*self.path, name))!r} is taken twice")
        self._names.add(name)
        return derive_seed(self.seed, *self.path, name)

    def torch(self, name: str) -> torch.Generator:
        """Return a CPU generator for the stream `name`."""
        return torch.Generator().manual_seed(self.take(name))

    def child(self, name: str) -> "Streams":
        """Return the streams below `name`, as for one turn of a loop."""
        self.take(name)
        return Streams(self.seed, (*self.path, name))

    def ambient(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Return a block in which torch's global generators follow the stream `name`."""
        return pinned(self.take(name))
