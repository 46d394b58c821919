"""What a unit of work gives, and how the memo keeps it: a training, or an OT problem."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Arrays = Mapping[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """One training, in the order the memo writes it; what is None was not kept, by an older version or by LLAL.

    Attributes:
        accuracies: fraction right of everything that was measured, by name.
        right: which answers were right, a bit an image, as hexadecimal digits by the same names; see `unpack_right`.
        epochs: how many it took.
        train_accuracy: on the subset itself, as the training ended.
        seconds: how long it took; of many side by side its share.
        size: images of the subset.
        evaluated: images the trained classifier was asked about.
        classifier: its name.
        dataset: fingerprint of the prepared one.
        device: kind of device.
    """

    accuracies: Mapping[str, float]
    right: Mapping[str, str] = dataclasses.field(default_factory=dict)
    epochs: int
    train_accuracy: float | None = None
    seconds: float
    size: int | None = None
    evaluated: int | None = None
    classifier: str | None = None
    dataset: str | None = None
    device: str | None = None

    def unpack_right(self, name: str, count: int) -> NDArray[np.bool_] | None:
        """Return which of `count` answers were right; None where an older version kept only how many.

        Args:
            name: of what was measured.
            count: images of it.
        """
        if name not in self.right:
            return None
        packed = np.frombuffer(bytes.fromhex(self.right[name]), np.uint8)
        return np.unpackbits(packed, count=count).astype(bool)


@dataclasses.dataclass(frozen=True)
class TransportRecord:
    """One solved OT problem.

    Attributes:
        value: OT distance; by a shared kernel, one between the bounds.
        lower: guaranteed bound; None where it was solved exactly.
        upper: likewise.
    """

    value: float
    lower: float | None = None
    upper: float | None = None

    @property
    def width(self) -> float:
        """How far the bounds are apart, as a fraction of the value."""
        if self.lower is None or self.upper is None:
            return 0.0
        return (self.upper - self.lower) / (self.value or 1)


UnitRecord = TrainingRecord | TransportRecord
Result = tuple[UnitRecord, dict[str, NDArray[Any]]]
Stored = tuple[Mapping[str, Any], dict[str, NDArray[Any]]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a unit gave, and whether it was in the memo instead of computed."""

    record: UnitRecord
    arrays: Arrays
    cached: bool

    @property
    def training(self) -> TrainingRecord:
        """The record of a training."""
        assert isinstance(self.record, TrainingRecord)
        return self.record

    @property
    def transport(self) -> TransportRecord:
        """The record of an OT problem."""
        assert isinstance(self.record, TransportRecord)
        return self.record


def stored(record: UnitRecord) -> Mapping[str, Any]:
    """Return a record as the memo keeps it; `restore` is the way back."""
    return {name: value for name, value in dataclasses.asdict(record).items() if value is not None}


def restore(fields: Mapping[str, Any]) -> UnitRecord | None:
    """Return the record that was kept, or None where it misses what every version needs.

    Args:
        fields: as the memo keeps them; those of a later version are passed over.
    """
    kind = TransportRecord if "value" in fields else TrainingRecord
    own = {field.name for field in dataclasses.fields(kind)}
    try:
        return kind(**{name: value for name, value in fields.items() if name in own})
    except TypeError:
        return None


def pack_right(right: Mapping[str, Tensor]) -> dict[str, str]:
    """Return which answers were right as a record keeps them."""
    return {name: np.packbits(own.numpy()).tobytes().hex() for name, own in right.items()}


def accuracies_of(right: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the fraction of right answers, by name."""
    return {name: float(own.sum()) / len(own) for name, own in right.items()}
