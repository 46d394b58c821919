"""One bit of one file of a workspace is another one: what is read then is the same, or something is said."""

import io
import random
import zipfile
from pathlib import Path

import kills
import store
from collection_helpers import picture
from common import Tally, apart, forked, scratch

from rambo import collection as own
from rambo import export
from rambo.collection.answers import Answer, Answers
from rambo.collection.importing import ImportOptions, import_images
from rambo.errors import RamboError
from rambo.runs import audit, edits, models, notes
from rambo.runs.workspace import Workspace, summary

ZIPPED = "zipped"


def run(limit: int, seed: int) -> list[Tally]:
    """Return what came of so many flipped bits, spread over all files of a workspace."""
    tally = Tally(
        "one bit of one file is flipped, over every file of a workspace",
        "the same answer, or words",
    )
    draw = random.Random(seed)
    with scratch() as folder:
        kills._done(folder)
        root = store.prepare(folder)
        for name in ("edit", "memo", "audit", "import", "label"):
            _step(root, name)
        apart(_zipped, root)
        apart(_words_of_people, root)
        right = answers(root)
        files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
        tally.fault += f" ({len(files)} files)"
        for number in range(limit):
            file = files[number % len(files)]
            whole = file.read_bytes()
            at = draw.randrange(8 * len(whole))
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            file.write_bytes(flipped)
            others = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
            name = f"{file.relative_to(root)}, bit {at}"
            tally.check(name, _read, root, right)
            file.write_bytes(whole)
            for path, data in others.items():  # readers heal some: begin from the same again
                if path != file and (not path.exists() or path.read_bytes() != data):
                    path.write_bytes(data)
            for path in [path for path in root.rglob("*") if path.is_file() and path not in others]:
                path.unlink()
    return [tally]


def _step(root: Path, name: str) -> None:
    if name == "edit":
        run = Workspace(root).runs()[0]
        edits.save(run, 0, "margin", edits.EditedBatch().limited([1], [1, 2], [0, 0]))
    else:
        apart(store.STEPS[name], root)


def _zipped(root: Path) -> None:
    """Import the photos as a zip too, whose files the collection keeps, with two that are nearly the same."""
    archive = root.parent / "zipped.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((root.parent / "pets").rglob("*.png")):
            file.write(path, path.relative_to(root.parent / "pets"))
        twin = io.BytesIO()
        picture(0, (48, 40)).save(twin, "PNG")
        file.writestr("unlabeled/twin.png", twin.getvalue())
    import_images(root, [archive], ImportOptions(jobs=1, name=ZIPPED))
    own.find(root, ZIPPED).set_price("round-1", 0.5, "EUR")


def _words_of_people(root: Path) -> None:
    """Write what people say, and what a final training leaves behind."""
    answers_of = Answers(own.find(root, ZIPPED), "round-1")
    answers_of.add([Answer(f"t{number}", number, "label", "cat") for number in range(6)])
    run = Workspace(root).runs()[0]
    notes.save(run, 1, notes.ImageNote(), notes.ImageNote(("blurred",), "look again"))
    model = models.workspace_of(Workspace(root)).create(dict(run.config), run.environment)
    score = models.Score(correct=9, count=12)
    models.save_report(
        model,
        models.Report(
            classifier="logistic", words="a head", dataset="pets@1", labeled=4, test=score
        ),
    )
    models.save_zip(model, bytes(range(256)) * 4)
    model.set_status("done")


def _zipped_collection(root: Path) -> object:
    """Return all that is read of the collection that came as a zip."""
    collection = own.find(root, ZIPPED)
    now = collection.snapshot()
    facts = (collection.name, collection.frame, collection.validation_share, collection.prices())
    originals = [collection.original(number) for number in now.numbers.tolist()]
    pixels = [part.tobytes() for part in collection.pictures(now.numbers.tolist())]
    return str(facts), now.clusters.tolist(), str(now.entries), originals, pixels


def _model(root: Path) -> object:
    """Return what is read of the final model."""
    (model,) = models.workspace_of(Workspace(root)).runs()
    report = models.load_report(model)
    return (
        model.status,
        None if report is None else report.model_dump_json(),
        models.load_zip(model),
    )


def answers(root: Path) -> dict[str, object]:
    """Return everything that is read of a workspace, or that it was refused."""
    run = Workspace(root).runs()[0]
    parts = {
        "summary": lambda: (summary(run).public(), []),
        "config": lambda: (run.config, []),
        "events": lambda: ([str(entry) for entry in run.events()], []),
        "memo": lambda: (_memo(root), []),
        "audit": lambda: (str(audit.read(root)[0]), audit.read(root)[1]),
        "collection": lambda: (kills._collection(root.parent), []),
        "zipped": lambda: (_zipped_collection(root), []),
        "answers": lambda: (str(Answers(own.find(root, ZIPPED), "round-1").log()), []),
        "model": lambda: (_model(root), []),
        "notes": lambda: (str(notes.load(run)), []),
        "versions": lambda: (str(own.find(root, "pets").versions()), []),
        "atlas": lambda: (_arrays(run.load_arrays("trial-0/atlas")), []),
    }
    for name in ("csv", "zip", "label-studio", "distil"):
        for strategy in ("rambo", "margin"):
            parts[f"{name} {strategy}"] = lambda name=name, strategy=strategy: _export(
                run, name, strategy
            )
    answers_now: dict[str, object] = {}
    for name, read in parts.items():
        try:
            answers_now[name] = read()
        except RamboError:
            answers_now[name] = "refused"
    return answers_now


def _arrays(arrays: dict) -> list:
    return [(name, array.shape, array.tobytes()) for name, array in sorted(arrays.items())]


def _memo(root: Path) -> object:
    row = Workspace(root).memo().get(store.KEY)
    return None if row is None else (row[0], {name: part.tolist() for name, part in row[1].items()})


def _export(run: object, name: str, strategy: str) -> tuple[object, object]:
    file = export.build(run, name, strategy, 0)  # type: ignore[arg-type]
    return file.data, list(file.notices)


def _read(root: Path, right: dict[str, object]) -> str | None:
    """Return which answer changed without a word."""

    def check() -> str | None:
        now = answers(root)
        for name, value in now.items():
            if value == right[name] or value == "refused":
                continue
            if name == "memo" and value == (None, []):  # computed again
                continue
            if isinstance(value, tuple) and value[1]:  # it says so
                continue
            return f"{name} changed in silence"
        return None

    code, words = forked(check, 120)
    return words or f"exit {code}" if code else None
