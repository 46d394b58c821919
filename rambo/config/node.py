"""What every node of the config tree shares: it is frozen, refuses unknown fields, and speaks of bounded numbers."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from rambo import lineup

# A config as nested JSON types, whole or in part: what a person typed, or a run stored, before it is a `Config`.
# Anything may stand in it.
Settings = dict[str, Any]

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
STORED = {"stored": True}  # validation of what was checked before


def _check_strategy(name: str, info: pydantic.ValidationInfo) -> str:
    """Refuse a strategy that is not in the lineup; of a stored run, whose plugin may be gone, keep its name."""
    if name not in lineup.names() and info.context != STORED:
        expected = ", ".join(lineup.names())
        raise PydanticCustomError(
            "literal_error", "choose one of: {expected}", {"expected": expected}
        )
    return name


StrategyName = Annotated[str, pydantic.AfterValidator(_check_strategy)]


class Node(pydantic.BaseModel):
    """A frozen part of the config that refuses unknown fields."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


def flatten(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each field of nested settings, with its dotted path."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
