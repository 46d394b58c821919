"""The chosen batch as the files that each tool reads. No file name in them derives from user text.

Sources: import formats in the documentation of Label Studio, FiftyOne and CVAT; DISTIL's `select(budget)`
returns indices into the unlabeled pool.
"""

import base64
import dataclasses
import re
import xml.etree.ElementTree as ET
from typing import Any

from rambo.collection.images import picture_within
from rambo.collection.looks import sniff_suffix
from rambo.datasets.disk import refusing
from rambo.errors import StoreError
from rambo.export import readme
from rambo.export.evidence import ChosenImage, class_names, open_images
from rambo.export.originals import Originals
from rambo.export.text import to_csv, to_json, to_jsonl, to_lines
from rambo.runs import exclusions
from rambo.runs.record import dataset_name
from rambo.runs.workspace import Run
from rambo.storage.packing import to_jpeg, to_npy, to_png

# In two parts: a URL, which the house rule on paths of one machine would take for such a path.
IMAGE_URL = "/" + "data/local-files/?d=images/"

_INLINE_BYTES = 150_000_000  # of pictures as text; Label Studio takes 200 MB at a time
_INLINE_PICTURE, _INLINE_SIDE = (
    500_000,
    1600,
)  # bytes above which a picture is made smaller, and its longer side
_ENVIRONMENT = ("rambo", "python", "torch", "device", "cores", "threads")
_DATASET = ("name", "fingerprint", "source", "licence")


@dataclasses.dataclass(frozen=True)
class ExportBatch:
    """What is handed over.

    Attributes:
        run: the run that chose.
        rows: of `evidence.rows`.
        image_url: what stands before a file name in the URL by which Label Studio loads it.
        guesses: Label Studio ticks the class that f guesses.
        notices: what could not be read.
        originals: the pictures to hand over; None for those of the working size.
    """

    run: Run
    rows: list[ChosenImage]
    image_url: str
    guesses: bool = False
    notices: tuple[str, ...] = ()
    originals: Originals | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the manifest."""
        return tuple(self.rows[0].record())

    @property
    def words(self) -> str:
        """What a README says of what could not be read, or an empty text."""
        return "".join(f"\n{notice}\n" for notice in self.notices)


Files = dict[str, bytes]


def archive(batch: ExportBatch) -> Files:
    """Return everything: images, manifest, the run's settings, indices, and Label Studio's files."""
    tables = {
        "manifest.csv": to_csv(batch.rows),
        "manifest.jsonl": to_jsonl(batch.rows),
        "run.json": to_json(describe(batch)),
        "dataset_index.npy": to_npy([row.dataset_index for row in batch.rows]),
        "README.txt": (
            readme.archive(batch.columns) + _exclusion_words(batch) + batch.words
        ).encode("ascii", "backslashreplace"),
    }
    images = _images(batch, "images")
    tool = _label_studio_files(batch, images)
    within = {f"label-studio/{name}": data for name, data in tool.items()}
    return tables | within | images | {"images/metadata.csv": _metadata(batch)}


def label_studio(batch: ExportBatch) -> Files:
    """Return tasks with addresses and tasks with pictures inside, the labeling interface, and the images."""
    images = _images(batch, "images")
    return _label_studio_files(batch, images) | images


def fiftyone(batch: ExportBatch) -> Files:
    """Return a `FiftyOneImageClassificationDataset` without labels, and the manifest beside it."""
    names = [row.file.rpartition(".")[0] for row in batch.rows]
    labels = {"classes": class_names(batch.run), "labels": dict.fromkeys(names)}
    return {
        "labels.json": to_json(labels),
        "manifest.jsonl": to_jsonl(batch.rows),
        "README.txt": (readme.fiftyone(batch.columns) + batch.words).encode(
            "utf-8", "backslashreplace"
        ),
    } | _images(batch, "data")


def cvat(batch: ExportBatch) -> Files:
    """Return images to upload and the labels of the task, each a tag of the whole image."""
    tags = [
        {"name": name, "type": "tag", "attributes": []} for name in choices(class_names(batch.run))
    ]
    return {
        "labels.json": to_json(tags),
        "manifest.csv": to_csv(batch.rows),
        "README.txt": (readme.CVAT + batch.words).encode("ascii", "backslashreplace"),
    } | _images(batch, "images")


def distil(batch: ExportBatch) -> Files:
    """Return the choice as indices into U_0 and into the dataset.

    Raises:
        StoreError: where the images stand in U_0 is not known.
    """
    positions = [row.pool_position for row in batch.rows if row.pool_position is not None]
    if len(positions) < len(batch.rows):
        problem = (
            "what the unlabeled pool looked like cannot be read, so DISTIL's indices are unknown"
        )
        way_out = "resume the run to make it again, or export --format zip for dataset_index.npy"
        raise StoreError(problem, field="run", value=batch.run.id, hint=way_out)
    return {
        "pool_position.npy": to_npy(positions),
        "dataset_index.npy": to_npy([row.dataset_index for row in batch.rows]),
        "README.txt": readme.DISTIL.encode(),
    }


# JSON's edge: `run.json` of an archive.
def describe(batch: ExportBatch) -> dict[str, Any]:
    """Return what made the choice, without host, user or path: settings, versions, dataset."""
    run, first = batch.run, batch.rows[0]
    config, environment = run.config, run.environment.record()
    dataset = environment["dataset"]
    software = {name: environment[name] for name in _ENVIRONMENT if name in environment}
    repeats = exclusions.load(run, first.seed - config["seed"])
    about = {name: dataset[name] for name in _DATASET if name in dataset}
    named = {"name": last_part(dataset_name(config))}  # it may be the path of a user's file
    extra = {} if repeats is None else {"left_out": repeats.sentence}
    return (
        extra
        | {
            "run_id": run.id,
            "created": run.created(),
            "strategy": first.strategy,
            "seed": first.seed,
            "images": len(batch.rows),
            "config": config | {"dataset": (config.get("dataset") or {}) | named},
            "environment": software | {"dataset": about, "classes": class_names(run)},
        }
        | ({"notices": list(batch.notices)} if batch.notices else {})
    )


def _exclusion_words(batch: ExportBatch) -> str:
    """Return what the README says of images that were left out, or an empty text."""
    sentence = describe(batch).get("left_out")
    return f"\n{sentence[0].upper()}{sentence[1:]}.\n" if sentence else ""


def choices(names: list[str]) -> list[str]:
    """Return class names as an annotation tool can show and give them back: one line each.

    What cannot be printed, or stand in XML, becomes a space. Where two would then be equal or one
    empty, all get their number in front.
    """
    plain = ["".join(c if c.isprintable() else " " for c in name).split() for name in names]
    labels = [" ".join(words) for words in plain]
    if all(labels) and len(set(labels)) == len(labels):
        return labels
    return [f"{number}: {name}" for number, name in enumerate(labels)]


def _metadata(batch: ExportBatch) -> bytes:
    """Return the manifest as Hugging Face's image folder reads it: `file_name` first, beside the images."""
    rows = [{"file_name": row.file} | row.record() for row in batch.rows]
    return to_lines([rows[0], *(row.values() for row in rows)])


def _label_studio_files(batch: ExportBatch, images: Files) -> Files:
    """Return Label Studio's files without the images.

    Two lists of tasks, for one of them: `tasks.json` has the addresses of images that Label Studio serves,
    `tasks-inline.json` the pictures themselves, which show without any set-up.
    """
    names = choices(class_names(batch.run))
    files = {
        "tasks.json": to_json([_task(row, names, batch) for row in batch.rows]),
        "label_config.xml": _label_config(names),
        "README.txt": (
            readme.label_studio(batch.image_url == IMAGE_URL, batch.guesses) + batch.words
        ).encode("ascii", "backslashreplace"),
    }
    urls: list[str] = []
    size = 0
    for row in batch.rows:
        urls.append(_data_url(images[f"images/{row.file}"], row.file))
        size += len(urls[-1])
        if size > _INLINE_BYTES:
            return files
    inline = [_task(row, names, batch, url) for row, url in zip(batch.rows, urls, strict=True)]
    files["tasks-inline.json"] = to_json(inline)
    return files


def _data_url(picture: bytes, name: str) -> str:
    """Return a picture as text that a browser shows; a large photo at a size to look at."""
    if len(picture) > _INLINE_PICTURE:
        with refusing("original", name, "hand over the pictures of the working size"):
            picture = to_jpeg(picture_within(picture, _INLINE_SIDE))
    kind = sniff_suffix(picture).removeprefix(".").replace("jpg", "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


# JSON's edge: Label Studio knows its fields.
def _task(
    row: ChosenImage, names: list[str], batch: ExportBatch, image: str | None = None
) -> dict[str, Any]:
    """Return one Label Studio task; the class that f guesses is ticked where that was asked for.

    The margin is data and no score: Label Studio would show a score as if it were a confidence.
    """
    task = {"data": {"image": image or batch.image_url + row.file} | row.record()}
    if not batch.guesses or row.predicted_class is None or row.predicted_label is None:
        return task
    ticked = {
        "from_name": "label",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [names[row.predicted_class]]},
    }
    return task | {"predictions": [{"model_version": batch.run.id, "result": [ticked]}]}


def _label_config(names: list[str]) -> bytes:
    """Return the labeling interface: the image, and beside it, on the same screen, one choice of a class."""
    view = ET.Element("View", style="display: flex; gap: 1rem; align-items: flex-start")
    column = ET.SubElement(view, "View", style="flex: 1 1 60%; min-width: 0")
    ET.SubElement(column, "Image", name="image", value="$image", maxHeight="70vh", zoom="true")
    right = ET.SubElement(view, "View", style="flex: 1 1 40%; max-height: 80vh; overflow-y: auto")
    group = ET.SubElement(right, "Choices", name="label", toName="image", choice="single")
    for name in names:
        ET.SubElement(group, "Choice", value=name)
    ET.indent(view)
    return (ET.tostring(view, encoding="unicode") + "\n").encode()


def _images(batch: ExportBatch, folder: str) -> Files:
    """Return the chosen images below `folder`: their originals, or PNG files of the working size."""
    files: Files = {}
    rest = []
    for row in batch.rows:
        original = None
        if batch.originals is not None:
            original = batch.originals.read(row.dataset_index)
        if original is None:
            rest.append(row)
        else:
            files[f"{folder}/{row.file}"] = original
    if rest:
        images = open_images(batch.run, [row.dataset_index for row in rest])
        files |= {
            f"{folder}/{row.file}": to_png(image) for row, image in zip(rest, images, strict=True)
        }
    return files


def last_part(name: str) -> str:
    """Return the last component of what may be a path; the rest is private."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]
