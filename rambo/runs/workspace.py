"""The workspace: where runs lie, how one is made and found, and what a finished one has to say.

`RAMBO_HOME` names the folder, `runs` below the current one is the default.
"""

import errno
import importlib.metadata
import os
import platform
import re
import secrets
import shutil
import sqlite3
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import joblib

from rambo import checks, lineup
from rambo.config import Config, Settings, describe
from rambo.datasets import catalog, foreign, prepared, rehearsal
from rambo.datasets.prepared import Prepared
from rambo.errors import ConfigError, DataError, RunLockedError, RunNotFoundError, StoreError
from rambo.runs import paths
from rambo.runs.environment import VERSION, DatasetOrigin, Environment
from rambo.runs.record import dataset_name
from rambo.runs.results import Summary, mean_ranking
from rambo.runs.run import STATUSES, Description, Run, write_first
from rambo.storage import files
from rambo.storage.memo import Memo

__all__ = ["STATUSES", "Run", "Workspace", "create_run", "environment", "judges", "summary"]

_RUN_ID = re.compile(r"[a-z0-9-]{1,64}")
_STAMPED = re.compile(r"[a-z0-9-]+-\d{8}-\d{6}-[0-9a-f]{4}")


class Workspace:
    """The folder with all runs and what they share."""

    def __init__(self, root: Path) -> None:
        """Use `root`, which is made with the first run."""
        self.root = root.absolute()

    @classmethod
    def from_environment(cls) -> "Workspace":
        """Return the workspace named by RAMBO_HOME, else `runs` in the current folder.

        Raises:
            ConfigError: as `at`.
        """
        return cls.at(os.environ.get("RAMBO_HOME") or "runs", "RAMBO_HOME")

    @classmethod
    def at(cls, folder: str, field: str) -> "Workspace":
        """Return the workspace in a folder as a person writes it: `~` is their home.

        Args:
            folder: its path.
            field: what it was given as.

        Raises:
            ConfigError: there can be no such folder.
        """
        try:
            root = Path(folder).expanduser()
        except RuntimeError as error:
            raise ConfigError(
                "names the home of a user who is not here",
                field=field,
                value=folder,
                hint="write the path in full",
            ) from error
        workspace = cls(root)
        first = next(p for p in (workspace.root, *workspace.root.parents) if os.path.lexists(p))
        if not first.is_dir():
            below = "" if first == workspace.root else f"lies below {first}, which "
            raise ConfigError(
                f"{below}is a file", field=field, value=folder, hint="give the path of a folder"
            )
        return workspace

    def create(self, config: Settings, environment: Environment) -> Run:
        """Return a new queued run.

        Args:
            config: nested JSON types, as `rambo.config.describe` gives them.
            environment: what else it depends on.

        Raises:
            StoreError: a value is not JSON or not finite, or the disk refuses.
        """
        draft = (
            self.root / f".new-{secrets.token_hex(8)}"
        )  # a run is seen when it is whole, not before
        try:
            files.make_folder(draft)
            write_first(draft, config, environment)
            return Run(self._settle(draft, _slug(dataset_name(config))))
        except (sqlite3.Error, OSError, files.RefusedError) as error:
            problem, hint = files.reason(error, "start the run again")
            raise StoreError(
                f"could not be made: {problem}", field="a new run", hint=hint
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def adopt(self, draft: Path, run_id: str) -> Run:
        """Return a run that was made elsewhere on this disk; it takes its id along, unless another run has it.

        Raises:
            OSError: the disk refuses.
        """
        target = self.root / run_id
        if _RUN_ID.fullmatch(run_id) and _STAMPED.fullmatch(run_id):
            try:
                draft.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                files.sync_folder(self.root)
                return Run(target)
        return Run(self._settle(draft, _slug(dataset_name(Run(draft).config))))

    def runs(self) -> list[Run]:
        """Return all runs, damaged ones too, the newest first."""
        runs = [Run(self.root / name) for name in self.ids()]
        return sorted(runs, key=lambda run: (run.created(), run.id), reverse=True)

    def descriptions(self) -> list[Description]:
        """Return what a list shows of all runs, the newest first; one that is deleted just now is none of them."""
        pairs = [(run, run.describe()) for run in self.runs()]
        return [description for run, description in pairs if not run.is_absent()]

    def ids(self) -> list[str]:
        """Return the names of all runs, in no order: folders with a record, or named as we name them."""
        try:
            with os.scandir(self.root) as entries:
                folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            problem, hint = files.reason(error, "try again")
            raise StoreError(f"cannot be listed: {problem}", field="the runs", hint=hint) from error
        return [
            name
            for name in folders
            if _RUN_ID.fullmatch(name)
            and (_STAMPED.fullmatch(name) or os.path.lexists(paths.record(self.root / name)))
        ]

    def find(self, run_id: str) -> Run:
        """Return the run of that name; what a person typed is compared and never joined to a path.

        Raises:
            RunNotFoundError: there is none.
        """
        names = self.ids()
        if not _RUN_ID.fullmatch(run_id) or run_id not in names:
            raise RunNotFoundError(
                "no such run", field="run", value=run_id, hint="`python -m rambo list` shows them"
            )
        return Run(self.root / run_id)

    def delete(self, run: Run) -> None:
        """Delete a run and all that lies in it; what the runs share stays.

        Raises:
            RunLockedError: a worker is at it.
            StoreError: it cannot be removed.
        """
        if run.locked():
            raise RunLockedError(
                "is being worked on", field="run", value=run.id, hint="stop it before you delete it"
            )
        aside = self.root / f".deleted-{secrets.token_hex(8)}"  # nobody sees it half deleted
        try:
            run.folder.rename(aside)
        except OSError as error:
            problem, hint = files.reason(error, "delete it again")
            raise StoreError(
                f"could not be deleted: {problem}", field="run", value=run.id, hint=hint
            ) from error
        shutil.rmtree(aside, ignore_errors=True)

    def memo(self) -> Memo:
        """Return the results that all runs share."""
        return Memo(self.root)

    def _settle(self, draft: Path, slug: str) -> Path:
        """Give a finished draft its name; that of another run, never empty, cannot be taken."""
        for _ in range(100):
            folder = self.root / f"{slug}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
            try:
                draft.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                files.sync_folder(self.root)
                return folder
        raise files.RefusedError("no free name was found", "start the run again")


def create_run(config: Config, data: Prepared, workspace: Workspace, device: str) -> Run:
    """Return a new queued run; on a partly labeled dataset its k is the number of labeled images.

    Args:
        config: what to do.
        data: the prepared dataset that the config names.
        workspace: where the run shall lie.
        device: what to call the device on a page.

    Raises:
        ConfigError: the config does not fit the dataset.
        DataError: the dataset cannot be used.
        StoreError: the workspace cannot be written.
    """
    checks.check(config, data)
    name = catalog.versioned(config.dataset.name, data)
    named = config.dataset.model_copy(update={"name": name})
    config = checks.fit(config.model_copy(update={"dataset": named}), data)
    checks.wants_features(config, data)
    mixed = foreign.with_foreign(data, config.dataset.corruption, workspace.root)
    return workspace.create(describe(config), environment(mixed, device, config.strategies))


def environment(data: Prepared, device: str, strategies: Iterable[str] = ()) -> Environment:
    """Return what a run on this machine depends on beside its config.

    The only paths are those of files that bring strategies, so that a worker finds them again; no export has them.
    """
    files = [str(path.absolute()) for path in lineup.files_of(strategies)]
    return Environment(
        plugins=tuple(files),
        rambo=VERSION,
        python=platform.python_version(),
        torch=importlib.metadata.version("torch"),
        device=device,
        cores=joblib.cpu_count(),
        threads=1,
        dataset=DatasetOrigin(data.name, data.fingerprint, data.source, data.licence),
        classes=tuple(data.classes),
    )


def summary(run: Run) -> Summary:
    """Return what a run has to say."""
    config, results = run.config, run.results()
    own = [result for result in results if result.strategy == "rambo"]
    return Summary(run.id, dataset_name(config), config, run.status, results, mean_ranking(own))


def judges(run: Run) -> int | None:
    """Return how many different images judge a rehearsal in all its trials; None for another run, or if nobody knows.

    Raises:
        StoreError: the record is damaged.
    """
    if not dataset_name(run.config).startswith(rehearsal.PREFIX):
        return None
    try:
        fingerprint = run.environment.dataset.fingerprint
        data = prepared.open_prepared(prepared.folder_of(run.folder.parent.parent, fingerprint))
    except DataError:
        return None
    return rehearsal.judges(data, int(run.config.get("trials", 1)))


def _slug(name: str) -> str:
    """Return a readable start for a run id: of a path only the last part, the rest is private."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-") or "run"
