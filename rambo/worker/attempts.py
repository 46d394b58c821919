"""How an attempt at a study or a model ends in its record: stopped, failed, or as its work says."""

from collections.abc import Callable

from rambo.errors import RamboError, RunCancelled
from rambo.runs.run import Run
from rambo.worker import memory


def conclude(run: Run, work: Callable[[], str]) -> str:
    """Return the status that `work` returns, or `stopped`; whatever else happens is written down and raised.

    Args:
        run: locked by this process.
        work: sets the status itself where all goes well.

    Raises:
        RamboError: what went wrong; the status says it too.
    """
    try:
        return work()
    except (RunCancelled, KeyboardInterrupt):
        run.set_status("stopped", "stopped on request; resume it to go on")
        return "stopped"
    except RamboError as error:
        run.set_status("failed", str(error))
        raise
    except Exception as error:
        if memory.ran_out(error):
            short = memory.shortage(error, "cpu", "take fewer images, let the CPU train")
            run.set_status("failed", str(short))
            raise short from error
        run.set_status("failed", f"an unforeseen {type(error).__name__}; the log has the details")
        raise
