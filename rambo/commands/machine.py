"""What stands around a run: the app, the devices, a dataset made ready, what a run would take."""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from rambo import config as configs
from rambo.commands import sharing
from rambo.config import reading
from rambo.runs import workspace as workspaces
from rambo.storage import places


def add_app(parser: argparse.ArgumentParser) -> None:
    """Give `app` its options."""
    parser.add_argument(
        "--folder",
        action="append",
        metavar="DIR",
        help="a folder whose .npz files the pages may read (default: this one); may be given again",
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="of a dask scheduler that runs may use (default: none)"
    )
    sharing.add_sharing(parser)


def app(arguments: argparse.Namespace) -> int:
    """Become the app's server, on this machine only unless an option says otherwise."""
    if arguments.cluster is not None:
        os.environ["RAMBO_CLUSTER"] = arguments.cluster
    if arguments.folder:
        os.environ["RAMBO_FOLDERS"] = os.pathsep.join(map(os.path.abspath, arguments.folder))
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(places.app())]
    os.execv(command[0], [*command, *sharing.server_options(arguments), *arguments.options])


def devices(arguments: argparse.Namespace) -> int:
    """Print the devices of this machine."""
    from rambo.worker import run_worker

    devices = run_worker.devices()
    if arguments.json:
        print(json.dumps(dataclasses.asdict(devices)))
    else:
        for kind, name in devices.names.items():
            print(f"{kind:<5} {name}{'  (auto)' if kind == devices.auto else ''}")
    return 0


def prepare(arguments: argparse.Namespace) -> int:
    """Prepare a dataset, downloading it where it has to be."""
    from rambo.datasets import catalog
    from rambo.worker import progress

    root = workspaces.Workspace.from_environment().root
    name, path = arguments.dataset, Path(arguments.dataset)
    if name not in catalog.CATALOG and path.suffix.lower() != ".npz" and path.exists():
        from rambo.collection import (  # a folder, zip or table is a collection first
            health,
            importing,
        )

        options = importing.ImportOptions(jobs=os.cpu_count() or 1)
        result = importing.import_images(root, path, options)
        look = [line for line in result.health if line.severity != "info"]
        if look:
            print(health.to_text(look), file=sys.stderr)
        name = f"collection:{result.collection.slug}"
        if result.changed:
            sharing.note("import", f"{result.collection.slug}@{result.version}")
    data = catalog.prepare(name, root, emit=progress.LogLines())
    print(f"{data.name}: {len(data.labels)} images, {data.num_classes} classes", file=sys.stderr)
    if arguments.json:
        facts = {"name": data.name, "fingerprint": data.fingerprint}
        print(json.dumps(facts | {"images": len(data.labels), "classes": data.num_classes}))
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Print what a run of the settings on standard input would take."""
    content = sys.stdin.buffer.read(reading.LARGEST + 1)
    config = configs.build(
        reading.read(content, "settings", 'give some like {"k": 200, "budget": 500}')
    )
    workspace = workspaces.Workspace.from_environment()
    from rambo.worker import plan, progress, run_worker

    device = run_worker.resolve_device(config.compute.device)
    forecast = plan.plan(config, workspace, progress.LogLines(), device=device)
    print(json.dumps(forecast.public()))
    return 0
