"""What a visitor may set: no address of a cluster and no file of the server but those that its owner opened.

The owner opens them where the server is started, in its environment:

    RAMBO_CLUSTER    address of a scheduler of dask, which a run may then use
    RAMBO_FOLDERS    folders that may be read, as in PATH; empty for none. Where it is not set: the current folder and
                     the home folder of an app for this machine alone, none of a shared one (`RAMBO_SHARE`)

Uploads and the folder of downloaded datasets are always open. The same rule holds for typed paths, settings files,
links and imports. `rambo run` obeys whoever types it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from rambo.collection import collection as own
from rambo.config import Config
from rambo.datasets import catalog, in_memory, rehearsal
from rambo.errors import ConfigError
from rambo.storage import places
from rambo.ui import state, visitor

_OWN_PATHS = "files-asked-for"  # paths that somebody typed or sent in this session
_FILES = ("dataset.name", "dataset.corruption.foreign_source", "dataset.feature_weights")


def cluster() -> str | None:
    """Return the address of the cluster that runs may use, or None."""
    return os.environ.get("RAMBO_CLUSTER") or None


def backends(offered: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return those of the config's backends that may be chosen here."""
    return offered if cluster() else tuple(name for name in offered if name != "dask")


def is_path(name: str) -> bool:
    """Return whether a dataset is named by its file."""
    bare = name.removeprefix(rehearsal.PREFIX)
    return bare not in catalog.CATALOG and not bare.startswith((own.PREFIX, in_memory.PREFIX))


def located(typed: str) -> str | None:
    """Return the absolute path of a file in an open folder, or None; no other folder is ever looked into."""
    path = _location(typed.removeprefix(rehearsal.PREFIX))
    return str(path) if path is not None and path.is_file() else None


def source(typed: str, field: str) -> str:
    """Return the absolute path of a folder or file that may be imported.

    Raises:
        ConfigError: nothing of that name lies in an open folder; whether it lies elsewhere is not said.
    """
    try:
        path = _location(str(Path(typed).expanduser()))
    except RuntimeError:  # no such user
        path = None
    if path is None:
        hint = "check the path, send the files, or start with `rambo app --folder DIR`"
        raise ConfigError(
            "is nothing in a folder that this app may read",
            field=field,
            value=Path(typed),
            hint=hint,
        )
    return str(path)


def folders_open() -> bool:
    """Return whether a page may name a folder of this machine at all."""
    return bool(_opened())


def _location(typed: str) -> Path | None:
    """Return the absolute path of what is there in an open folder, or None; no other folder is ever looked into."""
    roots = _folders()
    for start in (Path.cwd(), places.downloads()):
        try:
            path = Path(os.path.normpath(start / typed))
            if any(path.is_relative_to(root) for root in roots) and path.exists():
                real = Path(os.path.realpath(path))  # a link may lead elsewhere
                if any(real.is_relative_to(os.path.realpath(root)) for root in roots):
                    return path
        except (OSError, ValueError):
            continue
    return None


def problems(values: Mapping[str, Any]) -> list[ConfigError]:
    """Return everything in settings, by dotted path, that may not be set from a page."""
    complaints = []
    if values.get("compute.backend") == "dask" and cluster() is None:
        hint = "choose loky; whoever starts the app opens a cluster with RAMBO_CLUSTER"
        complaints.append(
            ConfigError("is not open here", field="compute.backend", value="dask", hint=hint)
        )
    address = values.get("compute.address")
    if address is not None and address != cluster():
        hint = "leave it empty; whoever starts the app opens a cluster with RAMBO_CLUSTER"
        complaints.append(
            ConfigError("is not open here", field="compute.address", value=address, hint=hint)
        )
    for path in _FILES:
        name = values.get(path)
        named = isinstance(name, str) and name and (is_path(name) or path == _FILES[-1])
        if named and not is_open(str(name)):
            hint = "send the file, or let whoever starts the app open its folder with RAMBO_FOLDERS"
            complaints.append(
                ConfigError("lies in no open folder", field=path, value=Path(str(name)), hint=hint)
            )
    return complaints


def check(config: Config) -> None:
    """Refuse a config that may not be started from a page.

    Raises:
        ConfigError: it reaches for something that is not open.
    """
    values = {
        "compute.backend": config.compute.backend,
        "compute.address": config.compute.address,
        "dataset.name": config.dataset.name,
        "dataset.feature_weights": config.dataset.feature_weights,
        "dataset.corruption.foreign_source": config.dataset.corruption.foreign_source,
    }
    if complaints := problems(values):
        raise ConfigError.join(complaints)


def is_open(name: str) -> bool:
    """Return whether a path stays in an open folder, by its letters alone: nothing is looked at."""
    bare = name.removeprefix(rehearsal.PREFIX)
    parts = Path(bare).parts
    ascents = parts.count("..")
    if ascents and parts[:ascents] != ("..",) * ascents:  # the folder above a link is another one
        return False
    if bare.startswith(rehearsal.PREFIX):  # what is left of it might be absolute
        return False
    try:
        path = Path(os.path.normpath(Path.cwd() / Path(bare).expanduser()))
    except (RuntimeError, ValueError):  # no such user
        return False
    return name.isprintable() and any(path.is_relative_to(root) for root in _folders())


def ask_for(name: str) -> None:
    """Note that somebody typed or sent this path; one that only stands in an address is never read."""
    st.session_state.setdefault(_OWN_PATHS, set()).add(name)


def is_own_path(name: str) -> bool:
    """Return whether a dataset may be looked at: one of the catalog, or a file that somebody asked for."""
    return not is_path(name) or name in st.session_state.get(_OWN_PATHS, ())


def _folders() -> list[Path]:
    """Return the open folders and those of this app's own files, absolute."""
    own_files = [state.workspace().root / "uploads", places.downloads()]
    return [Path(os.path.normpath(Path.cwd() / root)) for root in [*own_files, *_opened()]]


def _opened() -> list[Path]:
    """Return the folders that whoever started the app opened."""
    folders = os.environ.get("RAMBO_FOLDERS")
    if folders is not None:
        return [Path(part).expanduser() for part in folders.split(os.pathsep) if part]
    return [] if visitor.access().shared else [Path.cwd(), Path.home()]
