"""Rounds: what each one cost and brought, and the next one with the same settings."""

import argparse
import copy
import dataclasses
import json
import sys

from rambo import collection as own
from rambo import config as configs
from rambo.collection.answers import Answers
from rambo.commands import sharing, working
from rambo.commands.settings import HELP, number
from rambo.errors import ConfigError
from rambo.export import ledger, returns
from rambo.export.ledger import Ledger
from rambo.runs import workspace as workspaces
from rambo.text import duration


def add_ledger(parser: argparse.ArgumentParser) -> None:
    """Give `ledger` its options."""
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument("--price", metavar="AMOUNT", help="note what a label costs; with --run")
    parser.add_argument(
        "--run", metavar="RUN", help="the round that the price is of; default: the newest"
    )
    parser.add_argument("--currency", help="of the price, such as EUR")
    parser.add_argument("--json", action="store_true", help="print JSON, errors too")


def add_next(parser: argparse.ArgumentParser) -> None:
    """Give `next` its options."""
    parser.add_argument("run", metavar="RUN", help="the round before")
    parser.add_argument("--budget", help=HELP["budget"])


def print_ledger(arguments: argparse.Namespace) -> int:
    """Print what each round asked, cost and brought; note a price first where one is given."""
    workspace = workspaces.Workspace.from_environment()
    collection = own.find(workspace.root, arguments.collection.removeprefix(own.PREFIX))
    if arguments.price is not None:
        runs = ledger.runs_of(workspace, collection, [])
        if not runs:
            raise ConfigError(
                "no round yet", field="--price", value=arguments.price, hint="choose a batch first"
            )
        run = runs[-1] if arguments.run is None else workspace.find(arguments.run)
        currency = arguments.currency or collection.prices().currency
        collection.set_price(run.id, number(arguments.price, "price"), currency)
        more = f"{arguments.price} {currency} a label in {run.id}"
        sharing.note("edit", collection.slug, more)
    book = ledger.read(workspace, collection)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(book)))
        return 0
    for notice in book.notices:
        print(f"rambo: {notice}", file=sys.stderr)
    print("\n".join(_lines(book)))
    return 0


def next_round(arguments: argparse.Namespace) -> int:
    """Choose the next batch with the settings of a run, on the newest version of its collection."""
    workspace = workspaces.Workspace.from_environment()
    before = workspace.find(arguments.run)
    origin = returns.collection_of(before)
    if origin is None:
        raise ConfigError(
            "chose from a dataset that knows every label",
            field="run",
            value=before.id,
            hint="name a run on a collection",
        )
    collection = own.find(workspace.root, origin[0])
    version = Answers(collection, before.id).take()
    if version is not None:
        sharing.note("label", f"{collection.slug}@{version}")
        words = f"the answers of the page Label are labels now: collection:{collection.slug} is version {version}"
        print(words, file=sys.stderr)
    settings = copy.deepcopy(before.config)
    configs.assign(settings, "dataset.name", f"{own.PREFIX}{collection.slug}")
    if arguments.budget is not None:
        configs.assign(settings, "budget", arguments.budget)
    config = configs.build(settings)
    from rambo.worker import progress, run_worker  # torch: only where something is trained

    run = run_worker.start(config, workspace, progress.ProgressBars())
    return working.work(run, arguments.json)


def _lines(book: Ledger) -> list[str]:
    """Return a ledger as lines of text."""
    lines = []
    for entry in book.rounds:
        parts = [
            f"round {entry.number}: {entry.run}",
            f"{entry.strategy} ({entry.settings})",
            f"{entry.labels} of {len(entry.images)} labels back",
        ]
        if entry.others:
            parts.append(f"{entry.others} skipped or unsure")
        if entry.seconds is not None:
            parts.append(f"{duration(entry.seconds)} at the keyboard")
        if entry.cost is not None:
            parts.append(f"cost {entry.cost:,.2f} {book.currency}".strip())
        lines.append("; ".join(parts))
    for milestone in book.milestones:
        parts = [
            f"version {milestone.version}: {milestone.labels} labels, {milestone.bought} of them bought"
        ]
        if milestone.cost is not None:
            parts.append(f"cost {milestone.cost:,.2f} {book.currency}".strip())
        if milestone.accuracy is None:
            parts.append("nobody knows how good the model is")
        else:
            error = 100 * (milestone.error or 0.0)
            judge = f"{milestone.judges} images, {milestone.judged}"
            accuracy = f"{100 * milestone.accuracy:.1f} %"
            parts.append(f"accuracy {accuracy}, standard error {error:.1f} points ({judge})")
        if milestone.gain is not None and milestone.gain_error is not None:
            parts.append(
                f"gain {100 * milestone.gain:+.1f} points, standard error {100 * milestone.gain_error:.1f}"
            )
        lines.append("; ".join(parts))
    if not book.rounds:
        lines.append(
            "no round yet: `python -m rambo run --dataset collection:NAME` chooses a batch"
        )
    if not book.milestones:
        lines.append(
            "no final model yet: `python -m rambo train NAME` says what the labels brought"
        )
    return lines
