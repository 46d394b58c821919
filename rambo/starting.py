"""Make a new run of a checked config. Imports no torch: the app's server makes runs, its workers train them."""

import importlib.metadata
import platform

import joblib

from rambo import __version__, checks
from rambo.config import Config, describe
from rambo.datasets.prepared import Prepared
from rambo.store import Run, Workspace


def create_run(config: Config, data: Prepared, workspace: Workspace, device: str) -> Run:
    """Return a new queued run.

    Args:
        config: what to do.
        data: the prepared dataset that the config names.
        workspace: where the run shall lie.
        device: what to call the device on a page.

    Raises:
        ConfigError: the config does not fit the dataset.
        DataError: the dataset cannot be used.
        StoreError: the workspace cannot be written.
    """
    checks.check(config, data)
    checks.wants_features(config, data)
    return workspace.create(describe(config), environment(data, device))


def environment(data: Prepared, device: str) -> dict[str, object]:
    """Return what a run depends on beside its config: versions, device, classes; no path, host or user."""
    return {
        "rambo": __version__,
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "device": device,
        "cores": joblib.cpu_count(),
        "threads": 1,
        "dataset": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "source": data.source,
            "licence": data.licence,
        },
        "classes": list(data.classes),
    }
