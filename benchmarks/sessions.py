"""Twenty people watch a run at once: `python -m benchmarks sessions`.

Each session is a web socket that does what a browser does: it opens Train of a running run or Batch of the shipped one,
and sends the live parts of the page again as often as the page asks for it. Half of them watch Train, half Batch; they
come in one instant, after somebody has looked at each page once: that first visitor is told apart. After half of the
time all leave and come anew, again in one instant.
Without a browser, so that what is measured is the server; takes five minutes. What watching costs the worker is told by
the same run made twice: the first minutes of it alone, and watched.
"""

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.app import cpu_seconds
from benchmarks.measure import Goal, Measure
from benchmarks.report import show
from benchmarks.screenshots import server
from benchmarks.timing import WALL
from rambo import config
from rambo.config import presets
from rambo.datasets import catalog
from rambo.runs import jobs, travel
from rambo.runs.workspace import Run, Workspace
from rambo.storage import places
from rambo.worker import run_worker

SESSIONS, SECONDS = 20, 120
_PAGES = ("train", "batch")
_PATIENCE = 60.0  # seconds for one answer


@dataclass
class Watch:
    """What the sessions saw.

    Attributes:
        first: seconds until a whole page had answered to whoever came first.
        loads: seconds until a whole page had answered to the twenty.
        ticks: seconds until a live part had answered.
        errors: what went wrong.
    """

    first: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def measure() -> list[Measure]:
    """Return how fast pages answer twenty sessions, and what they cost the worker and the server's memory."""
    with tempfile.TemporaryDirectory() as folder:
        with _working(Workspace(Path(folder) / "alone")) as run:
            alone = _rate(run, SECONDS)
        workspace = Workspace(Path(folder) / "watched")
        done = _finished(workspace)
        with server(workspace.root) as (address, pid), _working(workspace) as run:
            begun, own = cpu_seconds(pid), time.process_time()
            watch, watched, before, after = asyncio.run(_together(address, run, done, pid))
            cores = SECONDS * (os.cpu_count() or 1)
            share, own = (cpu_seconds(pid) - begun) / cores, (time.process_time() - own) / cores
            if run.status != "running":
                watch.errors.append(f"the run was {run.status} before its watchers left")
    # The watchers' own process takes its time on the worker's cores, where a browser would take it elsewhere.
    slower = 1 - watched / alone - own if alone else 0.0
    errors = f" Errors: {'; '.join(watch.errors[:3])}." if watch.errors else ""
    return [
        Measure(
            name="Twenty sessions",
            what=f"{SESSIONS} sessions for {SECONDS} s, half on Train of a running run, half on Batch of a done one: a "
            "live part asked for until it has answered; a whole page, all in one instant and again after half of the "
            "time; and the very first visitor of each page, before them, of a server that has just started.",
            clock=WALL,
            seconds={
                "a live part": watch.ticks,
                "a whole page": watch.loads,
                "the first visitor": watch.first,
            },
            goals=[
                Goal("p95 of a live part, seconds", _p95(watch.ticks), 1, at_most=True),
                Goal("p95 of a whole page, seconds", _p95(watch.loads), 1, at_most=True),
                Goal("errors", len(watch.errors), 0, at_most=True),
                Goal("growth of the server's memory", after / before - 1, 0.05, at_most=True),
                Goal("share by which the server slows the worker", slower, 0.1, at_most=True),
                Goal("the server's share of all cores", share, 0.1, at_most=True),
            ],
            note=f"{len(watch.ticks):,} ticks; {before >> 20} MB after a minute of watching, "
            f"{after >> 20} MB at the end; "
            f"{60 * alone:.1f} trainings a minute alone, {60 * watched:.1f} watched, "
            f"{100 * own:.1f} % of all cores taken by the watchers' own process; load "
            f"{os.getloadavg()[0]:.1f} at the end on {os.cpu_count()} cores.{errors}",
        )
    ]


def _finished(workspace: Workspace) -> Run:
    """Return the finished run that is shipped, or one of the demo where none is."""
    shipped = places.finished_run()
    if shipped is not None:
        return workspace.find(travel.unpack(shipped, workspace).run)
    done = run_worker.start(config.build(presets.demo()), workspace)
    run_worker.work(done)
    return done


@contextlib.contextmanager
def _working(workspace: Workspace) -> Iterator[Run]:
    """Give a run that trains for longer than anyone watches; it is stopped at the end."""
    settings = presets.quick() | {"seed": 1, "trials": 100}
    data = catalog.prepare("fashion-mnist-mini", workspace.root)
    run, _ = jobs.start(config.build(settings), data, workspace, "cpu")
    try:
        while not _trained(run):
            time.sleep(0.1)
        yield run
    finally:
        jobs.stop(run)
        while run.locked() or run.status in jobs.LIVE:
            time.sleep(0.2)


async def _together(address: str, run: Run, done: Run, pid: int) -> tuple[Watch, float, int, int]:
    """Return what the sessions saw, the worker's trainings a second, the server's memory halfway and after."""
    watch = Watch()
    shown = list(zip(_PAGES, (run, done), strict=True))
    for page, its_run in shown:
        await _guarded(_session(address, page, its_run, watch, watch.first, 0), watch)
    before, begun = _trained(run), time.monotonic()
    memory = []
    for part in (1, 2):
        end = begun + part * SECONDS / 2
        visits = (
            _session(address, *shown[place % 2], watch, watch.loads, end)
            for place in range(SESSIONS)
        )
        await asyncio.gather(*(_guarded(visit, watch) for visit in visits))
        memory.append(_memory(pid))
    rate = (_trained(run) - before) / (time.monotonic() - begun)
    return watch, rate, memory[0], memory[1]


async def _guarded(session: Awaitable[None], watch: Watch) -> None:
    """Note what goes wrong in a session."""
    try:
        await session
    except Exception as error:
        words = str(error) or f"no answer within {_PATIENCE:.0f} s"
        watch.errors.append(f"{type(error).__name__}: {words[:100]}")


async def _session(
    address: str, page: str, run: Run, watch: Watch, loads: list[float], end: float
) -> None:
    """Open a page, and keep its live parts going as a browser would.

    Args:
        address: of the server.
        page: which.
        run: that it shows.
        watch: where live parts and errors are noted.
        loads: where the seconds of the whole page are noted.
        end: when its visitor leaves, on the monotonic clock.
    """
    host = address.removeprefix("http://")
    async with connect(
        f"ws://{host}/_stcore/stream",
        origin=address,  # type: ignore[arg-type]
        subprotocols=["streamlit"],  # type: ignore[list-item]
        max_size=None,
    ) as socket:
        parts: dict[str, float] = {}
        begun = time.monotonic()
        await _ask(socket, page, run, "")
        await _answer(socket, parts, watch, Forward.SCRIPT)
        loads.append(time.monotonic() - begun)
        due = {part: time.monotonic() + every for part, every in parts.items()}
        while (now := time.monotonic()) < end:
            part = min(due, key=due.__getitem__, default="")
            if not part:
                await asyncio.sleep(0.5)
                continue
            await asyncio.sleep(max(0.0, due[part] - now))
            begun = time.monotonic()
            await _ask(socket, page, run, part)
            await _answer(socket, parts, watch, Forward.FRAGMENT)
            watch.ticks.append(time.monotonic() - begun)
            # The answer may have been the whole page, of which other parts are live.
            after = time.monotonic()
            due = {name: due.get(name, after + every) for name, every in parts.items()}
            if part in due:
                due[part] = max(due[part] + parts[part], after)


class Forward:
    """How the end of a script run is told."""

    SCRIPT = ForwardMsg.FINISHED_SUCCESSFULLY
    FRAGMENT = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY


async def _ask(socket: ClientConnection, page: str, run: Run, fragment: str) -> None:
    """Ask for a page, or for one live part of it."""
    message = BackMsg()
    message.rerun_script.page_name = page
    message.rerun_script.query_string = f"run={run.id}"
    message.rerun_script.fragment_id = fragment
    message.rerun_script.is_auto_rerun = bool(fragment)
    await socket.send(message.SerializeToString())


async def _answer(
    socket: ClientConnection, parts: dict[str, float], watch: Watch, wanted: int
) -> None:
    """Read until the answer is whole; note which live parts there are, and what went wrong."""
    while True:
        data = await asyncio.wait_for(socket.recv(), _PATIENCE)
        message = ForwardMsg()
        message.ParseFromString(data if isinstance(data, bytes) else data.encode())
        kind = message.WhichOneof("type")
        if kind == "new_session" and not message.metadata.run.fragment_ids:
            parts.clear()  # the whole page is drawn anew, as when the run that it shows has ended
        elif kind == "stop_auto_rerun":
            for name in message.stop_auto_rerun.fragment_ids:
                parts.pop(name, None)
        elif kind == "auto_rerun":
            parts[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "delta" and message.delta.new_element.WhichOneof("type") == "exception":
            watch.errors.append(message.delta.new_element.exception.message[:100])
        elif kind == "script_finished" and message.script_finished in (wanted, Forward.SCRIPT):
            return


def _p95(seconds: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else 0.0


def _rate(run: Run, seconds: float) -> float:
    """Return the trainings a second of a run while nobody watches."""
    before, begun = _trained(run), time.monotonic()
    time.sleep(seconds)
    return (_trained(run) - before) / (time.monotonic() - begun)


def _trained(run: Run) -> int:
    """Return how many classifiers a run has trained."""
    return sum(entry.event.kind == "ClassifierTrained" for entry in run.events())


def _memory(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    show(measure())
