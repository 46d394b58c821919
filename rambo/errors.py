"""Named errors: every message says what was wrong, where, and the way out."""


class RamboError(Exception):
    """Anything a person can put right; its text is one line, safe to show as it is."""


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


class RunCancelled(Exception):  # noqa: N818 - not an error: a person asked for it
    """Raised by `emit` when a stop was asked for: the safe stopping point."""
