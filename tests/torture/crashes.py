"""The power goes at every moment: the states that a disk may be in, made from a recorded trace of file operations."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import shim
import store
from common import Tally, apart, forked, scratch


@dataclass(frozen=True)
class Op:
    """One operation: what, on which file, to which name, where, with which bytes."""

    what: str
    path: str
    other: str
    offset: int
    data: bytes
    step: int


def record(folder: Path, root: Path) -> list[Op]:
    """Return the operations of the whole life of a workspace."""
    ops: list[Op] = []
    for number, step in enumerate(store.STEPS.values()):
        file = folder / "trace"
        apart(_trace, root, file, step)
        ops += _parse(file.read_bytes(), number)
    return ops


def _trace(root: Path, file: Path, step: Callable[[Path], None]) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    shim.trace(root, descriptor)
    step(root)
    shim.trace(None, -1)


def _parse(raw: bytes, step: int) -> list[Op]:
    ops, at = [], 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        what, names, offset, size = raw[at:end].decode().split("\x1f")
        path, _, other = names.partition("\t")
        data = raw[end + 1 : end + 1 + int(size)]
        ops.append(Op(what, path, other, int(offset), data, step))
        at = end + 1 + int(size)
    return ops


class Disk:
    """Files as they are in memory, and as they would be after the power went."""

    def __init__(self) -> None:
        self.now: dict[str, bytearray] = {}
        self.synced: dict[str, bytes] = {}
        self.folders: set[str] = set()

    def apply(self, op: Op) -> None:
        """Do one operation."""
        if op.what == "mkdir":
            self.folders.add(op.path)
        elif op.what == "create":
            self.now[op.path] = bytearray()
        elif op.what == "write" and op.path in self.now:
            content = self.now[op.path]
            content.extend(bytes(max(0, op.offset - len(content))))
            content[op.offset : op.offset + len(op.data)] = op.data
        elif op.what == "truncate" and op.path in self.now:
            content = self.now[op.path]
            del content[op.offset :]
            content.extend(bytes(op.offset - len(content)))
        elif op.what == "sync" and op.path in self.now:
            self.synced[op.path] = bytes(self.now[op.path])
        elif op.what == "rename":
            for files in (self.now, self.synced):
                for name in [n for n in files if n == op.path or n.startswith(f"{op.path}/")]:
                    files[op.other + name[len(op.path) :]] = files.pop(name)  # type: ignore[assignment]
            moved = {n for n in self.folders if n == op.path or n.startswith(f"{op.path}/")}
            self.folders = self.folders - moved | {op.other + n[len(op.path) :] for n in moved}
        elif op.what == "unlink":
            self.now.pop(op.path, None)
            self.synced.pop(op.path, None)

    def put(self, files: dict[str, bytes]) -> None:
        """Write a state to the real disk."""
        for name in sorted(self.folders):
            Path(name).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            if not name.endswith("-shm"):  # shared memory: SQLite makes it again
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_bytes(data)


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of at most so many states."""
    tally = Tally(
        "the power goes: cut, the last write halved, unsynced data dropped, renames without data",
        "old or new state, which opens",
    )
    with scratch() as folder:
        root = store.prepare(folder)
        ops = record(folder, root)
        shutil.rmtree(root)
        points = [(n, kind) for n in range(1, len(ops) + 1) for kind in ("cut", "half", "dropped")]
        tally.fault += f"; {len(points):,} states of {len(ops):,} operations"
        draw = random.Random(seed)
        looks = _looks(folder)
        for number, kind in sorted(draw.sample(points, min(limit, len(points)))):
            tally.check(
                f"operation {number} ({ops[number - 1].what}), {kind}",
                _crash,
                root,
                ops,
                number,
                kind,
                looks,
            )
    return [tally]


def _looks(folder: Path) -> list[dict]:
    """Return what can be seen before the first step and after each."""
    other = folder / "again"
    other.mkdir()
    root = store.prepare(other)
    looks = [store.look(root)]
    for step in store.STEPS.values():
        apart(step, root)
        looks.append(store.look(root))
    return looks


def _crash(root: Path, ops: list[Op], number: int, kind: str, looks: list[dict]) -> str | None:
    """Return what is wrong with one state."""
    disk = Disk()
    for op in ops[: number - 1]:
        disk.apply(op)
    last = ops[number - 1]
    if kind == "half" and last.what == "write":
        last = Op(
            last.what, last.path, "", last.offset, last.data[: len(last.data) // 2], last.step
        )
    disk.apply(last)
    files = {name: bytes(data) for name, data in disk.now.items()}
    if kind == "dropped":
        files = {name: disk.synced.get(name, b"") for name in disk.now}
    shutil.rmtree(root, ignore_errors=True)
    disk.put(files)

    def check() -> str | None:
        now = store.look(root)
        old, new = looks[last.step], looks[last.step + 1]
        third = [part for part in now if store.is_third(part, old, now, new)]
        if third and store_step(last.step) != "import":
            part = third[0]
            return f"{part} is {now[part]}, was {old.get(part)}, becomes {new.get(part)}"
        return None

    code, words = forked(check)
    return words or f"exit {code}" if code else None


def store_step(number: int) -> str:
    """Return the name of a step."""
    return list(store.STEPS)[number]
