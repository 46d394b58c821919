"""What the first visitor would wait for, done while nobody waits: imports, and what pages show first."""

import contextlib
import gc
import importlib
import threading
import time

from rambo.errors import RamboError

_PATIENCE = 1.0  # seconds in which the server answers first
_PAGES = (
    "rambo.ui.batch.batch_view",
    "rambo.ui.compare.compare_view",
    "rambo.ui.learn.view",
    "rambo.ui.train.live",
)


def begin() -> None:
    """Start a thread that imports the pages and reads what they show first; it never fails and ends by itself."""
    threading.Thread(target=_warm, name="warm", daemon=True).start()


def _warm() -> None:
    """Import and read; what cannot be read is said to the first visitor who asks for it."""
    time.sleep(_PATIENCE)
    for name in _PAGES:
        importlib.import_module(name)
    for read in (_read_shipped, read_newest_choice):
        with contextlib.suppress(RamboError):
            read()
    # All of this stays as long as the server does; looking through it for garbage takes a page 80 ms.
    gc.collect()
    gc.freeze()


def _read_shipped() -> None:
    """Read what comes with RAMBO: the script of charts, accuracy against labels, the tables of Learn."""
    from rambo.ui import finished
    from rambo.ui.components import media, plotly_js
    from rambo.ui.learn import tables

    media.packed(plotly_js())
    finished.curve()
    for kind in tables.KINDS:
        tables.read(kind)
    tables.dataset()
    tables.pixels()


def read_newest_choice() -> None:
    """Read the choice that Batch opens with, and make its map and the pictures of it.

    Raises:
        RamboError: it is damaged.
    """
    from rambo.runs.workspace import Run
    from rambo.ui import readers, state
    from rambo.ui.batch import batch_data, map_view

    newest = next((record.run for record in readers.runs() if record.status == "done"), None)
    if newest is None:
        return
    run = Run(state.workspace().root / newest)
    batch = batch_data.load(run, 0, batch_data.first_strategy(run))
    if batch is not None and batch.atlas is not None:
        map_view.thumbnails_of(batch, map_view.map_of(batch).ids)
