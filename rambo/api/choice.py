"""What one strategy chose in one trial, as a person at a keyboard wants it: indices, a table, pictures, files."""

import functools
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rambo import export
from rambo.api import door, markup
from rambo.api.charts import Figures
from rambo.api.markup import Markup
from rambo.calls import public
from rambo.config import Config, restore
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, StoreError
from rambo.export.evidence import open_dataset
from rambo.figures.theme import strategy_word
from rambo.interrupts import whole
from rambo.runs import report
from rambo.runs.results import Result
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace
from rambo.text import count, duration

_THUMBNAILS = 60  # thumbnails of a batch
_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".json": "json", ".zip": "zip"}


@public
class Choice:
    """A batch of images that a strategy chose.

    Attributes:
        run: the run it belongs to.
        strategy: its name.
        trial: from 0.
    """

    def __init__(self, run: Run, strategy: Any = None, trial: int = 0) -> None:
        """Look at a run; by default at its first strategy.

        Args:
            run: as the workspace has it, or as `rambo.open` gives it.
            strategy: its name, or the function under `@rambo.strategy`.
            trial: from 0.

        Raises:
            ConfigError: the run has no such strategy or trial.
        """
        self.run = door.run_of(run)
        config = self.run.config
        names, trials = list(config["strategies"]), range(config["trials"])
        name = names[0] if strategy is None else getattr(strategy, "rambo_strategy", strategy)
        if not isinstance(name, str) or name not in names:
            hint = f"choose one of: {', '.join(names)}"
            raise ConfigError("not in this run", field="strategy", value=name, hint=hint)
        hint = f"use 0 to {trials[-1]}"
        self.strategy, self.trial = name, door.whole_number("trial", trial, hint)
        if self.trial not in trials:
            raise ConfigError("not in this run", field="trial", value=trial, hint=hint)

    @property
    def result(self) -> Result:
        """What came of it: the record that the run keeps.

        Raises:
            StoreError: nothing is chosen yet.
        """
        for result in self.run.results():
            if (result.trial, result.strategy) == (self.trial, self.strategy):
                return result
        raise StoreError(
            f"strategy {self.strategy} has chosen nothing yet",
            field="run",
            value=self.run.id,
            hint="go on with it: choice.resume()",
        )

    @property
    def indices(self) -> np.ndarray:
        """The chosen images in the order of choice, as positions in what was given; `B` int64."""
        return np.array(self.result.selected, np.int64)

    @property
    def accuracy(self) -> float | None:
        """Test accuracy of a fresh f on the labels bought, in [0, 1]; None where nobody knows them yet."""
        return self.result.test_accuracy

    @property
    def config(self) -> Config:
        """The settings of the run."""
        return restore(self.run.config)

    @property
    def figures(self) -> Figures:
        """Its figures, as `plotly.graph_objects.Figure`."""
        return Figures(self.run, self.trial, self.strategy, self.indices)

    def table(self) -> pd.DataFrame:
        """Return what is known of each chosen image, a row each, in the order of choice."""
        rows = export.rows(self.run, self.strategy, self._seed)
        return pd.DataFrame([row.record() for row in rows]).drop(
            columns=["run_id", "strategy", "seed"]
        )

    def images(self) -> np.ndarray:
        """Return the chosen images in the order of choice: `B x H x W` or `B x H x W x 3` uint8.

        Raises:
            StoreError: the dataset is no longer there.
        """
        chosen = np.asarray(self._data.images[self.indices])
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen.transpose(0, 2, 3, 1)

    def gallery(self, limit: int = 200) -> Markup:
        """Return the first images as one picture, in the order of choice, 20 a row.

        Raises:
            ConfigError: the limit is no whole number.
        """
        first = max(1, door.whole_number("limit", limit, "use a whole number of images"))
        chosen = np.asarray(self._data.images[self.indices[:first]])
        return Markup(markup.thumbnails(chosen, f"{len(chosen)} chosen images"))

    def export(self, out: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the batch to a file and return its path.

        Args:
            out: the file; .csv, .jsonl, .json or .zip name the format.
            format: one of `rambo.export.FORMATS` where the ending does not say it: `label-studio`, `fiftyone`, ...

        Raises:
            ConfigError: unknown format, or the file cannot be written.
        """
        path = Path(door.path_of("out", out, "give the path of a file")).expanduser()
        named = _ENDINGS.get(path.suffix.lower())
        if format is not None:
            named = door.text_of("format", format, f"choose one of: {', '.join(export.FORMATS)}")
        if named is None:
            raise ConfigError(
                "its ending names no format",
                field="out",
                value=path.name,
                hint=f"end it in {', '.join(_ENDINGS)}, or give format=",
            )
        with door.in_words_of_python():
            result = export.build(self.run, named, self.strategy, self._seed).write(path)
            more = f"{named} of {self.strategy}"
            door.note_export(Workspace(self.run.folder.parent), self.run.id, more)
        for notice in result.notices:  # whatever could not be read is said
            warnings.warn(notice, stacklevel=3)
        return path

    def resume(self) -> "Choice":
        """Go on with the run until it is done, and return this choice.

        Raises:
            RamboError: what went wrong.
        """
        with whole():
            from rambo.api import working  # torch: only where something is trained

        working.finish(self.run)
        return self

    def words(self) -> str:
        """Return in two or three sentences what was chosen, how good it was and what it cost."""
        result = self.result
        steps = len(set(result.steps))
        how = f" in {steps} steps" if steps > 1 else ""
        sentences = [
            f"{strategy_word(self.strategy)} chose {count(len(result.selected), 'image')}{how}."
        ]
        if result.test_accuracy is None and self.run.status == "done":
            sentences.append(
                "Nobody knows their labels yet: have them labeled, and then choose again."
            )
        elif result.test_accuracy is not None:
            share = f"{100 * result.test_accuracy:.1f} %"
            sentences.append(
                f"With their labels a fresh classifier f reaches {share} on the test images."
            )
        sentences.append(cost_words([result]))
        return " ".join(sentences)

    def _repr_html_(self) -> str:
        """Return thumbnails, what it cost and what it says."""
        title = f"{strategy_word(self.strategy)} on {dataset_words(self.run)}"
        status = f"run {self.run.id}, {self.run.status}"
        try:
            words = markup.safe(self.words(), 600)
        except StoreError as error:
            return markup.card(title, [markup.safe(status), markup.safe(error)])
        try:
            chosen = np.asarray(self._data.images[self.indices[:_THUMBNAILS]])
            pictures = markup.thumbnails(chosen, f"The first {len(chosen)} chosen images")
        except StoreError as error:
            pictures = markup.safe(error)
        ranking = self.result.ranking
        lines = report.ranking_lines(ranking) if ranking else []
        if proxy := report.proxy_words(self.run.config):
            lines.append(proxy)
        more = [markup.safe(line) for line in lines]
        return markup.card(title, [pictures, words, *more, f"<small>{markup.safe(status)}</small>"])

    def __repr__(self) -> str:
        """Return the same as text."""
        try:
            return f"<Choice {self.run.id}: {self.words()}>"
        except StoreError as error:
            return f"<Choice {self.run.id}: {error}>"

    @functools.cached_property
    def _data(self) -> Prepared:
        """The dataset of the run."""
        return open_dataset(self.run)

    @property
    def _seed(self) -> int:
        """The seed of the trial."""
        return int(self.run.config["seed"]) + self.trial


def cost_words(results: list[Result]) -> str:
    """Return in a sentence what some results cost."""
    trained = sum(result.trainings for result in results)
    reused = sum(result.cached_trainings for result in results)
    seconds = sum(sum(result.seconds.values()) for result in results)
    before = f", {reused:,} more had been trained before" if reused else ""
    return f"{count(trained, 'classifier')} trained{before}; it took {duration(seconds)}."


def dataset_words(run: Run) -> str:
    """Return what the dataset of a run is called."""
    return run.environment.dataset.name or run.describe().dataset or "an unknown dataset"
