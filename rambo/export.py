"""The chosen batch as a file for annotators: CSV, JSON lines or JSON, whole or not at all.

No path, host or user name stands in it. JSON is exact; CSV guards text that a spreadsheet would
run as a formula with a leading apostrophe.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rambo import files
from rambo.config import shorten
from rambo.errors import ConfigError, StoreError
from rambo.store import Run

COLUMNS = (
    "run_id",
    "strategy",
    "seed",
    "order",
    "step",
    "dataset_index",
    "margin",
    "predicted_class",
    "predicted_label",
    "predicted_utility",
)
FORMATS = ("csv", "jsonl", "json")

# After a separator too: a spreadsheet of another language splits at `;` or a tab, quotes or not.
# The last four are the full-width signs, which spreadsheets read as the plain ones.
_FORMULA = re.compile("(^|[,;|\t\r\n])(?=[-=+@\t\r\n\0\uff1d\uff0b\uff0d\uff20])")
_EVIDENCE = ("order", "step", "dataset_index", "margin", "predicted_class", "predicted_utility")


def rows(run: Run, strategy: str | None = None, seed: int | None = None) -> list[dict[str, Any]]:
    """Return one dict of `COLUMNS` for each chosen image, in the order of choice.

    Args:
        run: the run.
        strategy: the first of the run where not given.
        seed: that of the first trial where not given.

    Raises:
        ConfigError: the run has no such strategy or seed.
        StoreError: nothing is chosen yet, or the run is damaged.
    """
    config = run.config
    seeds = [config["seed"] + trial for trial in range(config["trials"])]
    strategy = _one_of("strategy", strategy, config["strategies"])
    seed = _one_of("seed", seed, seeds)
    name = f"trial-{seeds.index(seed)}/{strategy}/selection"
    if not run.has_artifact(name):
        told = f"strategy {strategy}, seed {seed}, has chosen nothing yet"
        raise StoreError(f"run {run.id}: {told}; wait for it or `python -m rambo resume {run.id}`")
    frame = run.load_table(name)
    if missing := [column for column in _EVIDENCE if column not in frame]:
        told = f"it has no column {missing[0]}; resume the run to make it again"
        raise StoreError(f"run {run.id}: artifact {name}: {told}")
    frame = frame[list(_EVIDENCE)].sort_values("order", kind="stable").astype(object)
    table = frame.where(frame.notna(), None).to_numpy().tolist()
    classes = run.environment.get("classes") or []
    head = {"run_id": run.id, "strategy": strategy, "seed": seed}
    return [head | _evidence(order, row, classes) for order, row in enumerate(table, 1)]


def write(
    run: Run, format: str, out: Path, strategy: str | None = None, seed: int | None = None
) -> int:
    """Write `rows` to the file `out` and return how many there are.

    Raises:
        ConfigError: an unknown format, strategy or seed, or `out` cannot be written.
        StoreError: nothing is chosen yet, or the run is damaged.
    """
    writers = {"csv": to_csv, "jsonl": _to_jsonl, "json": _to_json}
    if format not in writers:
        raise ConfigError(
            f"--format {shorten(format)}: unknown; choose one of: {', '.join(FORMATS)}"
        )
    chosen = rows(run, strategy, seed)
    shown = f"--out {shorten(out)}"
    try:
        if out.is_dir():
            raise ConfigError(f"{shown}: this is a folder; name a file in it")
        if out.exists() and not out.is_file():
            raise ConfigError(f"{shown}: this is no ordinary file; name another")
        if not out.parent.is_dir():
            raise ConfigError(f"{shown}: its folder does not exist; make it or name another")
        target = Path(os.path.realpath(out))  # a link keeps pointing at its file
        files.write_bytes(target, writers[format](chosen))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(f"{shown}: {files.explain(error, 'export again')}") from error
    return len(chosen)


def to_csv(table: Sequence[dict[str, Any]]) -> bytes:
    r"""Return rows as UTF-8 CSV: a header, `\n` after each line, RFC 4180 quoting, None empty."""
    header = list(table[0]) if table else list(COLUMNS)
    lines = [header, *([row[name] for name in header] for row in table)]
    text = "".join(",".join(map(_cell, line)) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace")  # a file name may hold what is no character


def _cell(value: Any) -> str:
    """Return one CSV cell: numbers as they are, text guarded, quoted where it must be."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = _FORMULA.sub(r"\1'", value)
    quoted = re.search(r'[",;\t\r\n\0]|^\s|\s$', text)
    return '"' + text.replace('"', '""') + '"' if quoted else text


def _to_jsonl(table: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in table).encode()


def _to_json(table: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as one JSON array."""
    return (json.dumps(table, allow_nan=False, indent=1) + "\n").encode()


def _evidence(order: int, row: Sequence[Any], classes: Sequence[str]) -> dict[str, Any]:
    """Return what the run knows of one chosen image; None where the strategy does not say."""
    _, step, index, margin, guess, utility = row
    known = guess is not None and 0 <= guess < len(classes)
    return {
        "order": order,
        "step": int(step),
        "dataset_index": int(index),
        "margin": margin,
        "predicted_class": None if guess is None else int(guess),
        "predicted_label": classes[int(guess)] if known else None,
        "predicted_utility": utility,
    }


def _one_of(what: str, given: Any, known: Sequence[Any]) -> Any:
    """Return `given`, or the first of `known` where nothing is given."""
    if given is None:
        return known[0]
    if given not in known:
        there = ", ".join(map(str, known))
        raise ConfigError(f"--{what} {shorten(given)}: not in this run; choose one of: {there}")
    return given
