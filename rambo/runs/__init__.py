"""The run on disk: workspace, record, artifacts, line, worker processes. Imports no torch.

The package may also be called: `rambo.runs()` lists the runs of the workspace, as `rambo.api.runs` does.
"""

import importlib
import sys
import types
from typing import Any


class _Runs(types.ModuleType):
    """A package that is also a function, because a person's word for the list is `rambo.runs()`."""

    def __call__(self, *unnamed: Any, **where: Any) -> Any:
        """Return all runs of the workspace, the newest first."""
        return importlib.import_module("rambo.api").runs(*unnamed, **where)


sys.modules[__name__].__class__ = _Runs
