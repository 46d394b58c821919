"""A person's own images: import them, list them, bring labels back, train the final classifier."""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from rambo import export
from rambo.collection.splits import DEFAULT_SHARE
from rambo.commands import sharing, working
from rambo.commands.settings import HELP, number
from rambo.errors import ConfigError, RunCancelled
from rambo.runs import imports, models
from rambo.runs import workspace as workspaces


def add_import(parser: argparse.ArgumentParser) -> None:
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


def add_label(parser: argparse.ArgumentParser) -> None:
    """Give `label` its options."""
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="answers: a CSV, JSON lines, Label Studio's JSON export, or CVAT's annotations.xml",
    )
    parser.add_argument(
        "--run", metavar="RUN", help="the run whose batch was labeled, where the file does not tell"
    )
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


def add_train(parser: argparse.ArgumentParser) -> None:
    """Give `train` its options."""
    parser.add_argument("collection", metavar="COLLECTION", help="its name, or NAME@VERSION")
    parser.add_argument(
        "--classifier",
        default="auto",
        help="auto, logistic (on frozen features), mnistnet or resnet18",
    )
    parser.add_argument("--device", default="auto", help=HELP["device"])
    parser.add_argument("--seed", default="0", help="of the weights and the order")
    parser.add_argument(
        "--all-labels",
        action="store_true",
        help="train it once more, on the validation labels too, when these have judged it",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where to put model.zip and predictions.csv"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, errors too")


def import_images(arguments: argparse.Namespace) -> int:
    """Import images and print the health report."""
    from rambo.collection import health, importing
    from rambo.collection.looks import limits_from_environment, raised
    from rambo.worker import progress

    limits = limits_from_environment()
    if arguments.fit not in ("letterbox", "crop"):
        raise ConfigError(field="fit", value=arguments.fit, hint="use letterbox or crop")
    options = importing.ImportOptions(
        name=arguments.name,
        labels=None if arguments.labels is None else Path(arguments.labels),
        test=None if arguments.test is None else Path(arguments.test),
        validation_share=None
        if arguments.validation is None
        else number(arguments.validation, "validation"),
        group_by=arguments.group_column,
        size=None if arguments.size is None else int(number(arguments.size, "size")),
        fit=arguments.fit,
        jobs=os.cpu_count() or 1 if arguments.jobs is None else int(number(arguments.jobs, "jobs")),
        limits=limits if arguments.max_gb is None else raised(limits, arguments.max_gb),
    )
    bars = progress.ProgressBars()
    root = workspaces.Workspace.from_environment().root
    try:
        result = importing.import_images(
            root,
            [Path(source) for source in arguments.source],
            options,
            emit=bars,
        )
    except RunCancelled:
        print("stopped; the same import goes on where it ended", file=sys.stderr)
        return 130
    finally:
        bars.close()
    imports.release(root, [*arguments.source, arguments.labels, arguments.test])
    name = f"collection:{result.collection.slug}"
    if result.changed:
        sharing.note("import", f"{result.collection.slug}@{result.version}")
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


def collections(arguments: argparse.Namespace) -> int:
    """List the collections, or show one with its report and versions."""
    from rambo import collection as own
    from rambo.collection import health

    root = workspaces.Workspace.from_environment().root
    if arguments.collection is not None:
        chosen = own.find(root, arguments.collection.removeprefix(own.PREFIX))
        version = None if arguments.version is None else int(number(arguments.version, "version"))
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


def label(arguments: argparse.Namespace) -> int:
    """Bring labels back into a collection, or take the last ones back."""
    from rambo import collection as own
    from rambo.collection import intake, limited
    from rambo.collection.readers import sources
    from rambo.datasets.disk import refusing
    from rambo.export import returns

    workspace = workspaces.Workspace.from_environment()
    chosen = own.find(workspace.root, arguments.collection.removeprefix(own.PREFIX))
    if arguments.undo is not None:
        version = None if arguments.undo == "newest" else int(number(arguments.undo, "undo"))
        restored = intake.undo(chosen, version)
        sharing.note("label", f"{chosen.slug}@{restored}", "took labels back")
        if arguments.json:
            print(json.dumps({"version": restored}))
        print(f"collection:{chosen.slug} is version {restored}: labels taken back", file=sys.stderr)
        return 0
    if arguments.file is None:
        raise ConfigError("no file of answers", field="file", hint="give a file, or --undo")
    with refusing("table", Path(arguments.file), "save it again"):
        table = limited.call(sources.read_table, Path(arguments.file))
    run = None if arguments.run is None else workspace.find(arguments.run)
    asking = returns.asking(table, workspace, chosen, run)
    seed = None if arguments.seed is None else int(number(arguments.seed, "seed"))
    request = None
    if asking is not None:
        strategy = arguments.strategy or asking.strategy or None
        request = returns.request_of(asking.run, chosen, strategy, seed)
        if asking.guessed:
            words = f"its files are those that {strategy} of run {asking.run.id} asked for"
            print(f"rambo: {words}, and of no other batch", file=sys.stderr)
    preview = intake.preview(
        chosen,
        table,
        request=request,
        accept_new_classes=arguments.accept_new_classes,
        overwrite=arguments.overwrite,
    )
    stored = None if arguments.dry_run else intake.take(chosen, preview)
    if stored is not None:
        sharing.note("label", f"{chosen.slug}@{stored}", preview.source)
    if arguments.json:
        facts = dataclasses.asdict(preview) | {"sentence": preview.sentence(), "stored": stored}
        print(json.dumps(facts))
        return 0
    print(preview.sentence())
    print("\n".join(f"  {line}" for line in preview.details()))
    if arguments.dry_run:
        words = "nothing was changed"
    elif stored is None:
        words = f"nothing to add; collection:{chosen.slug} stays version {preview.version}"
    else:
        words = (
            f"collection:{chosen.slug} is version {stored}; "
            f"`python -m rambo label {chosen.slug} --undo` takes these labels back"
        )
    print(words, file=sys.stderr)
    return 0


def train(arguments: argparse.Namespace) -> int:
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
        seed=int(number(arguments.seed, "seed")),
        device=arguments.device,
        all_labels=arguments.all_labels,
    )
    run = models.create(settings, data, workspace, run_worker.name_device(device))
    code = working.work(run, arguments.json)
    if code == 0 and out is not None:
        export.put(out / "model.zip", models.load_zip(run))
        table = run.load_table(models.PREDICTIONS)
        export.put(out / "predictions.csv", table.to_csv(index=False).encode("utf-8"))
        sharing.note_export(run.id, "the model and predictions")
        print(f"wrote model.zip and predictions.csv to {out}", file=sys.stderr)
        judged = models.load_report(run)
        if judged is not None and judged.onnx:
            print(f"ONNX: {judged.onnx}", file=sys.stderr)
    return code
