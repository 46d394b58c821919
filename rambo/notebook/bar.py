"""A progress bar for notebooks and terminals: one at a time, gone when its stage is done."""

import sys
import warnings
from typing import Any

from rambo.events import (
    BatchChosen,
    Event,
    LabeledPoolGrew,
    Noticed,
    RankingAudited,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StrategySelected,
)
from rambo.figures.theme import STAGE_WORDS, strategy_word

with warnings.catch_warnings():  # it warns where ipywidgets are missing; its text bar will do
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm


class Bar:
    """A listener that draws the stage a run is in; what was noticed stays on screen."""

    def __init__(self, visible: bool = True) -> None:
        """Start without a bar."""
        self._visible = visible
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        """Draw what the event says."""
        match event:
            case StageStarted():
                self.close()
                words = STAGE_WORDS.get(event.stage, event.stage)
                off = not self._visible or event.total < 2
                self._bar = tqdm(total=event.total, desc=words, leave=False, disable=off)
            case StageAdvanced() if self._bar is not None:
                self._bar.update(event.step - self._bar.n)
            case StageFinished():
                self.close()
            case LabeledPoolGrew() if event.accuracy is not None:
                self._note(f"{event.labeled} labels, accuracy {100 * event.accuracy:.1f} %")
            case BatchChosen():
                self._note(f"batch {event.step + 1} of {event.steps}")
            case RankingAudited() if event.accuracy is not None:
                self._note(f"u_hat orders {100 * event.accuracy:.0f} % of {event.pairs} pairs")
            case StrategySelected():
                self._note(f"{strategy_word(event.strategy)} chose {event.budget} images")
            case Noticed() if self._visible:
                tqdm.write(f"note: {event.message}", file=sys.stderr)
            case _:
                pass

    def close(self) -> None:
        """Take the current bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _note(self, text: str) -> None:
        """Write beside the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
