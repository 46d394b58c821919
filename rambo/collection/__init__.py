"""Collections: a person's own images, what is known of each, and every version of that knowledge."""

from rambo.collection.collection import PREFIX, Collection, create, delete, find, parse, slugs
from rambo.collection.records import (
    LABELED,
    POOL,
    ROLE_NAMES,
    TEST,
    UNKNOWN,
    VALIDATION,
    Frame,
    HealthLine,
    ImportProgress,
    LabelEntry,
    Snapshot,
    SplitAdvice,
    Unreadable,
    Version,
)

__all__ = [
    "LABELED",
    "POOL",
    "PREFIX",
    "ROLE_NAMES",
    "TEST",
    "UNKNOWN",
    "VALIDATION",
    "Collection",
    "Frame",
    "HealthLine",
    "ImportProgress",
    "LabelEntry",
    "Snapshot",
    "SplitAdvice",
    "Unreadable",
    "Version",
    "create",
    "delete",
    "find",
    "parse",
    "slugs",
]
