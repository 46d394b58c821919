"""The figures of one choice, by name, made when they are asked for: the same ones that the pages draw."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from rambo.api import markup
from rambo.calls import public
from rambo.config import restore
from rambo.errors import ConfigError, StoreError
from rambo.figures import charts, maps
from rambo.figures.charts import Chart
from rambo.figures.curves import Kinds
from rambo.figures.graph import graph
from rambo.figures.theme import strategy_word
from rambo.runs import atlas as atlases
from rambo.runs import paths
from rambo.runs.run import Run

_NAMES = {"steps": "batches"}  # what it is called here -> in the charts
_CHARTS: dict[str, Chart] = {
    next((own for own, name in _NAMES.items() if name == chart.name), chart.name): chart
    for chart in charts.CHARTS
}


@public
class Figures:
    """Figures as `plotly.graph_objects.Figure`: `figures.ranking`, `figures["map"]`, or one after the other."""

    def __init__(self, run: Run, trial: int, strategy: str, indices: np.ndarray) -> None:
        """Draw nothing yet."""
        self._run, self._trial, self._strategy, self._indices = run, trial, strategy, indices

    @property
    def ranking(self) -> Any:
        """Does u_hat rank sets correctly? Over its epochs, with chance and how often two trainings agree."""
        return self["ranking"]

    @property
    def losses(self) -> Any:
        """Ranking loss and transport loss of u_hat over its epochs."""
        return self["losses"]

    @property
    def transport(self) -> Any:
        """Predicted against true optimal transport distances of sets."""
        return self["transport"]

    @property
    def samples(self) -> Any:
        """Utility samples: set size against accuracy."""
        return self["samples"]

    @property
    def labeled(self) -> Any:
        """The accuracy of f over the size of the labeled pool."""
        return self["labeled"]

    @property
    def penalties(self) -> Any:
        """Learned weight decay of each tensor of u_hat."""
        return self["penalties"]

    @property
    def steps(self) -> Any:
        """Every candidate batch of every greedy step by u_hat, with the chosen one."""
        return self["steps"]

    @property
    def map(self) -> Any:
        """All images by the last layer of f, the chosen ones as stars."""
        return self["map"]

    def __dir__(self) -> list[str]:
        """Return the names that there are."""
        return [*_CHARTS, "map"]

    def __getitem__(self, name: str) -> Any:
        """Return a figure by its name.

        Raises:
            ConfigError: there is no figure of that name.
            StoreError: this choice has none.
        """
        if not isinstance(name, str) or name not in (*_CHARTS, "map"):
            names = ", ".join((*_CHARTS, "map"))
            raise ConfigError("unknown", field="figure", value=name, hint=f"choose one of: {names}")
        if name == "map":
            return self._map()
        chart = _CHARTS[name]
        figure = chart.draw(self._kinds)
        if figure is None:
            word = strategy_word(self._strategy)
            reason = (
                chart.missing(restore(self._run.config))
                or f"the choice of {word} has nothing to show there"
            )
            raise StoreError(reason, field="figure", value=name, hint=self._way_out())
        return graph(figure, chart.title)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the figures that this choice has."""
        yield from (name for name, chart in _CHARTS.items() if chart.draw(self._kinds) is not None)
        if self._run.has_artifact(paths.of_trial(self._trial, paths.ATLAS)):
            yield "map"

    def _way_out(self) -> str:
        """Return which figures there are."""
        there = ", ".join(self)
        return f"look at {there}" if there else "wait for the run"

    @functools.cached_property
    def _kinds(self) -> Kinds:
        """What this strategy told in this trial."""
        place = self._trial, self._strategy
        entries = self._run.latest_events()
        return Kinds(entry.event for entry in entries if entry.place == place)

    def _map(self) -> Any:
        """Return the map of all images."""
        atlas = atlases.load_atlas(self._run, self._trial)
        chosen = maps.chosen_group(np.intersect1d(self._indices, atlas.indices))
        classes = self._run.environment.classes
        embedded = maps.embedding_map(atlas, maps.pools(atlas, [chosen]), classes)
        return graph(embedded.figure, "All images by the last layer of f", height=520)

    def __repr__(self) -> str:
        """Return the names of the figures."""
        return f"<Figures: {', '.join(self) or 'none yet'}>"

    def _repr_html_(self) -> str:
        """Return the names of the figures and what each shows."""
        rows = [
            (f"figures.{name}", _CHARTS[name].title if name in _CHARTS else "All images by f")
            for name in self
        ]
        return markup.table(("figure", "shows"), rows)
