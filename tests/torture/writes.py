"""Every write fails once: full disk, failing disk, read-only, denied; then the same is done again."""

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import shim
import store
from common import Tally, apart, forked, scratch

from rambo.errors import RamboError

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EROFS": errno.EROFS, "EACCES": errno.EACCES}


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of at most so many failing writes, drawn from all there are."""
    tally = Tally(
        "one write of the store fails (ENOSPC, EIO, EROFS, EACCES), once or from then on",
        "a refusal in words; old or new state, which opens; the same call works afterwards",
    )
    points: list[tuple[str, int, str, bool]] = []
    with scratch() as folder:
        root = store.prepare(folder)
        before: dict[str, Path] = {}
        for name, step in store.STEPS.items():
            before[name] = folder / f"before-{name}"
            if root.is_dir():
                shutil.copytree(root, before[name])
            for number in range(int(apart(_count, root, step))):
                points += [
                    (name, number, error, stays) for error in ERRORS for stays in (False, True)
                ]
        draw = random.Random(seed)
        slow = [
            point for point in points if point[0] == "import"
        ]  # each starts processes that read
        fast = [point for point in points if point[0] != "import"]
        chosen = draw.sample(slow, min(limit // 20, len(slow)))
        chosen += draw.sample(fast, min(limit - len(chosen), len(fast)))
        for name, number, error, stays in chosen:
            shutil.rmtree(root, ignore_errors=True)
            if before[name].is_dir():
                shutil.copytree(before[name], root)
            label = f"{name}, write {number}, {error}{', from then on' if stays else ''}"
            tally.check(label, _fail, root, name, number, error, stays)
    tally.fault += f"; {len(points):,} points in all"
    return [tally]


def _count(root: Path, step: Callable[[Path], None]) -> int:
    shim.count(root)
    step(root)
    return shim.calls()


def _fail(root: Path, name: str, number: int, error: str, stays: bool) -> str | None:
    """Return what is wrong after one failing write."""
    old = store.look(root)

    def attempt() -> str | None:
        shim.arm(root, number, ERRORS[error], stays=stays)
        try:
            store.STEPS[name](root)
        except RamboError as refusal:
            words = str(refusal)
            return f"words with a path: {words}" if str(root) in words else None
        except OSError as raw:
            return f"a raw error: {raw!r}"
        return None  # it went on without

    code, words = forked(attempt)
    if code:
        return words or f"exit {code}"
    now = store.look(root)
    try:
        if name != "create" or now["runs"] == 0:
            apart(store.STEPS[name], root)
    except RuntimeError as error:  # it had come through after all, and cannot come twice
        if now == old:
            return f"once more: {error}"
    new = store.look(root)
    third = [part for part in now if store.is_third(part, old, now, new)]
    if third and name not in ("import",):  # an import in the middle is a version of its own
        return f"neither old nor new: {third[0]} {old.get(third[0])} {now[third[0]]} {new.get(third[0])}"
    return None
