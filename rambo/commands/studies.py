"""Studies: a grid of runs, as the paper's tables and figures need them."""

import argparse

from rambo import config as configs
from rambo.commands import working
from rambo.commands.settings import settings_from
from rambo.runs import workspace as workspaces
from rambo.studies import grid
from rambo.studies import study as studies

TRIALS = 5  # Choice: the fewest that can be evidence


def study(arguments: argparse.Namespace) -> int:
    """Start a study and work on it, or list the studies."""
    if arguments.study is None:
        for name, kind in grid.STUDIES.items():
            print(f"{name:<17} {kind.title} ({kind.source})")
        for run in studies.workspace_of(workspaces.Workspace.from_environment()).runs():
            description = run.describe()
            print(
                f"{run.id}  {description.status:<11}  {description.dataset}  {description.message}".rstrip()
            )
        return 0
    settings = {"trials": TRIALS} | settings_from(arguments)
    grid.plan_cells(arguments.study, settings)
    workspace = workspaces.Workspace.from_environment()
    from rambo.datasets import catalog
    from rambo.worker import progress, run_worker

    config = configs.build(settings)
    data = catalog.prepare(config.dataset.name, workspace.root, emit=progress.ProgressBars())
    device = run_worker.name_device(run_worker.resolve_device(config.compute.device))
    return working.work(
        studies.create(arguments.study, settings, data, workspace, device), arguments.json
    )
