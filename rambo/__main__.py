"""The command line: `rambo`, or `python -m rambo` in a checkout.

Exit 0 when done, 1 when the work failed, 2 when the input is wrong, 130 when stopped; never a traceback.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

# Before numpy or torch start their thread pools: one thread a process.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rambo import __version__, export, places, plugins, presets
from rambo import config as configs
from rambo.collection.splits import DEFAULT_SHARE
from rambo.errors import (
    ConfigError,
    DivergedError,
    RamboError,
    RunCancelled,
    RunLockedError,
    RunNotFoundError,
    StoreError,
)
from rambo.events import Emit
from rambo.runs import models, report
from rambo.runs import workspace as workspaces
from rambo.storage import files
from rambo.studies import grid, study
from rambo.studies.table import to_csv, to_markdown

_FIELDS = {  # command-line option -> dotted path in the config
    "dataset": "dataset.name",
    "k": "k",
    "budget": "budget",
    "batch_size": "acquisition.batch_size",
    "filter_size": "acquisition.filter_size",
    "initial_size": "rambo.initial_size",
    "pairs": "rambo.pairs_per_iteration",
    "offline_pairs": "rambo.offline.pairs",
    "ot_weight": "rambo.utility_model.ot_weight",
    "loss": "rambo.utility_model.loss",
    "classifier": "classifier.name",
    "device": "compute.device",
    "jobs": "compute.jobs",
    "backend": "compute.backend",
    "address": "compute.address",
    "seed": "seed",
    "trials": "trials",
    "strategy": "strategies",
}
_SHOW_FORMAT = 1  # of the JSON of `show`; docs/run-format.md says what it promises
_STUDY_TRIALS = 5  # Choice: the fewest that can be evidence
_COMPLAINTS = 8  # that are printed
_SETTINGS_BYTES = 64_000  # of JSON on standard input; a whole config has two thousand
_SWITCHES = {
    "no_bilevel": "rambo.utility_model.bilevel.enabled",
    "no_ot": "rambo.utility_model.transport",
}
_HELP = {
    "dataset": "a catalog name, collection:NAME (import makes one), or the path of an .npz file",
    "k": "k: labels in the pool S_0 at the start",
    "budget": "B: labels to buy, all in one round",
    "batch_size": "b: images a greedy step takes",
    "filter_size": "M: smallest margins a greedy step looks at (default 10 b)",
    "initial_size": "k_1: labels the pretraining starts from (default k / 4)",
    "pairs": "n: pairs of utility samples an iteration adds",
    "offline_pairs": "pairs trained for their true utility",
    "ot_weight": "lambda_OT",
    "loss": "rank (RankNet) or regression",
    "classifier": "auto, mnistnet, resnet18 or logistic (a proxy on frozen features)",
    "device": "auto, cpu, cuda or mps",
    "jobs": "worker processes on a CPU (default: one per core)",
    "backend": "loky (default), or dask for a cluster",
    "address": "of the cluster's scheduler (default: one is started here)",
    "seed": "seed of the first trial; trial t runs with seed + t",
    "trials": "number of trials",
    "no_bilevel": "train u_hat without the bilevel scheme",
    "no_ot": "train u_hat without the OT loss",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with one line."""
        message = configs.shorten(message, 300)  # it may repeat what was typed
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. Numbers stay text here: the config checks and explains them."""
    parser = _Parser(prog="python -m rambo", description="One-round active learning with RAMBO.")
    parser.add_argument("--version", action="version", version=f"rambo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    app = commands.add_parser("app", help="open the app; further options go to `streamlit run`")
    app.add_argument(
        "--folder",
        action="append",
        metavar="DIR",
        help="a folder whose .npz files the pages may read (default: this one); may be given again",
    )
    app.add_argument(
        "--cluster", metavar="ADDRESS", help="of a dask scheduler that runs may use (default: none)"
    )
    run = commands.add_parser("run", help="choose, evaluate, and print the results")
    studying = commands.add_parser(
        "study", help="a grid of runs, as the paper's tables and figures need them"
    )
    studying.add_argument("study", metavar="NAME", nargs="?", help="none: list the studies")
    for sub in (run, studying):
        _add_settings(sub)
    rehearse = commands.add_parser(
        "rehearse", help="see on your own labeled images which strategy wins, before you pay"
    )
    rehearse.add_argument("dataset", metavar="DATASET", help="such as collection:my-photos")
    _add_settings(rehearse, without=("dataset", "k"))
    resume = commands.add_parser("resume", help="go on with a stopped, failed or interrupted run")
    show = commands.add_parser("show", help="print the results of a run")
    export_ = commands.add_parser("export", help="write the chosen images of a run")
    for sub in (resume, show, export_):
        sub.add_argument("run", metavar="RUN")
    export_.add_argument("--format", required=True, help=", ".join(export.FORMATS))
    export_.add_argument("--out", required=True, metavar="FILE")
    export_.add_argument("--strategy", help="default: the first of the run")
    export_.add_argument("--seed", help="default: the first trial")
    export_.add_argument(
        "--original",
        action="store_true",
        help="the strategy's own choice, where a person edited the batch in the app",
    )
    export_.add_argument(
        "--guesses", action="store_true", help="let Label Studio tick the class that f guesses"
    )
    export_.add_argument(
        "--image-url",
        metavar="PREFIX",
        default=export.IMAGE_URL,
        help="for Label Studio: what stands before a file name in the URL of an image (default: its local files)",
    )
    export_.add_argument(
        "--oracle",
        action="store_true",
        help="add the true labels that the dataset holds, as a column",
    )
    listing = commands.add_parser("list", help="list all runs, newest first")
    devices = commands.add_parser("devices", help="list the devices that can train")
    prepare = commands.add_parser(
        "prepare", help="make a dataset ready, as the first run on it does"
    )
    prepare.add_argument("dataset", metavar="DATASET", help=_HELP["dataset"])
    _add_import(
        commands.add_parser("import", help="make a collection of your own images, or let it grow")
    )
    own = commands.add_parser("collections", help="list your collections, or show one of them")
    own.add_argument("collection", metavar="NAME", nargs="?")
    own.add_argument("--version", metavar="N", help="of that collection; default: the newest")
    own.add_argument("--json", action="store_true", help="print JSON")
    _add_train(
        commands.add_parser(
            "train", help="train the final classifier on all labels of a collection"
        )
    )
    _add_label(commands.add_parser("label", help="bring labels back into a collection"))
    plan = commands.add_parser(
        "plan", help="print what a run would take; its settings as JSON on standard input"
    )
    for sub in (app, run, rehearse, studying, resume, plan):
        sub.add_argument(
            "--plugin",
            action="append",
            default=[],
            metavar="FILE.py",
            help="a file with strategies of your own; may be given again",
        )
    for sub in (run, rehearse, studying, resume, show, listing, devices, prepare, plan):
        sub.add_argument("--json", action="store_true", help="print JSON, errors too")
    work = commands.add_parser("work", help="work on a run directory, as the app's worker does")
    work.add_argument("folder", metavar="RUN_DIR")
    return parser


def _add_import(parser: argparse.ArgumentParser) -> None:
    """Give `import` its options."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        nargs="+",
        help="a folder of images (sub-folders are classes), a zip of one, an .npz, a table with file and "
        "label, Label Studio's JSON export, or parquet; several go into one collection",
    )
    parser.add_argument(
        "--name", help="of the collection (default: the source's); one of that name grows"
    )
    parser.add_argument(
        "--labels", metavar="TABLE", help="CSV, JSON lines or Label Studio's JSON: file and label"
    )
    parser.add_argument(
        "--validation",
        metavar="SHARE",
        help=f"share of the labels for S_val (default {DEFAULT_SHARE:g})",
    )
    parser.add_argument("--test", metavar="SOURCE", help="a fixed test set, read as SOURCE is")
    parser.add_argument(
        "--group-column",
        metavar="COLUMN",
        help="a column, or `folder`: what stays on one side of a split",
    )
    parser.add_argument(
        "--size", metavar="N", help="side of the working size (default: the images', at most 96)"
    )
    parser.add_argument(
        "--fit", default="letterbox", help="letterbox (default) or crop: how a shape is changed"
    )
    parser.add_argument("--jobs", help="processes that read (default: one per core)")
    parser.add_argument(
        "--max-gb", metavar="N", help="gigabytes that an archive may unpack to (default 2)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_train(parser: argparse.ArgumentParser) -> None:
    """Give `train` its options."""
    parser.add_argument("collection", metavar="COLLECTION", help="its name, or NAME@VERSION")
    parser.add_argument(
        "--classifier",
        default="auto",
        help="auto, logistic (on frozen features), mnistnet or resnet18",
    )
    parser.add_argument("--device", default="auto", help=_HELP["device"])
    parser.add_argument("--seed", default="0", help="of the weights and the order")
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to put model.zip and predictions.csv"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, errors too")


def _add_label(parser: argparse.ArgumentParser) -> None:
    """Give `label` its options."""
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="answers: a CSV, JSON lines, or Label Studio's JSON export",
    )
    parser.add_argument("--run", metavar="RUN", help="the run whose batch was labeled")
    parser.add_argument("--strategy", help="whose batch of that run; default: the first")
    parser.add_argument("--seed", help="of the trial; default: the first")
    parser.add_argument(
        "--accept-new-classes",
        action="store_true",
        help="take answers of classes that the collection does not know",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="let answers replace labels that disagree"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would change, and change nothing"
    )
    parser.add_argument(
        "--undo",
        nargs="?",
        const="newest",
        metavar="VERSION",
        help="take the labels of a version back (default: the newest that brought some)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, errors too")


def _add_settings(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """Give a command the options that make a config, but for those it has another way to know."""
    parser.add_argument("--preset", default="quick", help="demo, quick (default) or paper")
    for name in [name for name in _FIELDS if name not in without]:
        if name == "strategy":
            parser.add_argument(
                "--strategy",
                nargs="+",
                action="extend",
                metavar="NAME",
                help="strategies to compare, or all",
            )
        else:
            parser.add_argument(f"--{name.replace('_', '-')}", help=_HELP[name])
    for name in _SWITCHES:
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=_HELP[name])
    parser.add_argument(
        "--set", action="append", default=[], metavar="PATH=VALUE", help="any config field"
    )


def settings_from(arguments: argparse.Namespace) -> configs.Settings:
    """Return the nested settings of a `run` call: preset, then options, then `--set`.

    Raises:
        ConfigError: an unknown preset, strategy or field.
    """
    if arguments.preset not in presets.PRESETS:
        names = ", ".join(presets.PRESETS)
        raise ConfigError(
            "unknown", field="preset", value=arguments.preset, hint=f"choose one of: {names}"
        )
    settings = presets.PRESETS[arguments.preset](arguments.dataset)
    if getattr(arguments, "k", None) is not None:
        settings["rambo"].pop("initial_size", None)  # it belongs to the preset's k
    if arguments.strategy is not None:
        arguments.strategy = grid.strategies(arguments.strategy)
        configs.check_names(arguments.strategy)
    for name, path in _FIELDS.items():
        if (value := getattr(arguments, name, None)) is not None:
            configs.assign(settings, path, value)
    for name, path in _SWITCHES.items():
        if getattr(arguments, name):
            configs.assign(settings, path, False)
    for assignment in arguments.set:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError("no value", field="--set", value=assignment, hint="write PATH=VALUE")
        configs.assign(settings, path, _value(text))
    return settings


def _value(text: str) -> Any:
    """Return the JSON value of a `--set`, or the text itself where it is none."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError, ValueError):
        return text


def _app(arguments: argparse.Namespace) -> int:
    """Become the app's server, on this machine only unless an option says otherwise."""
    if arguments.cluster is not None:
        os.environ["RAMBO_CLUSTER"] = arguments.cluster
    if arguments.folder:
        os.environ["RAMBO_FOLDERS"] = os.pathsep.join(map(os.path.abspath, arguments.folder))
    command = [sys.executable, "-P", "-m", "streamlit", "run", str(places.app())]
    os.execv(command[0], [*command, *arguments.options])


def _run(arguments: argparse.Namespace) -> int:
    """Start a run and work on it."""
    config = configs.build(settings_from(arguments))
    workspace = workspaces.Workspace.from_environment()
    from rambo.worker import progress, run_worker  # torch: only where something is trained

    run = run_worker.start(config, workspace, progress.ProgressBars())
    return _work(run, arguments.json)


def _rehearse(arguments: argparse.Namespace) -> int:
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
    return _work(run_worker.start(config, workspace, bars), arguments.json)


def _study(arguments: argparse.Namespace) -> int:
    """Start a study and work on it, or list the studies."""
    if arguments.study is None:
        for name, kind in grid.STUDIES.items():
            print(f"{name:<17} {kind.title} ({kind.source})")
        for run in study.workspace_of(workspaces.Workspace.from_environment()).runs():
            description = run.describe()
            print(
                f"{run.id}  {description.status:<11}  {description.dataset}  {description.message}".rstrip()
            )
        return 0
    settings = {"trials": _STUDY_TRIALS} | settings_from(arguments)
    grid.plan_cells(arguments.study, settings)
    workspace = workspaces.Workspace.from_environment()
    from rambo.datasets import catalog
    from rambo.worker import progress, run_worker

    config = configs.build(settings)
    data = catalog.prepare(config.dataset.name, workspace.root, emit=progress.ProgressBars())
    device = run_worker.name_device(run_worker.resolve_device(config.compute.device))
    return _work(study.create(arguments.study, settings, data, workspace, device), arguments.json)


def _resume(arguments: argparse.Namespace) -> int:
    """Go on with a run."""
    run = _find(arguments.run)
    if run.locked():
        raise RunLockedError(
            "is already being worked on", field="run", value=run.id, hint="wait for it or stop it"
        )
    return _work(run, arguments.json)


def _find(name: str) -> workspaces.Run:
    """Return the model, the study, or else the run, of that name."""
    workspace = workspaces.Workspace.from_environment()
    try:
        return models.workspace_of(workspace).find(name)
    except RunNotFoundError:
        return study.find(name, workspace)


def _work(run: workspaces.Run, as_json: bool) -> int:
    """Work on a run or a study in this process and print its results."""
    from rambo.worker import progress

    kind = "model" if models.is_model(run) else "study" if study.is_study(run) else "run"
    print(f"{kind} {run.id}", file=sys.stderr)
    bars = progress.ProgressBars()
    try:
        status = _work_on(run, bars)
    finally:
        bars.close()
    if status == "stopped":
        print(f"stopped; `python -m rambo resume {run.id}` goes on", file=sys.stderr)
        return 130
    _print_summary(run, as_json)
    return 1 if status == "failed" else 0


def _work_on(run: workspaces.Run, listener: Emit) -> str:
    """Work on a run, a study or a model, and return how it ended."""
    if models.is_model(run):
        from rambo.worker import model_worker

        return model_worker.work(run, listener)
    from rambo.worker import run_worker, study_worker

    return (study_worker if study.is_study(run) else run_worker).work(run, listener)


def _print_summary(run: workspaces.Run, as_json: bool) -> None:
    """Print the results of a run, a study or a model."""
    if models.is_model(run):
        _print_model(run, as_json)
        return
    if study.is_study(run):
        table = study.table(run)
        public, text = table.public(), to_markdown(table)
    else:
        summary = workspaces.summary(run)
        public, text = summary.public(), report.table(summary, workspaces.judges(run))
    print(json.dumps({"format": _SHOW_FORMAT, **public}) if as_json else text)


def _print_model(run: workspaces.Run, as_json: bool) -> None:
    """Print how good a model is."""
    measured = models.load_report(run)
    if as_json:
        public = (
            None if measured is None else measured.model_dump() | {"sentence": measured.sentence()}
        )
        print(json.dumps({"format": _SHOW_FORMAT, "model": run.id, "report": public}))
    elif measured is None:
        print(f"{run.id} is {run.status}")
    else:
        print(
            "\n".join([measured.words, measured.sentence(), *measured.notices, *measured.table()])
        )


def _show(arguments: argparse.Namespace) -> int:
    """Print the results of a run or a study."""
    _print_summary(_find(arguments.run), arguments.json)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    """Print all runs, newest first."""
    runs = [run.describe() for run in workspaces.Workspace.from_environment().runs()]
    if arguments.json:
        print(json.dumps([dataclasses.asdict(run) for run in runs]))
    elif not runs:
        print("no runs yet; `python -m rambo run --preset demo` makes the first")
    else:
        for run in runs:
            budgets = f"k {run.k}, B {run.budget}"
            print(f"{run.run}  {run.status:<11}  {run.dataset}  {budgets}  {run.message}".rstrip())
    return 0


def _export(arguments: argparse.Namespace) -> int:
    """Write the chosen images."""
    run = study.find(arguments.run, workspaces.Workspace.from_environment())
    if study.is_study(run):
        return _export_study(run, arguments)
    seed = arguments.seed
    if seed is not None and not seed.isdecimal():
        raise ConfigError(field="seed", value=seed, hint="use a whole number")
    result = export.write(
        run,
        arguments.format,
        Path(arguments.out),
        arguments.strategy,
        None if seed is None else int(seed),
        guesses=arguments.guesses,
        original=arguments.original,
        truth=arguments.oracle,
        image_url=arguments.image_url,
    )
    for notice in result.notices:
        print(f"rambo: {notice}", file=sys.stderr)
    print(f"wrote {result.count} images to {arguments.out}", file=sys.stderr)
    return 0


def _export_study(run: workspaces.Run, arguments: argparse.Namespace) -> int:
    """Write the table of a study."""
    writers = {"csv": to_csv, "markdown": to_markdown}
    if arguments.format not in writers:
        raise ConfigError(
            f"a study is written as {' or '.join(writers)}", field="format", value=arguments.format
        )
    export.put(Path(arguments.out), writers[arguments.format](study.table(run)).encode())
    print(f"wrote the study to {arguments.out}", file=sys.stderr)
    return 0


def _work_folder(arguments: argparse.Namespace) -> int:
    """Work on a run directory without a terminal."""
    folder = Path(arguments.folder)
    run = workspaces.Workspace(folder.absolute().parent).find(folder.name)
    from rambo.worker import progress

    if run.stop_requested() and not run.locked():  # asked for while torch was imported
        run.set_status("stopped", "stopped on request; resume it to go on")
        return 130
    status = _work_on(run, progress.LogLines())
    return {"stopped": 130, "failed": 1}.get(status, 0)


def _devices(arguments: argparse.Namespace) -> int:
    """Print the devices of this machine."""
    from rambo.worker import run_worker

    devices = run_worker.devices()
    if arguments.json:
        print(json.dumps(dataclasses.asdict(devices)))
    else:
        for kind, name in devices.names.items():
            print(f"{kind:<5} {name}{'  (auto)' if kind == devices.auto else ''}")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    """Prepare a dataset, downloading it where it has to be."""
    from rambo.datasets import catalog
    from rambo.worker import progress

    root = workspaces.Workspace.from_environment().root
    name, path = arguments.dataset, Path(arguments.dataset)
    if name not in catalog.CATALOG and path.suffix.lower() != ".npz" and path.exists():
        from rambo.collection import importing  # a folder, zip or table is a collection first

        jobs = os.cpu_count() or 1
        result = importing.import_images(root, path, importing.ImportOptions(jobs=jobs))
        name = f"collection:{result.collection.slug}"
    data = catalog.prepare(name, root, emit=progress.LogLines())
    print(f"{data.name}: {len(data.labels)} images, {data.num_classes} classes", file=sys.stderr)
    if arguments.json:
        facts = {"name": data.name, "fingerprint": data.fingerprint}
        print(json.dumps(facts | {"images": len(data.labels), "classes": data.num_classes}))
    return 0


def _import(arguments: argparse.Namespace) -> int:
    """Import images and print the health report."""
    from rambo.collection import health, importing
    from rambo.collection.looks import limits_from_environment, raised
    from rambo.worker import progress

    limits = limits_from_environment()
    if arguments.fit not in ("letterbox", "crop"):
        raise ConfigError(f"fit {configs.shorten(arguments.fit)}: use letterbox or crop")
    options = importing.ImportOptions(
        name=arguments.name,
        labels=None if arguments.labels is None else Path(arguments.labels),
        test=None if arguments.test is None else Path(arguments.test),
        validation_share=None
        if arguments.validation is None
        else _number(arguments.validation, "validation"),
        group_by=arguments.group_column,
        size=None if arguments.size is None else int(_number(arguments.size, "size")),
        fit=arguments.fit,
        jobs=os.cpu_count() or 1
        if arguments.jobs is None
        else int(_number(arguments.jobs, "jobs")),
        limits=limits if arguments.max_gb is None else raised(limits, arguments.max_gb),
    )
    bars = progress.ProgressBars()
    try:
        result = importing.import_images(
            workspaces.Workspace.from_environment().root,
            [Path(source) for source in arguments.source],
            options,
            emit=bars,
        )
    except RunCancelled:
        print("stopped; the same import goes on where it ended", file=sys.stderr)
        return 130
    finally:
        bars.close()
    name = f"collection:{result.collection.slug}"
    if arguments.json:
        measured = [dataclasses.asdict(line) for line in result.health]
        facts = {"dataset": name, "version": result.version, "new": result.new, "read": result.read}
        print(json.dumps(facts | {"changed": result.changed, "health": measured}))
        return 0
    print(health.to_text(result.health))
    words = "is" if result.changed else "is as it was:"
    print(f"\n{name} {words} version {result.version}; {result.new:,} new images", file=sys.stderr)
    print(f"`python -m rambo run --dataset {name}` chooses which to label", file=sys.stderr)
    return 0


def _number(text: str, option: str) -> float:
    """Return an option's number."""
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--{option} {configs.shorten(text)}: use a number") from None


def _collections(arguments: argparse.Namespace) -> int:
    """List the collections, or show one with its report and versions."""
    from rambo import collection as own
    from rambo.collection import health

    root = workspaces.Workspace.from_environment().root
    if arguments.collection is not None:
        chosen = own.find(root, arguments.collection.removeprefix(own.PREFIX))
        version = None if arguments.version is None else int(_number(arguments.version, "version"))
        lines = health.report(chosen.snapshot(version))
        if arguments.json:
            versions = [dataclasses.asdict(version) for version in chosen.versions()]
            print(
                json.dumps(
                    {"versions": versions, "health": [dataclasses.asdict(line) for line in lines]}
                )
            )
            return 0
        print(health.to_text(lines))
        print(
            "\n".join(f"version {version.number}: {version.note}" for version in chosen.versions())
        )
        return 0
    cards = [own.find(root, slug).card() for slug in own.slugs(root)]
    if arguments.json:
        print(json.dumps([dataclasses.asdict(card) for card in cards]))
    elif not cards:
        print("no collections yet; `python -m rambo import FOLDER` makes the first")
    for card in () if arguments.json else cards:
        print(
            f"collection:{card.slug}  version {card.version}  {card.images:,} images  {card.note}".rstrip()
        )
    return 0


def _train(arguments: argparse.Namespace) -> int:
    """Train the final classifier, print how good it is, and hand it over."""
    from rambo import collection as own
    from rambo.datasets import catalog
    from rambo.worker import progress, run_worker

    workspace = workspaces.Workspace.from_environment()
    name = f"{own.PREFIX}{arguments.collection.removeprefix(own.PREFIX)}"
    if own.parse(name) is None:
        hint = "write the name of a collection, such as pets or pets@3"
        raise ConfigError(field="collection", value=arguments.collection, hint=hint)
    out = None if arguments.out is None else Path(arguments.out)
    if out is not None and not out.is_dir():
        raise ConfigError("no such folder", field="--out", value=out, hint="make it first")
    device = run_worker.resolve_device(arguments.device)
    bars = progress.ProgressBars()
    data = catalog.prepare(name, workspace.root, emit=bars)
    bars.close()
    settings = models.settings(
        data,
        classifier=arguments.classifier,
        seed=int(_number(arguments.seed, "seed")),
        device=arguments.device,
    )
    run = models.create(settings, data, workspace, run_worker.name_device(device))
    code = _work(run, arguments.json)
    if code == 0 and out is not None:
        export.put(out / "model.zip", models.load_zip(run))
        table = run.load_table(models.PREDICTIONS)
        export.put(out / "predictions.csv", table.to_csv(index=False).encode("utf-8"))
        print(f"wrote model.zip and predictions.csv to {out}", file=sys.stderr)
        report_ = models.load_report(run)
        if report_ is not None and report_.onnx:
            print(f"ONNX: {report_.onnx}", file=sys.stderr)
    return code


def _label(arguments: argparse.Namespace) -> int:
    """Bring labels back into a collection, or take the last ones back."""
    from rambo import collection as own
    from rambo.collection import intake, limited
    from rambo.collection.readers import sources
    from rambo.datasets.disk import refusing
    from rambo.export import returns

    workspace = workspaces.Workspace.from_environment()
    chosen = own.find(workspace.root, arguments.collection.removeprefix(own.PREFIX))
    if arguments.undo is not None:
        version = None if arguments.undo == "newest" else int(_number(arguments.undo, "undo"))
        restored = intake.undo(chosen, version)
        if arguments.json:
            print(json.dumps({"version": restored}))
        print(f"collection:{chosen.slug} is version {restored}: labels taken back", file=sys.stderr)
        return 0
    if arguments.file is None:
        raise ConfigError("no file of answers", field="file", hint="give a file, or --undo")
    with refusing("table", Path(arguments.file), "save it again"):
        table = limited.call(sources.read_table, Path(arguments.file))
    asking = returns.asking_run(table, workspace)
    run = asking if arguments.run is None else workspace.find(arguments.run)
    seed = None if arguments.seed is None else int(_number(arguments.seed, "seed"))
    request = None
    if run is not None:
        request = returns.request_of(run, chosen, arguments.strategy, seed)
    preview = intake.preview(
        chosen,
        table,
        request=request,
        accept_new_classes=arguments.accept_new_classes,
        overwrite=arguments.overwrite,
    )
    number = None if arguments.dry_run else intake.take(chosen, preview)
    if arguments.json:
        facts = dataclasses.asdict(preview) | {"sentence": preview.sentence(), "stored": number}
        print(json.dumps(facts))
        return 0
    print(preview.sentence())
    print("\n".join(f"  {line}" for line in preview.details()))
    if arguments.dry_run:
        words = "nothing was changed"
    elif number is None:
        words = f"nothing to add; collection:{chosen.slug} stays version {preview.version}"
    else:
        words = (
            f"collection:{chosen.slug} is version {number}; "
            f"`python -m rambo label {chosen.slug} --undo` takes these labels back"
        )
    print(words, file=sys.stderr)
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    """Print what a run of the settings on standard input would take."""
    config = configs.build(_read_settings(sys.stdin.buffer.read(_SETTINGS_BYTES + 1)))
    workspace = workspaces.Workspace.from_environment()
    from rambo.worker import plan, progress, run_worker

    device = run_worker.resolve_device(config.compute.device)
    forecast = plan.plan(config, workspace, progress.LogLines(), device=device)
    print(json.dumps(forecast.public()))
    return 0


def _read_settings(content: bytes) -> configs.Settings:
    """Return nested settings from their JSON.

    Raises:
        ConfigError: this is something else.
    """
    if len(content) > _SETTINGS_BYTES:
        raise ConfigError(
            f"over {_SETTINGS_BYTES:,} bytes", field="settings", hint="give the JSON of one run"
        )
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigError(
            "not JSON", field="settings", hint='give some like {"k": 200, "budget": 500}'
        ) from None
    if not isinstance(settings, dict):
        raise ConfigError(
            "no group of fields", field="settings", hint='give some like {"k": 200, "budget": 500}'
        )
    return settings


_COMMANDS = {
    "app": _app,
    "run": _run,
    "rehearse": _rehearse,
    "study": _study,
    "resume": _resume,
    "list": _list,
    "show": _show,
    "export": _export,
    "work": _work_folder,
    "devices": _devices,
    "prepare": _prepare,
    "import": _import,
    "collections": _collections,
    "label": _label,
    "train": _train,
    "plan": _plan,
}


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into the same clean stop as Ctrl-C."""
    raise KeyboardInterrupt


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for; only `app` may be given options that are not ours."""
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    if others and arguments.command != "app":
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    arguments.options = others
    return arguments


def _plugins(arguments: argparse.Namespace) -> list[str]:
    """Return the files of `--plugin`, each of which brings a strategy.

    Raises:
        ConfigError: one that does not.
    """
    files: list[str] = getattr(arguments, "plugin", [])
    for name in files:
        if not Path(name).is_file():
            raise ConfigError(
                "there is no such file", field="--plugin", value=name, hint="give a .py file"
            )
        if not plugins.declared(Path(name)):
            raise ConfigError(
                "declares no strategy",
                field="--plugin",
                value=name,
                hint='write @strategy("its-name") above a function',
            )
    return files


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parse(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with plugins.using(_plugins(arguments)):
            code = _COMMANDS[arguments.command](arguments)
        sys.stdout.flush()  # here a closed pipe is handled; at exit it would be a complaint
        return code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except RamboError as error:
        _complain(error, arguments)
        wrong_input = not isinstance(error, DivergedError | StoreError)
        return 2 if wrong_input or isinstance(error, RunNotFoundError | RunLockedError) else 1
    except Exception as error:
        words = f"unforeseen {type(error).__name__}: {configs.shorten(error, 200)}"
        _complain(RamboError(words, hint=_log_trace(arguments.command)), arguments)
        return 1


def _complain(error: RamboError, arguments: argparse.Namespace) -> None:
    """Print an error, a line for each thing that is wrong; with `--json` it is JSON on standard output too."""
    for part in error.parts[:_COMPLAINTS]:
        print(f"rambo: {part}", file=sys.stderr)
    if len(error.parts) > _COMPLAINTS:
        print(f"rambo: and {len(error.parts) - _COMPLAINTS} more", file=sys.stderr)
    if getattr(arguments, "json", False):
        print(json.dumps({"error": error.to_json()}))


def _log_trace(command: str) -> str:
    """Append the current traceback to the workspace's log and say where."""
    log = workspaces.Workspace.from_environment().root / "errors.log"
    try:
        if command != "work":  # a worker whose workspace is gone does not make it again
            files.make_folder(log.parent)
        with log.open("a") as file:
            traceback.print_exc(file=file)
    except OSError:
        return "the details could not be logged"
    return "details are in errors.log of the workspace"


if __name__ == "__main__":
    sys.exit(main())
