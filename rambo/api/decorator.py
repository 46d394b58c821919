"""A function of this session as a strategy."""

import dataclasses
import functools
import traceback
from collections.abc import Callable
from typing import Any

from rambo.api import door
from rambo.calls import checked
from rambo.errors import ConfigError, RamboError, RunCancelled, shorten

_TEXTS = {"word", "help", "colour", "symbol"}
_FLAGS = {"greedy", "measures_distances", "needs_network", "reads_validation"}


@checked
def strategy(name: str, **words: Any) -> Callable[[Any], Any]:
    """Return a decorator that makes a function a strategy of this session.

    >>> @strategy("first-ones", word="First ones")
    ... def first_ones(call):
    ...     return call.problem.unlabeled[: call.budget]
    >>> chosen = choose(images, labels, 4, first_ones, progress=False, **quickly)
    >>> bool((chosen.indices == (labels == -1).nonzero()[0][:4]).all())
    True

    The function is handed a call and returns `call.budget` images of `call.problem.unlabeled`, as indices in the
    order of choice, or as a `rambo.Selection` that says more.

    Args:
        name: small letters, digits and hyphens.
        words: `word`, `help`, `colour`, `symbol` and what else `rambo.lineup.Strategy` has.

    Raises:
        ConfigError: the name, the colour or the symbol will not do, or RAMBO has a strategy of that name.
    """
    import torch

    from rambo.method.pools import Selection
    from rambo.strategies import others
    from rambo.worker import memory

    if unknown := sorted(set(words) - _TEXTS - _FLAGS):
        raise ConfigError(
            "is nothing that a strategy says of itself",
            field=unknown[0],
            hint=f"choose of: {', '.join(sorted(_TEXTS | _FLAGS))}",
        )
    door.text_of(
        "name", name, 'write @rambo.strategy("its-name"): small letters, digits and hyphens'
    )
    for word in _TEXTS & set(words):
        door.text_of(word, words[word], "give a text")
    for word in _FLAGS & set(words):
        door.flag(word, words[word])
    decorate = others.strategy(name, **words)

    def put(select: Any) -> Any:
        fits = callable(select)
        try:
            if fits:
                select.rambo_strategy = name
        except AttributeError:  # one of Python's own
            fits = False
        if not fits:
            raise ConfigError(
                f"is to be the strategy {name}, and is no function of yours",
                field=shorten(select, 60),
                hint="write a function of one argument, the call",
            )

        @functools.wraps(select)
        def selecting(call: Any) -> Selection:
            try:
                chosen = select(call)
            except (RamboError, RunCancelled):
                raise
            except Exception as error:
                if memory.ran_out(error):
                    raise
                raise _failure(name, select, error) from error
            if isinstance(chosen, Selection):
                indices = _indices(name, chosen.indices, call.budget, "a Selection with indices, ")
                steps = _indices(name, chosen.steps, call.budget, "a Selection with steps, ")
                return dataclasses.replace(chosen, indices=indices, steps=steps)
            indices = _indices(name, chosen, call.budget)
            return Selection(indices, torch.zeros_like(indices))

        decorate(selecting)
        return select

    return put


def _indices(name: str, chosen: Any, budget: int, part: str = "") -> Any:
    """Return what a function chose as a tensor of indices.

    Raises:
        ConfigError: it is none.
    """
    import torch

    what = type(chosen).__name__
    try:
        indices = torch.as_tensor(chosen)
        what = f"{indices.dtype} of shape {tuple(indices.shape)}"
        whole = not indices.is_floating_point() and indices.dtype != torch.bool
        if whole and indices.ndim == 1:
            return indices.to(torch.int64)
    except (TypeError, ValueError, RuntimeError):  # no numbers at all
        pass
    raise ConfigError(
        f"returned {part}{what}",
        field="strategy",
        value=name,
        hint=f"return {budget} whole numbers, images of call.problem.unlabeled in the order of choice",
    )


def _failure(name: str, select: Callable[..., Any], error: Exception) -> ConfigError:
    """Return what to say of a function that fails: the error, and the line of its own in which it came up."""
    code = getattr(select, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    where = f" in line {own[-1].lineno}, {shorten(own[-1].line or '', 80)}" if own else ""
    return ConfigError(
        f"ended with {type(error).__name__}: {shorten(error, 200)}{where}",
        field="strategy",
        value=name,
        hint="mend the function, and run this cell again",
    )
