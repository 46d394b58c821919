"""Runs: start, rehearse, resume, list, show, export, and the work of the app's worker."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from rambo import config as configs
from rambo import export
from rambo.commands import sharing, working
from rambo.commands.settings import explicit_paths, settings_from
from rambo.errors import ConfigError, RunLockedError
from rambo.estimate.idle import idle_words
from rambo.runs import report, travel
from rambo.runs import workspace as workspaces
from rambo.studies import study
from rambo.studies.table import to_csv, to_markdown


def add_export(parser: argparse.ArgumentParser) -> None:
    """Give `export` its options."""
    parser.add_argument("--format", required=True, help=", ".join(export.FORMATS))
    parser.add_argument("--out", required=True, metavar="FILE")
    parser.add_argument("--strategy", help="default: the first of the run")
    parser.add_argument("--seed", help="default: the first trial")
    parser.add_argument(
        "--original",
        action="store_true",
        help="the strategy's own choice, where a person edited the batch in the app",
    )
    parser.add_argument(
        "--guesses", action="store_true", help="let Label Studio tick the class that f guesses"
    )
    parser.add_argument(
        "--pictures",
        default="originals",
        help="originals (your own files, where they are still found; default) or working (PNG of the working size)",
    )
    parser.add_argument(
        "--image-url",
        metavar="PREFIX",
        default=export.IMAGE_URL,
        help="for Label Studio: what stands before a file name in the URL of an image (default: its local files)",
    )
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="add the true labels that the dataset holds, as a column",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start a run and work on it."""
    config = configs.build(settings_from(arguments))
    if words := idle_words(explicit_paths(arguments), config):
        print(f"note: {words}", file=sys.stderr)
    workspace = workspaces.Workspace.from_environment()
    from rambo.worker import progress, run_worker  # torch: only where something is trained

    run = run_worker.start(config, workspace, progress.ProgressBars())
    return working.work(run, arguments.json)


def rehearse(arguments: argparse.Namespace) -> int:
    """Play the budget inside the labeled part of a dataset, and say which strategy won."""
    real = configs.build({"trials": report.FEWEST} | settings_from(arguments))
    workspace = workspaces.Workspace.from_environment()
    from rambo.datasets import catalog, rehearsal
    from rambo.worker import progress, run_worker

    bars = progress.ProgressBars()
    name = real.dataset.name.removeprefix(rehearsal.PREFIX)
    real = real.model_copy(update={"dataset": real.dataset.model_copy(update={"name": name})})
    data = catalog.prepare(name, workspace.root, emit=bars)
    played = rehearsal.derive(data, workspace.root, name)
    config = rehearsal.scaled(real, data, played)
    print(rehearsal.words(real, config, data, played), file=sys.stderr)
    return working.work(run_worker.start(config, workspace, bars), arguments.json)


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    run = working.find(arguments.run)
    if run.locked():
        raise RunLockedError(
            "is already being worked on", field="run", value=run.id, hint="wait for it or stop it"
        )
    return working.work(run, arguments.json)


def show(arguments: argparse.Namespace) -> int:
    """Print the results of a run or a study."""
    working.print_summary(working.find(arguments.run), arguments.json)
    return 0


def list_runs(arguments: argparse.Namespace) -> int:
    """Print all runs, newest first."""
    runs = workspaces.Workspace.from_environment().descriptions()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(run) for run in runs]))
    elif not runs:
        print("no runs yet; `python -m rambo run --preset demo` makes the first")
    else:
        for run in runs:
            budgets = f"k {run.k}, B {run.budget}"
            print(f"{run.run}  {run.status:<11}  {run.dataset}  {budgets}  {run.message}".rstrip())
    return 0


def export_choice(arguments: argparse.Namespace) -> int:
    """Write the chosen images."""
    run = study.find(arguments.run, workspaces.Workspace.from_environment())
    if study.is_study(run):
        return _export_study(run, arguments)
    seed = arguments.seed
    if seed is not None and not seed.isdecimal():
        raise ConfigError(field="seed", value=seed, hint="use a whole number")
    result = export.build(
        run,
        arguments.format,
        arguments.strategy,
        None if seed is None else int(seed),
        guesses=arguments.guesses,
        original=arguments.original,
        pictures=arguments.pictures,
        truth=arguments.oracle,
        image_url=arguments.image_url,
    ).write(Path(arguments.out))
    sharing.note_export(run.id, arguments.format)
    for notice in result.notices:
        print(f"rambo: {notice}", file=sys.stderr)
    if result.name.endswith(".zip") and Path(arguments.out).suffix.lower() != ".zip":
        print(f"rambo: {arguments.out} is a zip archive; call it .zip to open it", file=sys.stderr)
    print(f"wrote {result.count} images to {arguments.out}", file=sys.stderr)
    return 0


def _export_study(run: workspaces.Run, arguments: argparse.Namespace) -> int:
    """Write the table of a study."""
    writers = {"csv": to_csv, "markdown": to_markdown}
    if arguments.format not in writers:
        raise ConfigError(
            "is none of a study",
            field="format",
            value=arguments.format,
            hint=f"choose one of: {', '.join(writers)}",
        )
    export.put(Path(arguments.out), writers[arguments.format](study.table(run)).encode())
    sharing.note_export(run.id, arguments.format)
    print(f"wrote the study to {arguments.out}", file=sys.stderr)
    return 0


def add_travel(pack: argparse.ArgumentParser, unpack: argparse.ArgumentParser) -> None:
    """Give `pack` and `unpack` their options."""
    pack.add_argument("run", metavar="RUN")
    pack.add_argument("--out", required=True, metavar="FILE.zip")
    pack.add_argument(
        "--without-images",
        action="store_true",
        help="leave images of your own behind (those of the catalog never travel)",
    )
    pack.add_argument(
        "--maps-of",
        metavar="N",
        help="maps of the first N trials and one strategy only: a smaller file (default: all)",
    )
    unpack.add_argument("file", metavar="FILE.zip")


def pack(arguments: argparse.Namespace) -> int:
    """Write a run as one file, for another machine."""
    trials = arguments.maps_of
    if trials is not None and not trials.isdecimal():
        raise ConfigError(field="--maps-of", value=trials, hint="use a whole number, 0 for none")
    parcel = travel.pack(
        working.find(arguments.run),
        workspaces.Workspace.from_environment(),
        Path(arguments.out),
        pictures=not arguments.without_images,
        maps_of=None if trials is None else int(trials),
    )
    for notice in parcel.notices:
        print(f"rambo: {notice}", file=sys.stderr)
    sharing.note_export(parcel.run, "the whole run")
    print(f"wrote {parcel.run} to {arguments.out}", file=sys.stderr)
    return 0


def unpack(arguments: argparse.Namespace) -> int:
    """Let a run that `pack` wrote join this workspace."""
    parcel = travel.unpack(Path(arguments.file), workspaces.Workspace.from_environment())
    for notice in parcel.notices:
        print(f"rambo: {notice}", file=sys.stderr)
    sharing.note("import", parcel.run, "a packed run")
    print(parcel.run)
    return 0


def work(arguments: argparse.Namespace) -> int:
    """Work on a run directory without a terminal."""
    folder = Path(arguments.folder)
    run = workspaces.Workspace(folder.absolute().parent).find(folder.name)
    from rambo.worker import progress

    if run.stop_requested() and not run.locked():  # asked for while torch was imported
        run.set_status("stopped", "stopped on request; resume it to go on")
        return 130
    status = working.work_on(run, progress.LogLines(), launch=arguments.launch)
    return {"stopped": 130, "failed": 1}.get(status, 0)
