"""Result files: what was measured on one machine, in `benchmarks/results/`, one JSON file a device."""

import dataclasses
import json
import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Measure

SCHEMA = 1  # raise it when a file of the old form could be misread
FOLDER = Path(__file__).with_name("results")
_IDENTITY = ("cpu", "cores", "gpu")  # facts that must agree for results to share a file


class ResultError(Exception):
    """A result file cannot be used; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one run of one benchmark found.

    Attributes:
        date: of its end, ISO 8601 in UTC.
        load: of the machine before and after.
        versions: of Python, torch, numpy, and CUDA where there is a GPU.
        rates: clock -> FLOP a second of a matrix product: the arithmetic limit.
        measures: what it found.
    """

    date: str
    load: tuple[float, float]
    versions: Mapping[str, str]
    rates: Mapping[str, float]
    measures: tuple[Measure, ...]


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was measured on one machine: `machine` facts, and benchmark -> its newest `Entry`."""

    machine: Mapping[str, Any]
    entries: Mapping[str, Entry]

    @property
    def title(self) -> str:
        """What to call the machine."""
        device = self.machine["gpu"] or self.machine["cpu"]
        return f"{device}, {self.machine['cores']} CPU cores"

    def merged(self, newer: "Results") -> "Results":
        """Return both, the newer entry of each benchmark; the others keep their own date and load.

        Raises:
            ResultError: they are of two machines.
        """
        if not same_machine(self, newer):
            raise ResultError(
                f"these are results of another machine ({self.title}, here {newer.title}); "
                "name another file with --out"
            )
        return Results(newer.machine, {**self.entries, **newer.entries})


def same_machine(a: Results, b: Results) -> bool:
    """Return whether two results are of one kind of machine, so that seconds can be compared."""
    return all(a.machine[fact] == b.machine[fact] for fact in _IDENTITY)


def machine_facts() -> dict[str, Any]:
    """Return what this machine is: CPU, cores, GPU or None, and platform; no name of its own."""
    import torch  # not needed by who reads results only

    from benchmarks.timing import cpu_name

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "gpu": gpu, "platform": platform.platform()}


def default_path(machine: Mapping[str, Any]) -> Path:
    """Return the file of a device: `cpu-amd-epyc.json`, or the GPU's name."""
    name = machine["gpu"] or f"cpu {machine['cpu']}"
    return FOLDER / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")


def now() -> str:
    """Return the date and time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read(path: Path) -> Results:
    """Return the results in a file.

    Raises:
        ResultError: it is none, or of another schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise ResultError(
                f"{path.name}: of schema {data['schema']}, not {SCHEMA}; measure again"
            )
        entries = {name: _entry(entry) for name, entry in data["benchmarks"].items()}
        return Results(data["machine"], entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path.name}: no result file ({type(error).__name__})") from None


def _entry(data: Mapping[str, Any]) -> Entry:
    """Return an entry from its JSON types."""
    measures = tuple(map(Measure.from_json, data["measures"]))
    return Entry(data["date"], tuple(data["load"]), data["versions"], data["rates"], measures)


def write(path: Path, results: Results) -> None:
    """Write a result file, whole or not at all."""
    entries = {name: dataclasses.asdict(entry) for name, entry in sorted(results.entries.items())}
    data = {"schema": SCHEMA, "machine": dict(results.machine), "benchmarks": entries}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
