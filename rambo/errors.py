"""Named errors: what was wrong, where, and the way out, each kept on its own; the text is made of them here.

A form asks an error for its field, a program for its limit, and a person reads the one line that `str` gives.
"""

import copy
import reprlib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

# A problem that begins so has the field and its value as its subject: `k 5 exceeds the pool`, no colon between.
_VERBS = {"is", "are", "has", "does", "exceeds", "leaves", "reads", "names", "needs", "holds"}
_VERBS |= {"cannot", "could", "ended", "ran", "stopped"}
_FIELD, _VALUE, _PATH = 100, 60, 200  # characters that are shown of a field, a value, a path
_FIXED = "\u00a0"  # a space at which no line ends
_TEXT = 300  # characters of a value that travel
_PLAIN = (bool, int, float, str)

Kind = TypeVar("Kind", bound="RamboError")


class RamboError(Exception):
    """Anything a person can put right; its text is one line, safe to show as it is.

    `problem` and `hint` may speak of other settings, as `{k}` or `{acquisition.batch_size}`; `others` names these, and
    whoever shows the error decides what to call them.

    Attributes:
        problem: what was wrong, as a clause; empty where the hint says it all.
        field: dotted path of the setting, or what else it is about: a file, an option, `run`.
        value: what was given there; `...` where nothing was.
        limit: the bound that the value breaks, where there is one.
        hint: the way out, as a request.
        others: paths of further settings that decide whether this is a problem.
        context: where it came up, for example in which cell of a study; empty where that is plain.
        parts: all errors found at once; of a single one itself.
    """

    def __init__(
        self,
        problem: str = "",
        *,
        field: str | None = None,
        value: object = ...,
        limit: float | None = None,
        hint: str | None = None,
        others: tuple[str, ...] = (),
    ) -> None:
        """Keep what an error consists of."""
        super().__init__(problem)
        self.problem, self.field, self.value = problem, field, value
        self.limit, self.hint, self.others = limit, hint, others
        self.context = ""
        self._parts: tuple[RamboError, ...] = ()

    def within(self: Kind, context: str) -> Kind:
        """Return the same error, with the place where it came up in brackets behind it."""
        error = copy.copy(self)
        error.context = context
        error._parts = tuple(part.within(context) for part in self._parts)
        return error

    @classmethod
    def join(cls: type[Kind], parts: Iterable["RamboError"]) -> Kind:
        """Return one error for all of `parts`, of which there is at least one; it reads like the first."""
        all_parts = tuple(parts)
        first = all_parts[0]
        error = cls(
            first.problem,
            field=first.field,
            value=first.value,
            limit=first.limit,
            hint=first.hint,
            others=first.others,
        )
        error._parts = all_parts if len(all_parts) > 1 else ()
        return error

    @property
    def parts(self) -> tuple["RamboError", ...]:
        """All errors found at once."""
        return self._parts or (self,)

    def speaks_of(self, paths: Container[str | None]) -> bool:
        """Return whether one of the settings is what this is about, or decides whether it is a problem."""
        return any(path in paths for path in (self.field, *self.others))

    def words(self, names: Mapping[str, str | None] | None = None) -> str:
        """Return the error as one line.

        Args:
            names: what to call a field, by path; with an empty name only its value is shown, with None neither.
        """
        names = names or {}
        subject, name = "", names.get(self.field, self.field) if self.field else ""
        if name is not None:
            subject = " ".join(part for part in (shorten(name, _FIELD), self._value_text) if part)
        problem, hint = self.problem, self.hint or ""
        for path in self.others:
            name = names.get(path) or path
            problem = problem.replace(f"{{{path}}}", name)
            hint = hint.replace(f"{{{path}}}", name)
        joint = " " if problem.partition(" ")[0] in _VERBS else ": "
        rest = "; ".join(part for part in (problem, hint) if part)
        text = joint.join(part for part in (subject, rest) if part)
        return f"{text} ({self.context})" if self.context else text

    @property
    def _value_text(self) -> str:
        """The value in words; of a path more is shown, as the end says which file it is."""
        if self.value is ...:
            return ""
        return shorten(self.value, _PATH if isinstance(self.value, Path) else _VALUE) or "''"

    def __str__(self) -> str:
        """Return the error as one line, with the paths of the settings."""
        return self.words()

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows in place of a trace: one line for each thing that is wrong."""
        return [str(part) for part in self.parts]

    # JSON's edge: `from_json` is the way back.
    def to_json(self) -> dict[str, object]:
        """Return the error as JSON types, for another process."""
        fields = {
            "kind": type(self).__name__,
            "text": str(self),
            "problem": self.problem,
            "field": self.field,
            "limit": self.limit,
            "hint": self.hint,
            "others": list(self.others),
            "context": self.context,
        }
        parts = {"parts": [part.to_json() for part in self._parts]} if self._parts else {}
        value = {} if self.value is ... else {"value": self._small_value()}
        return fields | value | parts

    def _small_value(self) -> object:
        """Return the value as JSON types, shortened."""
        value = self.value
        if isinstance(value, Path):
            return {"path": shorten(value, _TEXT)}
        small = value is None or (isinstance(value, _PLAIN) and len(shorten(value, _TEXT)) < 60)
        return value if small else shorten(value, _TEXT)


class ConfigError(RamboError):
    """A setting is outside its limits, or two settings contradict each other."""


class BudgetError(ConfigError):
    """The labeling budget does not fit the unlabeled pool."""


class DataError(RamboError):
    """A data file is missing, damaged or of the wrong form, or shapes disagree."""


class DivergedError(RamboError):
    """A loss left the finite numbers, twice, with two different seeds."""


class StoreError(RamboError):
    """A run directory cannot be read or written."""


class RunNotFoundError(StoreError):
    """No run of that name is in the workspace."""


class RunLockedError(StoreError):
    """Another worker holds the run."""


class AbsentError(RamboError, AttributeError):
    """What is offered in Python has no attribute of that name."""


class Interrupted(KeyboardInterrupt):
    """Raised in a notebook when its kernel was interrupted; whatever was finished is kept."""

    def _render_traceback_(self) -> list[str]:
        """Return the one line that a notebook shows."""
        return [str(self)]


class RunCancelled(Exception):  # noqa: N818 - not an error: a person asked for it
    """Raised by `emit` when a stop was asked for: the safe stopping point."""


_KINDS: dict[str, type[RamboError]] = {
    kind.__name__: kind
    for kind in (
        RamboError,
        ConfigError,
        BudgetError,
        DataError,
        DivergedError,
        StoreError,
        RunNotFoundError,
        RunLockedError,
        AbsentError,
    )
}


def from_json(record: Mapping[str, Any]) -> RamboError:
    """Return the error that another process told by `to_json`.

    Raises:
        ValueError: it is something else.
    """
    try:
        kind = _KINDS[record["kind"]]
        context = str(record["context"])
        if record.get("parts"):
            return kind.join(from_json(part) for part in record["parts"]).within(context)
        value = record.get("value", ...)
        if isinstance(value, dict):
            value = Path(value["path"])
        field, hint, problem = record["field"], record["hint"], record["problem"]
        if not all(text is None or isinstance(text, str) for text in (field, hint)):
            raise ValueError("field and hint are text")
        return kind(
            str(problem),
            field=field,
            value=value,
            limit=record["limit"],
            hint=hint,
            others=tuple(map(str, record["others"])),
        ).within(context)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("this is no error of ours") from error


def shorten(value: object, limit: int = 60) -> str:
    """Return `value` as one printable line of at most `limit` characters; spaces at which no line ends stay."""
    try:
        whole = reprlib.repr(value) if isinstance(value, list | tuple | dict | set) else str(value)
    except (ValueError, RecursionError):  # a number of over 4300 digits, or nested without end
        whole = f"<{type(value).__name__}>"
    text = "".join(c if c.isprintable() or c == _FIXED else "?" for c in whole[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."
