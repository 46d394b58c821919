"""The command line: which commands there are, their options put together, and what an error does to the exit code.

Exit 0 when done, 1 when the work failed, 2 when the input is wrong, 130 when stopped; never a traceback.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rambo import plugins
from rambo.commands import collections, machine, rounds, runs, settings, sharing, studies
from rambo.errors import (
    ConfigError,
    DivergedError,
    RamboError,
    RunLockedError,
    RunNotFoundError,
    StoreError,
    shorten,
)
from rambo.runs import workspace as workspaces
from rambo.runs.environment import VERSION
from rambo.storage import files

_COMPLAINTS = 8  # that are printed


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with one line."""
        message = shorten(message, 300)  # it may repeat what was typed
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. Numbers stay text here: the config checks and explains them."""
    parser = _Parser(prog="python -m rambo", description="One-round active learning with RAMBO.")
    parser.add_argument("--version", action="version", version=f"rambo {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    app = commands.add_parser("app", help="open the app; further options go to `streamlit run`")
    machine.add_app(app)
    run = commands.add_parser("run", help="choose, evaluate, and print the results")
    studying = commands.add_parser(
        "study", help="a grid of runs, as the paper's tables and figures need them"
    )
    studying.add_argument("study", metavar="NAME", nargs="?", help="none: list the studies")
    for sub in (run, studying):
        settings.add_settings(sub)
    rehearse = commands.add_parser(
        "rehearse", help="see on your own labeled images which strategy wins, before you pay"
    )
    rehearse.add_argument("dataset", metavar="DATASET", help="such as collection:my-photos")
    settings.add_settings(rehearse, without=("dataset", "k"))
    resume = commands.add_parser("resume", help="go on with a stopped, failed or interrupted run")
    show = commands.add_parser("show", help="print the results of a run")
    export_ = commands.add_parser("export", help="write the chosen images of a run")
    for sub in (resume, show, export_):
        sub.add_argument("run", metavar="RUN")
    runs.add_export(export_)
    runs.add_travel(
        commands.add_parser("pack", help="write a whole run as one file, for another machine"),
        commands.add_parser("unpack", help="let a run that `pack` wrote join this workspace"),
    )
    listing = commands.add_parser("list", help="list all runs, newest first")
    devices = commands.add_parser("devices", help="list the devices that can train")
    prepare = commands.add_parser(
        "prepare", help="make a dataset ready, as the first run on it does"
    )
    prepare.add_argument("dataset", metavar="DATASET", help=settings.HELP["dataset"])
    collections.add_import(
        commands.add_parser("import", help="make a collection of your own images, or let it grow")
    )
    own = commands.add_parser("collections", help="list your collections, or show one of them")
    own.add_argument("collection", metavar="NAME", nargs="?")
    own.add_argument("--version", metavar="N", help="of that collection; default: the newest")
    own.add_argument("--json", action="store_true", help="print JSON")
    collections.add_train(
        commands.add_parser(
            "train", help="train the final classifier on all labels of a collection"
        )
    )
    collections.add_label(commands.add_parser("label", help="bring labels back into a collection"))
    rounds.add_ledger(
        commands.add_parser(
            "ledger", help="print what each round cost, and what its labels brought"
        )
    )
    following = commands.add_parser(
        "next", help="choose the next batch of a collection, with the settings of a run"
    )
    rounds.add_next(following)
    plan = commands.add_parser(
        "plan", help="print what a run would take; its settings as JSON on standard input"
    )
    log = commands.add_parser("audit", help="print who started, stopped, deleted, labeled what")
    for sub in (app, run, rehearse, studying, resume, following, plan):
        sub.add_argument(
            "--plugin",
            action="append",
            default=[],
            metavar="FILE.py",
            help="a file with strategies of your own; may be given again",
        )
    reading = (show, listing, devices, prepare, plan, log)
    for sub in (run, rehearse, studying, resume, following, *reading):
        sub.add_argument("--json", action="store_true", help="print JSON, errors too")
    work = commands.add_parser("work", help="work on a run directory, as the app's worker does")
    work.add_argument("folder", metavar="RUN_DIR")
    work.add_argument("--launch", type=float, help=argparse.SUPPRESS)  # of which it is the worker
    return parser


_COMMANDS = {
    "app": machine.app,
    "run": runs.run,
    "rehearse": runs.rehearse,
    "study": studies.study,
    "resume": runs.resume,
    "list": runs.list_runs,
    "show": runs.show,
    "export": runs.export_choice,
    "pack": runs.pack,
    "unpack": runs.unpack,
    "work": runs.work,
    "devices": machine.devices,
    "prepare": machine.prepare,
    "import": collections.import_images,
    "collections": collections.collections,
    "label": collections.label,
    "train": collections.train,
    "ledger": rounds.print_ledger,
    "next": rounds.next_round,
    "plan": machine.plan,
    "audit": sharing.print_audit,
}


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into the same clean stop as Ctrl-C."""
    raise KeyboardInterrupt


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for; only `app` may be given options that are not ours."""
    parser = make_parser()
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
        unforeseen = RamboError(
            shorten(error, 200),
            field=f"unforeseen {type(error).__name__}",
            hint=_log_trace(arguments.command),
        )
        _complain(unforeseen, arguments)
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
        with files.appending(log) as file:
            file.write(traceback.format_exc().encode("utf-8", "backslashreplace"))
    except OSError:
        return "the details could not be logged"
    return "details are in errors.log of the workspace"
