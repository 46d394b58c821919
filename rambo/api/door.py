"""What every call through the Python door has in common: its arguments checked, its errors in the words of Python.

No torch: what trains is in `working`.
"""

import contextlib
import operator
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rambo.errors import (
    ConfigError,
    Interrupted,
    RamboError,
    RunLockedError,
    RunNotFoundError,
    StoreError,
)
from rambo.runs import audit
from rambo.runs.run import Run
from rambo.runs.workspace import Workspace

_LONGEST = 255  # characters of a name on any disk
_OF_RUNS = (RunLockedError, RunNotFoundError)  # no matter of the folder
_ARGUMENTS = ("dataset", "dataset.name")  # fields that the first argument of a call sets
_PYTHON = {  # what a command line would be told -> what a person at a Python prompt is told
    "`python -m rambo list` shows them": "rambo.runs() lists them",
    "folders and zips go through `python -m rambo import`": "or of a folder or a zip of images",
    "`python -m rambo collections` lists them": "give the folder of its images, which becomes one",
    "run it: each run is one": "use rambo.compare, which buys the labels that it hides",
}


def whole_number(argument: str, value: Any, hint: str) -> int:
    """Return an argument that has to be a whole number.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError):
            return operator.index(value)
    value = repr(value) if isinstance(value, str) else value
    raise ConfigError(field=argument, value=value, hint=hint)


def flag(argument: str, value: Any) -> bool:
    """Return an argument that has to be true or false.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, int | np.bool_):
        raise ConfigError(
            "is neither True nor False", field=argument, value=value, hint="use one of them"
        )
    return bool(value)


def run_of(value: Any) -> Run:
    """Return an argument that has to be a run, as the workspace has it or as this door gives it.

    Raises:
        ConfigError: it is something else.
    """
    run = getattr(value, "run", value)
    if not isinstance(run, Run):
        raise ConfigError(
            "is no run",
            field="run",
            value=value,
            hint="give one of rambo.runs(), or rambo.open(NAME)",
        )
    return run


def workspace_at(folder: str | os.PathLike[str] | None) -> Workspace:
    """Return the workspace in a folder; that of the environment where none is given.

    Raises:
        ConfigError: this is no path, or there can be no such folder.
    """
    if folder is None:
        return Workspace.from_environment()
    return Workspace.at(path_of("workspace", folder, "give the path of a folder"), "workspace")


def text_of(argument: str, value: str | os.PathLike[str], hint: str) -> str:
    """Return an argument that has to be a text or a path.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, str | os.PathLike):
        raise ConfigError("is no text", field=argument, value=value, hint=hint)
    return os.fspath(value)


def path_of(argument: str, value: str | os.PathLike[str], hint: str) -> str:
    """Return an argument that has to name a file, a folder or a dataset.

    Raises:
        ConfigError: it is empty, or no path can be like it.
    """
    text = text_of(argument, value, hint)
    wrong = {
        "is empty": not text.strip(),
        "has a NUL in it": "\0" in text,
        "is longer than any path can be": max(map(len, text.split("/"))) > _LONGEST,
    }
    if problem := next((words for words, there in wrong.items() if there), None):
        raise ConfigError(problem, field=argument, hint=hint)
    return text


def class_names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of classes as texts.

    Raises:
        ConfigError: this is no list of different names.
    """
    if names is None:
        return None
    hint = "give a list with one name for each class, in the order of their numbers"
    unordered = isinstance(names, str | bytes | dict | set | frozenset)
    try:
        listed = None if unordered else tuple(names)
    except TypeError:
        listed = None
    if listed is None:
        raise ConfigError("is no list of names", field="classes", value=names, hint=hint)
    if not listed:
        raise ConfigError("is empty", field="classes", hint=hint)
    texts = tuple("" if name is None else str(name) for name in listed)
    if empty := [place for place, text in enumerate(texts) if not text.strip()]:
        raise ConfigError(f"the name of class {empty[0]} is empty", field="classes", hint=hint)
    if twice := sorted({text for text in texts if texts.count(text) > 1}):
        raise ConfigError(f"{twice[0]} is there twice", field="classes", hint=hint)
    return texts


def several(argument: str, names: Sequence[str]) -> None:
    """Refuse to compare fewer than two strategies.

    Raises:
        ConfigError: there is nothing to stand beside each other.
    """
    if len(names) < 2:
        raise ConfigError(
            "one alone has nothing to stand beside",
            field=argument,
            value=", ".join(names),
            hint="name two or more, such as ['rambo', 'filter-only', 'random']",
        )


def note(workspace: Workspace, what: str, subject: str, more: str = "") -> None:
    """Add to the audit log of a workspace what was done at a Python prompt."""
    audit.note(workspace.root, what, subject, who=f"{audit.user()} in Python", more=more)


def note_export(workspace: Workspace, subject: str, more: str) -> None:
    """Add to the audit log of a workspace what was taken out of it at a Python prompt."""
    who = f"{audit.user()} in Python"
    if words := audit.note_export(workspace.root, subject, more, who=who):
        warnings.warn(words, stacklevel=4)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn an interrupt of the kernel into one line."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted("stopped; run this cell again to go on") from None


@contextlib.contextmanager
def in_words_of_python(first: str = "images") -> Iterator[None]:
    """Say of an error which argument it is about, and what to do about it in Python.

    Args:
        first: what the argument is called that names the dataset.
    """
    try:
        yield
    except RamboError as error:
        for part in error.parts:
            part.field = first if part.field in _ARGUMENTS else part.field
            part.field = part.field and part.field.removeprefix(
                "--"
            )  # an option of the command line
            if str(part.value).startswith(("arrays:", "rehearsal:")):  # a name that nobody typed
                part.value = ...
            for command, python in _PYTHON.items():
                part.hint = part.hint and part.hint.replace(command, python)
        if isinstance(error, StoreError) and not isinstance(error, _OF_RUNS):
            more = "or name another with workspace=FOLDER"
            error.hint = f"{error.hint}, {more}" if error.hint else more
        raise
