"""Where strategies of other people lie: files named on the command line, and packages that offer some.

    RAMBO_PLUGINS=a.py:b.py                                  files, separated as in PATH; `--plugin` sets it
    [project.entry-points."rambo.strategies"]                of a package; the value names a module of it

What they declare is read from their text, so a page can name a strategy without running a line of its code.
Only a worker runs it, when the strategy is needed: `rambo.strategies.find`.
"""

import ast
import contextlib
import dataclasses
import functools
import importlib.machinery
import importlib.metadata
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "RAMBO_PLUGINS"
GROUP = "rambo.strategies"
DECORATOR = "strategy"
_LARGEST = 1_000_000  # bytes of a file that is read for what it declares


@dataclasses.dataclass(frozen=True)
class Declaration:
    """A strategy as its decorator declares it.

    Attributes:
        name: of the strategy.
        arguments: what else the decorator says, by name; what is no literal is left out.
    """

    name: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def files() -> tuple[Path, ...]:
    """Return the files that this process was given, in order; they may be gone."""
    names = os.environ.get(VARIABLE, "").split(os.pathsep)
    return tuple(Path(name) for name in dict.fromkeys(filter(None, names)))


@contextlib.contextmanager
def using(more: Iterable[str | Path]) -> Iterator[None]:
    """Know some more files for the length of the block, also in processes that are started in it."""
    before = os.environ.get(VARIABLE)
    names = [str(path) for path in (*files(), *(Path(name).absolute() for name in more))]
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(names))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


@functools.cache
def offers() -> tuple[importlib.metadata.EntryPoint, ...]:
    """Return what installed packages offer; looked for once a process."""
    return tuple(importlib.metadata.entry_points(group=GROUP))


def declared(path: Path) -> tuple[Declaration, ...]:
    """Return what a file declares, read again when it has changed; nothing where it cannot be read."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return _declared(path, facts.st_mtime_ns, facts.st_size)


def offered(offer: importlib.metadata.EntryPoint) -> tuple[Declaration, ...]:
    """Return what the module of an offer declares; where its text cannot be found, the offer's name."""
    path = _source(offer.module)
    return (declared(path) if path else ()) or (Declaration(offer.name),)


@functools.lru_cache(maxsize=64)
def _declared(path: Path, changed: int, size: int) -> tuple[Declaration, ...]:
    """Return what a file of this age and size declares."""
    if size > _LARGEST:
        return ()
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # the worker that needs it says what is wrong
    decorators = [
        call
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for call in node.decorator_list
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == DECORATOR
    ]
    return tuple(filter(None, map(_declaration, decorators)))


def _declaration(call: ast.Call) -> Declaration | None:
    """Return what a decorator says in literals; its first argument is the name, without which it says nothing."""
    words: list[tuple[str | None, ast.expr]] = [("name", value) for value in call.args[:1]]
    words += [(word.arg, word.value) for word in call.keywords]
    literal = {
        name: value.value for name, value in words if name and isinstance(value, ast.Constant)
    }
    name = literal.pop("name", None)
    return Declaration(name, literal) if isinstance(name, str) else None


def _source(module: str) -> Path | None:
    """Return the file of a module without importing it, nor the packages it lies in."""
    places, parts, spec = None, module.split("."), None
    for depth in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return Path(spec.origin) if spec and spec.origin else None
