"""One bit of one file of a workspace is another one: what is read then is the same, or something is said."""

import random
from pathlib import Path

import kills
import store
from common import Tally, apart, forked, scratch

from rambo import collection as own
from rambo import export
from rambo.errors import RamboError
from rambo.runs import audit, edits
from rambo.runs.workspace import Workspace, summary


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of so many flipped bits, spread over all files of a workspace."""
    tally = Tally(
        "one bit of one file is flipped, over every file of a workspace",
        "the same answer, or words",
    )
    draw = random.Random(seed)
    with scratch() as folder:
        kills._done(folder)
        root = store.prepare(folder)
        for name in ("edit", "memo", "audit", "import", "label"):
            _step(root, name)
        right = answers(root)
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
        tally.fault += f" ({len(files)} files)"
        for number in range(limit):
            file = files[number % len(files)]
            whole = file.read_bytes()
            at = draw.randrange(8 * len(whole))
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            file.write_bytes(flipped)
            others = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
            name = f"{file.relative_to(root)}, bit {at}"
            tally.check(name, _read, root, right)
            file.write_bytes(whole)
            for path, data in others.items():  # readers heal some: begin from the same again
                if path != file and (not path.exists() or path.read_bytes() != data):
                    path.write_bytes(data)
            for path in [path for path in root.rglob("*") if path.is_file() and path not in others]:
                path.unlink()
    return [tally]


def _step(root: Path, name: str) -> None:
    if name == "edit":
        run = Workspace(root).runs()[0]
        edits.save(run, 0, "margin", edits.EditedBatch().limited([1], [1, 2], [0, 0]))
    else:
        apart(store.STEPS[name], root)


def answers(root: Path) -> dict[str, object]:
    """Return everything that is read of a workspace, or that it was refused."""
    run = Workspace(root).runs()[0]
    parts = {
        "summary": lambda: (summary(run).public(), []),
        "config": lambda: (run.config, []),
        "events": lambda: ([str(entry) for entry in run.events()], []),
        "memo": lambda: (_memo(root), []),
        "audit": lambda: (str(audit.read(root)[0]), audit.read(root)[1]),
        "collection": lambda: (kills._collection(root.parent), []),
        "versions": lambda: (str(own.find(root, "pets").versions()), []),
        "atlas": lambda: (_arrays(run.load_arrays("trial-0/atlas")), []),
    }
    for name in ("csv", "zip", "label-studio", "distil"):
        for strategy in ("rambo", "margin"):
            parts[f"{name} {strategy}"] = lambda name=name, strategy=strategy: _export(
                run, name, strategy
            )
    answers_now: dict[str, object] = {}
    for name, read in parts.items():
        try:
            answers_now[name] = read()
        except RamboError:
            answers_now[name] = "refused"
    return answers_now


def _arrays(arrays: dict) -> list:
    return [(name, array.shape, array.tobytes()) for name, array in sorted(arrays.items())]


def _memo(root: Path) -> object:
    row = Workspace(root).memo().get(store.KEY)
    return None if row is None else (row[0], {name: part.tolist() for name, part in row[1].items()})


def _export(run: object, name: str, strategy: str) -> tuple[object, object]:
    file = export.build(run, name, strategy, 0)  # type: ignore[arg-type]
    return file.data, list(file.notices)


def _read(root: Path, right: dict[str, object]) -> str | None:
    """Return which answer changed without a word."""

    def check() -> str | None:
        now = answers(root)
        for name, value in now.items():
            if value == right[name] or value == "refused":
                continue
            if name == "memo" and value == (None, []):  # computed again
                continue
            if isinstance(value, tuple) and value[1]:  # it says so
                continue
            return f"{name} changed in silence"
        return None

    code, words = forked(check, 120)
    return words or f"exit {code}" if code else None
