"""What the tables share: the problem they are about, and how a table is written."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from rambo import config as configs
from rambo.config import Config, presets
from rambo.datasets import catalog
from rambo.events import ignore
from rambo.runs import travel
from rambo.runs.workspace import Run, Workspace
from rambo.seeding import Streams
from rambo.storage import places
from rambo.training.call import Call
from rambo.training.ensemble import Ensemble
from rambo.worker import trial as trials
from rambo.worker.trial import Trial

DATASET = "fashion-mnist-mini"
TARGET = places.shipped_data() / "learn"
PAIRS = 120  # offline pairs, each trained twice


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """One split of the shipped images, and what trains on it."""

    config: Config
    trial: Trial
    ensemble: Ensemble

    def call(self, name: str) -> Call:
        """Return the call that a run makes of the strategy `name`."""
        return Call(
            self.trial.problem,
            self.config.budget,
            self.config,
            streams=Streams(self.trial.seed).child(name),
            ensemble=self.ensemble,
        )


def setting(settings: dict[str, Any], seed: int = 0) -> Setting:
    """Return trial 0 of a config on the shipped images, with the workspace's memory of trained subsets."""
    workspace = Workspace.from_environment()
    config = configs.build(settings | {"seed": seed})
    trial = trials.split(config, catalog.prepare(DATASET, workspace.root), 0, None)
    ensemble = Ensemble(
        trial.problem, config.classifier, seed=trial.seed, memo=workspace.memo(), jobs=1
    )
    return Setting(config, trial, ensemble)


def quick() -> Setting:
    """Return the setting of the pairs: the paper's sizes, 120 offline pairs."""
    settings = presets.quick(DATASET)
    settings["rambo"]["offline"] = {"pairs": PAIRS}
    return setting(settings)


def demo() -> Setting:
    """Return the setting of the tables about one run: the demo of Home."""
    return setting(presets.demo(DATASET))


def finished() -> tuple[Run, Setting]:
    """Return the run that comes along, in the workspace, and its first trial."""
    path, workspace = places.finished_run(), Workspace.from_environment()
    assert path is not None
    if path.stem not in workspace.ids():
        travel.unpack(path, workspace, ours=True)
    run = workspace.find(path.stem)
    return run, setting(dict(run.config))


def train(ensemble: Ensemble, units: list[Any]) -> list[Any]:
    """Return the outcomes of the units, one line on the way for every tenth."""
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        if count % 10 == 0:
            print(f"  {count} of {len(units)} trainings", flush=True)

    return ensemble.run(units, ignore, done)


def save(name: str, table: dict[str, Any], settings: dict[str, Any]) -> Path:
    """Write a table with its settings, a row a line."""
    TARGET.mkdir(parents=True, exist_ok=True)
    whole = {
        "made_by": f"python -m benchmarks.learn_tables {name}",
        "dataset": DATASET,
        "settings": settings,
        **table,
    }
    path = TARGET / f"{name}.json"
    lines = [f"{json.dumps(key)}: {_value(value)}" for key, value in whole.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    return path


def _value(value: Any) -> str:
    """Return JSON; a list of lists or objects gets a line an entry."""
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return "[\n" + ",\n".join(_compact(entry) for entry in value) + "\n]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
