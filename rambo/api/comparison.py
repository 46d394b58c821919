"""Several strategies on the same S_0 and seeds, and what may be said of the differences."""

from typing import Any

import pandas as pd

from rambo.api import door, markup
from rambo.api.choice import Choice, cost_words, dataset_words
from rambo.calls import public
from rambo.datasets.prepared import TEST
from rambo.errors import RamboError, StoreError
from rambo.export.evidence import open_dataset
from rambo.figures import rivals
from rambo.figures.graph import graph
from rambo.figures.theme import strategy_word
from rambo.interrupts import whole
from rambo.runs import report
from rambo.runs.report import Difference
from rambo.runs.results import Result, by_strategy
from rambo.runs.run import Run

_FINDINGS = {
    "more": "is ahead of",
    "less": "is behind",
    "nothing": "is not shown to differ from",
    "too few": "cannot be told apart yet from",
}


@public
class Comparison:
    """Every strategy of a run beside the others.

    Attributes:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        """Look at a run.

        Raises:
            ConfigError: this is none.
        """
        self.run = door.run_of(run)

    @property
    def strategies(self) -> list[str]:
        """The names of the strategies, in the order in which they were asked for."""
        return list(self.run.config["strategies"])

    def choice(self, strategy: Any = None, trial: int = 0) -> Choice:
        """Return what one strategy chose in one trial; the first of each by default."""
        return Choice(self.run, strategy, trial)

    def table(self) -> pd.DataFrame:
        """Return a row a strategy: accuracies with their standard errors, trials, trainings."""
        return rivals.accuracy_table(self._results)

    def differences(self) -> pd.DataFrame:
        """Return the first strategy less each other one: paired differences in points of test accuracy, with 95 %."""
        rows = [
            {
                "first": first,
                "second": second,
                "points": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "trials": difference.trials,
                "finding": difference.finding,
            }
            for first, second, difference in self._pairs()
        ]
        columns = ["first", "second", "points", "low", "high", "trials", "finding"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def verdict(self) -> str:
        """What the paired differences say, one sentence for each other strategy."""
        sentences = [
            f"{strategy_word(first)} {_FINDINGS[difference.finding]} {strategy_word(second)}: "
            f"{difference.words()}{report.interval_words(difference, len(self.strategies) - 1)}."
            for first, second, difference in self._pairs()
        ]
        return " ".join(sentences) or "Nothing is evaluated yet that could be compared."

    @property
    def figure(self) -> Any:
        """Test accuracies with bars of one standard error, as a `plotly.graph_objects.Figure`.

        The pale band is what chance does on so many test images; there is none where the dataset is gone.
        """
        if not rivals.evaluated(self._results):
            raise StoreError(
                "nothing is evaluated yet",
                field="run",
                value=self.run.id,
                hint="go on with it: comparison.resume()",
            )
        height = 120 + 44 * len(self.strategies)
        images = self._test_images
        title = ", ".join(filter(None, ("Test accuracy", rivals.band_words(images))))
        return graph(rivals.accuracy_figure(self._results, images), title, height)

    def resume(self) -> "Comparison":
        """Go on with the run until it is done.

        Raises:
            RamboError: what went wrong.
        """
        with whole():
            from rambo.api import working  # torch: only where something is trained

        working.finish(self.run)
        return self

    def _repr_html_(self) -> str:
        """Return the table, what it cost and the verdict."""
        table = self.table()
        rows = table.astype(str).to_numpy().tolist()
        parts = [markup.table(list(table.columns), rows), markup.safe(self.verdict, 2000)]
        if self._results:
            parts.append(markup.safe(cost_words(self._results)))
        if proxy := report.proxy_words(self.run.config):
            parts.append(markup.safe(proxy))
        parts.append(f"<small>{markup.safe(f'run {self.run.id}, {self.run.status}')}</small>")
        return markup.card(f"Strategies on {dataset_words(self.run)}", parts)

    def __repr__(self) -> str:
        """Return the verdict."""
        return f"<Comparison {self.run.id}: {self.verdict}>"

    @property
    def _test_images(self) -> int | None:
        """On how many images a test accuracy was measured, or None where the dataset is not there."""
        try:
            return int((open_dataset(self.run).roles == TEST).sum())
        except RamboError:
            return None

    @property
    def _results(self) -> list[Result]:
        """What came of the run."""
        return self.run.results()

    def _pairs(self) -> list[tuple[str, str, Difference]]:
        """Return the first strategy, each other one, and how they differ, allowing for how many there are."""
        groups = by_strategy(self._results)
        first, *others = self.strategies
        pairs = []
        for other in others:
            gaps = report.paired(groups.get(first, []), groups.get(other, []))
            if (difference := report.difference(gaps, among=len(others))) is not None:
                pairs.append((first, other, difference))
        return pairs
