"""What a run depends on beside its config, as its record keeps it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rambo import __version__

VERSION = __version__  # of rambo: what a new run and a trained model say they are of


@dataclasses.dataclass(frozen=True)
class DatasetOrigin:
    """Which prepared dataset a run is of; None or empty where an older record does not say."""

    name: str | None = None
    fingerprint: str = ""
    source: str | None = None
    licence: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """Versions, device, dataset and classes; None where an older record does not say. No host and no user.

    Attributes:
        plugins: absolute paths of the files that bring strategies; no export has them.
        rambo: version.
        python: version.
        torch: version.
        device: what people call it.
        cores: of the CPU.
        threads: of one training.
        dataset: which one.
        classes: class names; label `i` is the i-th.
    """

    plugins: tuple[str, ...] = ()
    rambo: str | None = None
    python: str | None = None
    torch: str | None = None
    device: str | None = None
    cores: int | None = None
    threads: int | None = None
    dataset: DatasetOrigin = DatasetOrigin()
    classes: tuple[str, ...] = ()

    # JSON's edge: `restore` is the way back.
    def record(self) -> dict[str, Any]:
        """Return what there is as nested JSON types, as the record keeps it."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields |= {"plugins": list(self.plugins) or None, "classes": list(self.classes)}
        return dict(_present(fields | {"dataset": _present(dataclasses.asdict(self.dataset))}))


def restore(fields: Mapping[str, Any]) -> Environment:
    """Return the environment that was kept with `fields`; what this version lacks is dropped."""
    dataset = DatasetOrigin(**_present(_own(DatasetOrigin, fields.get("dataset") or {})))
    lists = {name: tuple(map(str, fields.get(name) or ())) for name in ("plugins", "classes")}
    return Environment(**{**_own(Environment, fields), **lists, "dataset": dataset})


def _present(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def _own(kind: type, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields that a record class has."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in fields.items() if name in names}
