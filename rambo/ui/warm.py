"""What the first visitor would wait for, done while nobody waits: modules of all pages, and the tables of Learn."""

import contextlib
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
    """Start a thread that imports the pages and reads what Learn shows; it never fails and ends by itself."""
    threading.Thread(target=_warm, name="warm", daemon=True).start()


def _warm() -> None:
    """Import and read; what cannot be read is said to the first visitor who asks for it."""
    time.sleep(_PATIENCE)
    for name in _PAGES:
        importlib.import_module(name)
    from rambo.ui import finished
    from rambo.ui.learn import tables

    with contextlib.suppress(RamboError):
        finished.curve()
        for kind in tables.KINDS:
            tables.read(kind)
        tables.dataset()
        tables.pixels()
