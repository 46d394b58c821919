"""What is offered in Python, called wrongly: one sentence with the argument or the name, and the way out."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from rambo.errors import AbsentError, ConfigError
from rambo.text import count, perhaps

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Kind = TypeVar("Kind", bound=type)


def checked(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Return the same call, which says in one sentence which argument is missing, unknown, or one too many."""
    signature = inspect.signature(call)
    title = f"rambo.{call.__qualname__.removesuffix('.__init__')}"

    @functools.wraps(call)
    def checking(*unnamed: Arguments.args, **named: Arguments.kwargs) -> Answer:
        try:
            signature.bind(*unnamed, **named)
        except TypeError:
            raise _misfit(title, signature, unnamed, named) from None
        return call(*unnamed, **named)

    return checking


def public(kind: Kind) -> Kind:
    """Return the same class, whose calls are `checked` and whose missing attributes are told as `absent` does."""
    for name, member in [*vars(kind).items()]:
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(kind, name, checked(member))

    def missing(answer: object, name: str) -> Any:
        if name.startswith("_"):  # Python and notebooks try many
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
        if hasattr(kind, name):  # it is there, and failed
            return object.__getattribute__(answer, name)
        raise absent(f"rambo.{kind.__name__}", name, dir(answer))

    kind.__getattr__ = missing  # type: ignore[attr-defined]
    return kind


def absent(owner: str, name: str, names: Iterable[str]) -> AbsentError:
    """Return what to say of an attribute that is not there.

    Args:
        owner: what has no such attribute.
        name: of the attribute.
        names: those that are there.
    """
    offered = [other for other in names if not other.startswith("_")]
    hint = f"{perhaps(name, offered)}it has {', '.join(offered)}"
    return AbsentError(f"no attribute {name!r}", field=owner, hint=hint)


def _misfit(
    title: str, signature: inspect.Signature, unnamed: Sequence[Any], named: Mapping[str, Any]
) -> ConfigError:
    """Return what to say of arguments that a call does not take."""
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    takes = [name for name in kinds if name != "self"]
    placed = [name for name in kinds if kinds[name] is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    hint = f"it takes {', '.join(takes)}" if takes else "it takes none"
    unknown = [name for name in named if name not in kinds]
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds.values():
        return ConfigError(f"is no argument of {title}", field=unknown[0], hint=hint)
    if unnamed and not takes:
        return ConfigError("takes no argument", field=title, hint=f"write {title.split('.')[-1]}()")
    if len(unnamed) > len(placed):
        most = len([name for name in placed if name != "self"])
        return ConfigError(
            f"takes at most {count(most, 'argument')} without a name, not {len(unnamed) - len(placed) + most}",
            field=title,
            hint=f"give the others as name=value: {hint}",
        )
    twice = [name for name in placed[: len(unnamed)] if name in named]
    missing = [
        name
        for name in placed[len(unnamed) :]
        if name not in named and signature.parameters[name].default is inspect.Parameter.empty
    ]
    way_out = f"help({title}) says what it takes"
    if twice:
        return ConfigError("is given twice", field=twice[0], hint=way_out)
    return ConfigError("is missing", field=missing[0], hint=way_out)
