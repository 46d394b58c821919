"""A run that lies in the workspace, and the list of them, as a notebook shows them."""

from collections.abc import Iterable
from typing import Any

from rambo.api import door, markup
from rambo.api.choice import Choice, dataset_words
from rambo.api.comparison import Comparison
from rambo.calls import public
from rambo.config import Config, restore
from rambo.errors import RunNotFoundError
from rambo.interrupts import whole
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace


@public
class StoredRun:
    """A run of the workspace.

    Attributes:
        run: its record.
    """

    def __init__(self, run: Run) -> None:
        """Look at a run."""
        self.run = run

    @property
    def id(self) -> str:
        """Its name."""
        return self.run.id

    @property
    def status(self) -> str:
        """`queued`, `running`, `done`, `failed`, `stopped` or `interrupted`."""
        return self.run.status

    @property
    def config(self) -> Config:
        """The settings of the run."""
        return restore(self.run.config)

    def choice(self, strategy: Any = None, trial: int = 0) -> Choice:
        """Return what one strategy chose in one trial; the first of each by default."""
        return Choice(self.run, strategy, trial)

    def comparison(self) -> Comparison:
        """Return its strategies beside each other."""
        return Comparison(self.run)

    def resume(self) -> "StoredRun":
        """Go on with it until it is done.

        Raises:
            RamboError: what went wrong.
        """
        with whole():
            from rambo.api import working  # torch: only where something is trained

        working.finish(self.run)
        return self

    def delete(self) -> None:
        """Delete it for good: its choice, its results and its log.

        Raises:
            RunLockedError: somebody works on it.
            StoreError: the disk refuses.
        """
        workspace = Workspace(self.run.folder.parent)
        workspace.delete(self.run)
        door.note(workspace, "delete", self.id)

    def _repr_html_(self) -> str:
        """Return what a list says of it, and below it what it has to say."""
        description = self.run.describe()
        if description.status == "unreadable":
            return markup.card(f"Run {self.id}", [markup.safe(description.message)])
        single = len(description.strategies) == 1 and description.trials == 1
        inside = self.choice() if single else self.comparison()
        head = f"{dataset_words(self.run)}, {description.status}"
        message = markup.safe(description.message) if description.message else ""
        return markup.card(f"Run {self.id}: {head}", [message, inside._repr_html_()])

    def __repr__(self) -> str:
        """Return its name and state."""
        return f"<Run {self.id}: {self.run.describe().status}>"


class RunList(tuple[StoredRun, ...]):
    """Runs, the newest first."""

    __slots__ = ()

    def __new__(cls, runs: Iterable[Run]) -> "RunList":
        """Hold runs."""
        return super().__new__(cls, [StoredRun(run) for run in runs])

    def __getitem__(self, place: Any) -> Any:
        """Return a run by its place, 0 for the newest, or several by a slice.

        Raises:
            RunNotFoundError: there is none.
        """
        try:
            return super().__getitem__(place)
        except (IndexError, TypeError):
            there = f"use 0 to {len(self) - 1}" if self else "rambo.choose makes the first"
            raise RunNotFoundError(
                f"there are {len(self)}",
                field="run",
                value=place,
                hint=f"{there}, or rambo.open(NAME)",
            ) from None

    def _repr_html_(self) -> str:
        """Return a line a run."""
        if not self:
            return "No runs yet: <code>rambo.choose('fashion-mnist-mini', preset='demo')</code> makes the first."
        rows = []
        for stored in self:
            description = stored.run.describe()
            rows.append(
                (
                    *(
                        description.run,
                        description.status,
                        description.dataset or "-",
                        description.k or "-",
                    ),
                    *(
                        description.budget or "-",
                        ", ".join(description.strategies),
                        description.message,
                    ),
                )
            )
        head = ("run", "status", "dataset", "k", "budget", "strategies", "")
        return markup.table(head, rows)
