"""Strategies of other people: declared by a decorator, found in files and packages, run when a worker needs them."""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from rambo import lineup, plugins
from rambo.errors import ConfigError, shorten

Select = TypeVar("Select", bound=Callable[..., Any])

_functions: dict[str, Callable[..., Any]] = {}


def strategy(
    name: str,
    *,
    word: str = "",
    help: str = "",
    colour: str = "",
    symbol: str = "",
    greedy: bool = False,
    measures_distances: bool = False,
    needs_network: bool = False,
    reads_validation: bool = False,
) -> Callable[[Select], Select]:
    """Return a decorator that puts a function into the lineup, as `rambo.lineup.Strategy` describes it.

    Write the arguments as literals: pages read them from the file's text and run none of it.

    Raises:
        ConfigError: the name, the colour or the symbol will not do, or RAMBO has a strategy of that name.
    """
    flags = {
        "greedy": greedy,
        "measures_distances": measures_distances,
        "needs_network": needs_network,
        "reads_validation": reads_validation,
    }
    words = {"word": word, "help": help, "colour": colour, "symbol": symbol}
    texts = {key: value for key, value in words.items() if value}

    def put(select: Select) -> Select:
        lineup.register(lineup.Strategy(name, **texts, **flags))  # type: ignore[arg-type]
        _functions[name] = select
        return select

    return put


def load(name: str, files: Iterable[Path] = ()) -> Callable[..., Any]:
    """Return the function of a strategy that is none of ours, running the code that declares it where it has not run.

    Args:
        name: of the strategy.
        files: where it came from when the run was made; named where it is not there.

    Raises:
        ConfigError: nobody brings it, or its code fails.
    """
    if name not in _functions:
        for path in plugins.files():
            if name in {declaration.name for declaration in plugins.declared(path)}:
                _run(path)
                break
        else:
            _import(name)
    if name not in _functions:
        absent = ", ".join(path.name for path in files if not path.is_file())
        raise ConfigError(
            f"it came from {absent}, which is gone" if absent else "nobody here brings it",
            field="strategies",
            value=name,
            hint="put it back, give its file with --plugin FILE.py, or install its package",
        )
    return _functions[name]


def _run(path: Path) -> None:
    """Run a file that declares strategies."""
    module_name = f"rambo_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError("no Python file", field="plugin", value=path.name, hint="name it .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except Exception as error:
        raise _failure(path.name, error) from error


def _import(name: str) -> None:
    """Import the package that offers a strategy; its entry may name the function itself."""
    for offer in plugins.offers():
        if name in {offer.name, *(declaration.name for declaration in plugins.offered(offer))}:
            try:
                target = offer.load()
            except ConfigError:
                raise
            except Exception as error:
                raise _failure(offer.value, error) from error
            if name not in _functions and callable(target):
                strategy(name)(target)
            return


def _failure(where: str, error: Exception) -> ConfigError:
    """Return what to say of code that does not run."""
    what = f"{type(error).__name__}: {shorten(error, 200)}"
    return ConfigError(what, field="plugin", value=where, hint="mend it, and resume")
