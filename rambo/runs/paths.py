"""Where the things of a run lie, and what its artifacts are called: every other module asks here.

    runs/<id>/run.sqlite                                     the record, see `rambo.runs.record`
    runs/<id>/worker.lock, worker.log, ballast               see `rambo.runs.run`
    runs/<id>/artifacts/trial-<t>/atlas, gate, left-out      of a trial
    runs/<id>/edits/<t>-<strategy>.json                      a person's own batch, see `rambo.runs.edits`
    runs/<id>/notes.json, notes.lock                         tags and notes of images, see `rambo.runs.notes`
    runs/<id>/artifacts/trial-<t>/<strategy>/selection, served, pools, u_hat    of a strategy's choice in it

An artifact's name leaves out `artifacts/` and the ending.
"""

from pathlib import Path

RECORD = "run.sqlite"
NOTES = "notes.json"
ATLAS, GATE, EXCLUSIONS = "atlas", "gate", "left-out"
SELECTION, SERVED, POOLS, U_HAT = "selection", "served", "pools", "u_hat"
ENDINGS = ("safetensors", "parquet")  # arrays, tables


def record(folder: Path) -> Path:
    """Return the SQLite file of a run."""
    return folder / RECORD


def record_files(folder: Path) -> tuple[Path, Path]:
    """Return the files of which one changes with every commit."""
    return folder / RECORD, folder / f"{RECORD}-wal"


def lock(folder: Path) -> Path:
    """Return the file that the run's worker holds."""
    return folder / "worker.lock"


def log(folder: Path) -> Path:
    """Return what the run's workers printed."""
    return folder / "worker.log"


def pulse(folder: Path) -> Path:
    """Return the file in which the classifier at work says how far it is, see `rambo.storage.pulse`."""
    return folder / "worker.pulse"


def ballast(folder: Path) -> Path:
    """Return the file that is given up on a full disk."""
    return folder / "ballast"


def edited_batch(folder: Path, trial: int, strategy: str) -> Path:
    """Return the file of what a person made of a strategy's batch."""
    plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in strategy)
    return folder / "edits" / f"{trial}-{plain}.json"


def notes(folder: Path) -> Path:
    """Return the file of what people said of single images."""
    return folder / NOTES


def notes_lock(folder: Path) -> Path:
    """Return the file that whoever writes the notes holds meanwhile."""
    return folder / "notes.lock"


def artifacts(folder: Path) -> Path:
    """Return the folder of arrays and tables."""
    return folder / "artifacts"


def artifact(folder: Path, name: str, ending: str) -> Path:
    """Return the file of one artifact; `ending` is one of `ENDINGS`."""
    return artifacts(folder) / f"{name}.{ending}"


def of_trial(trial: int, name: str) -> str:
    """Return the name of a trial's artifact, such as `ATLAS`."""
    return f"trial-{trial}/{name}"


def of_choice(trial: int, strategy: str, name: str) -> str:
    """Return the name of an artifact of what a strategy chose in a trial, such as `SELECTION`."""
    return of_trial(trial, f"{strategy}/{name}")
