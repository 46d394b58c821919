"""Progress bars with ETA on standard error, drawn from events."""

import sys
import time
from typing import Any

from tqdm import tqdm

from rambo.events import (
    BatchChosen,
    Event,
    LabeledPoolGrew,
    Noticed,
    RankingAudited,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StrategyEvaluated,
    StrategySelected,
    TrainingsCompared,
)


class StageBar:
    """A listener that draws one bar a stage; its children say how a bar looks and what is written beside it."""

    def __init__(self) -> None:
        """Start without a bar."""
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        """Draw what the event says."""
        match event:
            case StageStarted():
                self.close()
                self._bar = self.open(event)
            case StageAdvanced() if self._bar is not None:
                self._bar.update(event.step - self._bar.n)
            case StageFinished():
                self.close()
            case LabeledPoolGrew() if event.accuracy is not None:
                self.note(f"{event.labeled} labels, accuracy {100 * event.accuracy:.1f} %")
            case BatchChosen():
                self.note(f"batch {event.step + 1} of {event.steps}")
            case RankingAudited() if event.accuracy is not None:
                self.note(
                    f"u_hat orders {100 * event.accuracy:.0f} % of {event.pairs} held-out pairs"
                )
            case Noticed():
                self.line(f"note: {event.message}")
            case _:
                self.show_result(event)

    def open(self, event: StageStarted) -> Any:
        """Return the bar of a stage."""
        return tqdm(
            total=event.total,
            desc=f"{event.stage:<12}",
            file=sys.stderr,
            disable=event.total < 2,
        )

    def show_result(self, event: Event) -> None:
        """Draw what a strategy gave; nothing for other events."""

    def close(self) -> None:
        """Leave the current bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def note(self, text: str) -> None:
        """Write beside the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def line(self, text: str) -> None:
        """Write a line above the bar."""
        tqdm.write(text, file=sys.stderr)


class ProgressBars(StageBar):
    """The bars of the command line, on standard error; finished ones stay on screen."""

    def show_result(self, event: Event) -> None:
        """Write what a strategy chose, and how good it was."""
        match event:
            case StrategySelected():
                self.line(f"{event.strategy} chose {event.budget} images")
            case StrategyEvaluated():
                self.line(f"{event.strategy}: test accuracy {100 * event.test_accuracy:.1f} %")
            case _:
                pass


class LogLines:
    """A listener that writes one dated line for what a person would want to read in a log."""

    def __call__(self, event: Event) -> None:
        """Write what the event says, if it is worth a line."""
        text = _sentence(event)
        if text:
            sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            sys.stderr.flush()


def _sentence(event: Event) -> str:
    """Return a line for the log, or an empty text."""
    match event:
        case StageStarted():
            return f"{event.stage}: {event.total} steps"
        case StageFinished():
            return f"{event.stage} done in {event.seconds:.1f} s"
        case LabeledPoolGrew():
            return f"f on {event.labeled} labels: accuracy {100 * event.accuracy:.1f} %"
        case TrainingsCompared() if event.agreement is not None:
            return f"two trainings agree on {100 * event.agreement:.0f} % of {event.pairs} pairs"
        case RankingAudited() if event.accuracy is not None:
            return (
                f"{event.phase}: u_hat orders {100 * event.accuracy:.0f} % of "
                f"{event.pairs} held-out pairs"
            )
        case BatchChosen():
            return f"batch {event.step + 1} of {event.steps}: u_hat {event.utility:.3f}"
        case StrategySelected():
            return f"{event.strategy} chose {event.budget} images"
        case StrategyEvaluated():
            return f"{event.strategy}: test accuracy {100 * event.test_accuracy:.1f} %"
        case Noticed():
            return f"note: {event.message}"
        case _:
            return ""
