"""Two sessions at one workspace, in every order: start, stop, delete, import, label, undo, read."""

import random
import shutil
import threading
import time
from pathlib import Path

import store
from collection_helpers import save
from common import Tally, apart, forked, scratch

from rambo import collection as own
from rambo.collection.importing import ImportOptions, import_images
from rambo.errors import RamboError
from rambo.runs import audit
from rambo.runs.environment import Environment
from rambo.runs.workspace import Workspace

_KINDS = ("start", "stop", "delete", "import", "label", "undo", "read", "events", "begin")
_ACTS = 8  # of each session
_CLOCK = 86_400.0  # seconds that a clock jumps


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of so many interleavings, and of clocks that jump meanwhile."""
    plain = Tally(
        "two sessions act at once (start, stop, delete, import, label, undo, read)",
        "all that is left opens; versions without a gap; a log without a gap; nothing half-made",
    )
    clocks = Tally("the clock jumps by a day between two acts", "the same; no negative time")
    draw = random.Random(seed)
    with scratch() as folder:
        root = store.prepare(folder)
        apart(store.STEPS["import"], root)
        begun = folder / "begun"
        shutil.copytree(root, begun)
        for number in range(limit):
            seeds = draw.random(), draw.random()
            tally, jumps = (clocks, True) if number % 5 == 4 else (plain, False)
            shutil.rmtree(root)
            shutil.rmtree(folder / "given", ignore_errors=True)
            shutil.copytree(begun, root)
            tally.check(f"seeds {seeds}", _together, root, seeds, jumps)
    return [plain, clocks]


def _together(root: Path, seeds: tuple[float, float], jumps: bool) -> str | None:
    def check() -> str | None:
        wrong: list[str] = []
        clock = time.time
        if jumps:
            shift = random.Random(seeds[0])
            time.time = lambda: clock() + shift.choice((-_CLOCK, 0.0, _CLOCK))  # type: ignore[assignment]
        sessions = [threading.Thread(target=_session, args=(root, seed, wrong)) for seed in seeds]
        for session in sessions:
            session.start()
        for session in sessions:
            session.join()
        time.time = clock
        return "; ".join(wrong[:3]) or _whole(root)

    code, words = forked(check, 120)
    return words or f"exit {code}" if code else None


def _session(root: Path, seed: float, wrong: list[str]) -> None:
    draw = random.Random(seed)
    for _ in range(_ACTS):
        act = draw.choice(_KINDS)
        try:
            _act(root, act, draw)
        except RamboError:
            pass  # a refusal in words is right
        except Exception as error:
            wrong.append(f"{act}: {type(error).__name__} {str(error)[:150]}")


def _act(root: Path, act: str, draw: random.Random) -> None:
    workspace = Workspace(root)
    runs = workspace.runs()
    if act == "start":
        audit.note(root, act, workspace.create(store.CONFIG, Environment()).id)
    elif act == "import":
        _import(root, draw)
    elif act in ("label", "undo"):
        store.STEPS[act](root)
        audit.note(root, act, "pets")
    elif act == "read":
        store.look(root)
    elif runs:
        run = draw.choice(runs)
        if act == "stop":
            run.request_stop()
        elif act == "delete":
            workspace.delete(run)
        else:
            with run.lock():
                run.begin_attempt()
                run.set_status("running")
                run.set_status("done")
        audit.note(root, act, run.id)


def _import(root: Path, draw: random.Random) -> None:
    """Let the collection grow by a picture, make a second one, or delete that."""
    way = draw.choice(("grow", "second", "delete"))
    if way == "delete":
        own.delete(own.find(root, "more"))
        audit.note(root, way, "more")
        return
    folder = root.parent / "given" / str(draw.randrange(10**9))
    for place in range(3):
        save(folder / "unlabeled" / f"{folder.name}-{place}.png", draw.randrange(10**9))
    name = "pets" if way == "grow" else "more"
    imported = import_images(root, [folder], ImportOptions(jobs=1, name=name))
    audit.note(root, "import", f"{name}@{imported.version}")


def _whole(root: Path) -> str | None:
    acts, damaged = audit.read(root)
    if damaged:
        return f"lines {damaged} of the log"
    for run in Workspace(root).runs():
        if run.describe().status == "unreadable":
            return f"{run.id} does not open"
        if any(entry.time < 0 for entry in run.events()):
            return "a negative time"
    for slug in own.slugs(root):
        numbers = [version.number for version in own.find(root, slug).versions()]
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            return f"versions {numbers} of {slug}"
        now = own.find(root, slug).snapshot()
        if len(list(own.find(root, slug).pictures(now.numbers.tolist()))) != len(now.numbers):
            return f"pictures of {slug} are missing"
    names = [
        p.name
        for p in root.rglob("*")
        if p.name.startswith((".new-", ".gone-")) or p.suffix == ".part"
    ]
    return f"left behind: {names[:3]}" if names else None
