"""Interrupts of a kernel that come at a moment which must not be torn."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from rambo.errors import Interrupted


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Put an interrupt of the kernel off until the block is done: half a library would not load a second time.

    Raises:
        Interrupted: one came in the meantime.
    """
    ours = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if ours else None
    if before is None:  # nobody here hears an interrupt, or it is not Python that does
        yield
        return
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise Interrupted("stopped; run this cell again to go on")
