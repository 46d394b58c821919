"""A progress bar for notebooks and terminals: one at a time, gone when its stage is done."""

import warnings
from typing import Any

from rambo.events import Event, StageStarted, StrategySelected
from rambo.figures.theme import STAGE_WORDS, strategy_word
from rambo.worker.progress import StageBar

with warnings.catch_warnings():  # it warns where ipywidgets are missing; its text bar will do
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm


class Bar(StageBar):
    """A listener that draws the stage a run is in; what was noticed stays on screen."""

    def __init__(self, visible: bool = True) -> None:
        """Start without a bar."""
        super().__init__()
        self._visible = visible

    def open(self, event: StageStarted) -> Any:
        """Return the bar of a stage, in words of the app."""
        words = STAGE_WORDS.get(event.stage, event.stage)
        off = not self._visible or event.total < 2
        return tqdm(total=event.total, desc=words, leave=False, disable=off)

    def show_result(self, event: Event) -> None:
        """Write what a strategy chose beside the bar."""
        if isinstance(event, StrategySelected):
            self.note(f"{strategy_word(event.strategy)} chose {event.budget} images")

    def line(self, text: str) -> None:
        """Write a line above the bar, unless nothing is to be seen."""
        if self._visible:
            super().line(text)
