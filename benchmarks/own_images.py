"""Own images: 10,000 photos of a megapixel imported, stopped and gone on with, and a collection of 100,000 opened.

`python -m benchmarks own_images`. The import runs as a person runs it, in a process of its own; memory is that of it
and its children together. RAMBO_BENCH_PHOTOS names another number of photos.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.measure import Goal, Measure
from benchmarks.timing import WALL, load
from rambo.collection import collection as own
from rambo.collection.drafts import Draft
from rambo.collection.looks import Look
from rambo.collection.records import Frame, LabelEntry
from rambo.storage import database

PHOTOS = int(os.environ.get("RAMBO_BENCH_PHOTOS", "10000"))
MANY = 100_000
SIZE = (1152, 864)  # a megapixel
_STOP_AFTER = 0.3  # of the photos


def measure() -> list[Measure]:
    """Return what importing and opening take."""
    with tempfile.TemporaryDirectory() as folder:
        photos, home = Path(folder) / "photos", Path(folder) / "home"
        _write_photos(photos)
        before = load()
        first = _import(photos, home, stop_after=_STOP_AFTER)
        rest = _import(photos, home)
        again = _import(photos, home)
        opened, cpu = _open_many(Path(folder) / "many")
        note = (
            f"Load {before:.1f} before and {load():.1f} after. The first import was stopped after {first.read:,} "
            f"photos; the second one read the other {rest.read:,} and not one of these; the third read {again.read:,}. "
            f"CPU seconds of all processes: {first.cpu + rest.cpu:,.0f} for {PHOTOS:,} photos, {again.cpu:.1f} where "
            "nothing is new."
        )
        whole = first.seconds + rest.seconds
        memory = max(first.memory, rest.memory, again.memory)
        imported = Measure(
            "Own images",
            f"{PHOTOS:,} JPEG files of {SIZE[0]} x {SIZE[1]} pixels become a collection: two processes, 96 x 96 "
            "pictures, near duplicates, the report. `nothing new` is the same import once more.",
            WALL,
            {"import": [whole], "nothing new": [again.seconds]},
            [
                Goal("gigabytes of memory, all processes", memory / 1e9, 2, at_most=True),
                Goal(
                    "CPU minutes for 10,000",
                    (first.cpu + rest.cpu) / 60 * 10_000 / PHOTOS,
                    10,
                    5,
                    at_most=True,
                ),
            ],
            PHOTOS,
            "photos",
            note=note,
        )
        many = Measure(
            "A large collection",
            f"Everything that is known of {MANY:,} images, 1,000 of them labeled, read from the disk.",
            WALL,
            {"open": opened},
            [
                Goal("seconds to open 100,000 images", float(np.median(opened)), 2, at_most=True),
                Goal("CPU seconds to open 100,000 images", float(np.median(cpu)), 2, at_most=True),
            ],
            MANY,
            "images",
            note=f"Load {load():.1f} after.",
        )
    return [imported, many]


@dataclasses.dataclass
class Outcome:
    """What one import took: wall seconds, CPU seconds and peak bytes of all its processes, files it read."""

    seconds: float
    cpu: float
    memory: int
    read: int


def _write_photo(arguments: tuple[str, int]) -> None:
    folder, number = arguments
    low = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(low).resize(SIZE, Image.Resampling.BICUBIC)
    image.save(Path(folder) / f"photo {number:05d}.jpg", quality=85)


def _write_photos(folder: Path) -> None:
    """Write photos, 30 of each of two classes labeled."""
    work = []
    for name in ("cat", "dog", "pool"):
        (folder / name).mkdir(parents=True)
    for number in range(PHOTOS):
        name = ("cat", "dog")[number % 2] if number < 60 else "pool"
        work.append((str(folder / name), number))
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_write_photo, work, chunksize=100))


def _import(photos: Path, home: Path, stop_after: float | None = None) -> Outcome:
    """Run an import to its end, or stop it on the way."""
    command = [sys.executable, "-m", "rambo", "import", "--json", "--jobs=2", str(photos)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"RAMBO_HOME": str(home)}
    )
    peak, spent = 0, {0: 0.0}
    done = threading.Event()
    out = b""

    def listen() -> None:
        nonlocal out
        assert process.stdout is not None
        out = process.stdout.read()
        done.set()

    threading.Thread(target=listen, daemon=True).start()
    top = psutil.Process(process.pid)
    while not done.wait(0.2):
        with contextlib.suppress(psutil.Error):
            family = [top, *top.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family))
            for one in family:
                times = one.cpu_times()
                spent[one.pid] = times.user + times.system
        if stop_after is not None:
            with contextlib.suppress(Exception):
                collection = own.find(home, "photos")
                progress = collection.progress()
                if progress is not None and progress.step >= stop_after * PHOTOS:
                    collection.request_stop()
                    stop_after = None
    process.wait()
    read = 0
    if process.returncode == 0:
        read = json.loads(out)["read"]
    else:
        progress = own.find(home, "photos").progress()
        read = progress.step if progress else 0
    return Outcome(time.perf_counter() - started, sum(spent.values()), peak, read)


def _open_many(home: Path) -> tuple[list[float], list[float]]:
    """Return the seconds that opening a large collection takes, five times, on the clock and of the processor."""
    frame = Frame(16, 16)
    collection = own.create(home, "many", frame, validation_share=0.2)
    pixels = np.zeros((3, 16, 16), np.uint8)
    with collection.writing() as db:
        draft = Draft(db)
        with database.transaction(db):
            source = draft.source("folder", str(home))
            for number in range(MANY):
                look = Look(
                    f"{number:064x}", 640, 480, "RGB", False, 120.0, 40.0,
                    number.to_bytes(32, "big") * 8, pixels,
                )  # fmt: skip
                draft.add_image(number, look, (None, None))
                name = f"folder/{number % 40}/photo {number}.jpg"
                draft.add_file(source, name, name.encode(), f"1000:{number}", number, None)
            draft.add_labels(
                LabelEntry(number, f"class {number % 10}", "folder") for number in range(1000)
            )
            draft.finish("import", "made for the benchmark")
    seconds, cpu = [], []
    for _ in range(5):
        started, busy = time.perf_counter(), time.process_time()
        now = own.find(home, "many").snapshot()
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - busy)
        assert len(now) == MANY
    return seconds, cpu


if __name__ == "__main__":
    from benchmarks.report import show

    show(measure())
