"""Where what comes with rambo lies: beside the package in a checkout, inside it where it was installed.

The wheel holds copies of `app.py`, `pages/`, `.streamlit/`, `data/fashion-mnist/`, `data/learn/` and
`data/finished/`; `pyproject.toml` says where to.
"""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
IMPORT_FOLDER = PACKAGE.parent  # what has to be on the module path for `import rambo`
_INSTALLED_APP = PACKAGE / "_app"
_INSTALLED_DATA = PACKAGE / "_data"


def require_posix() -> None:
    """End the program with one line on a system without POSIX locks; call it before anything that needs them.

    Raises:
        SystemExit: this is Windows.
    """
    if sys.platform == "win32":
        raise SystemExit(
            "rambo: needs Linux or macOS, for its locks are POSIX's; on Windows, use WSL"
        )


def installed() -> bool:
    """Return whether this package was installed, and is no checkout."""
    return _INSTALLED_APP.is_dir()


def app() -> Path:
    """Return the script that Streamlit runs; its pages and settings lie beside it."""
    return (_INSTALLED_APP if installed() else IMPORT_FOLDER) / "app.py"


def shipped_data() -> Path:
    """Return the folder of the shipped datasets, one folder each."""
    return _INSTALLED_DATA if installed() else IMPORT_FOLDER / "data"


def finished_run() -> Path | None:
    """Return the packed run that comes along, named after its id, or None."""
    return next(iter(sorted((shipped_data() / "finished").glob("*.zip"))), None)


def downloads() -> Path:
    """Return where downloaded datasets go: RAMBO_DATA, else the checkout's own folder, else the user's cache."""
    if folder := os.environ.get("RAMBO_DATA"):
        return Path(folder)
    if not installed():
        return IMPORT_FOLDER / "data" / "downloads"
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "rambo"
