"""The catalog: every dataset that can be prepared by its name, `.npz` files by their path, and collections.

Nothing half loaded gets through: official files are checked against their published hashes, and a
prepared copy is read to the last byte before it is used again.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rambo.collection import collection as own
from rambo.datasets import collections, idx, in_memory, prepared, rehearsal, vision_sets
from rambo.datasets.archive import RECIPE as ARCHIVE_RECIPE
from rambo.datasets.archive import archive_name, prepare_archive
from rambo.datasets.disk import file_hash, is_file, refusing
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Prepared
from rambo.datasets.splits import Arrays
from rambo.errors import DataError, shorten
from rambo.events import Emit, Noticed, ignore
from rambo.storage import places
from rambo.text import perhaps

SHIPPED = places.shipped_data() / "fashion-mnist"
RECIPE = 1  # part of every origin: raise it when a reader starts to give other arrays


@dataclasses.dataclass(frozen=True)
class CatalogEntry:
    """A dataset known by name.

    Attributes:
        folder: where its official files lie below the data root; absolute if they are shipped.
        files: their official names.
        classes: the class names in the order of the labels.
        mean: channel means of images / 255 that are customary for it.
        std: channel standard deviations that are customary for it.
        source: who made it.
        licence: what its makers allow.
        read: returns its arrays from the folder of its files.
    """

    folder: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    licence: str
    read: Callable[[Path], Arrays]


def default_root() -> Path:
    """Return the folder of downloaded files: RAMBO_DATA, else the project's own or the user's cache."""
    return places.downloads()


def origin_of(
    name: str, data_root: Path | None = None, *, workspace: Path | None = None
) -> str | None:
    """Return the key by which `prepared.find` knows what `name` stands for, or None: no such dataset or file.

    Reads a whole `.npz` file, which is known by its content. Collections lie in the workspace.
    """
    if name.startswith(rehearsal.PREFIX):
        inner = origin_of(name.removeprefix(rehearsal.PREFIX), data_root, workspace=workspace)
        folder = None if inner is None or workspace is None else prepared.find(workspace, inner)
        return None if folder is None else rehearsal.origin_of(folder.name)
    if name.startswith(own.PREFIX):
        return None if workspace is None else collections.origin_of(name, workspace)
    if name.startswith(in_memory.PREFIX):
        return in_memory.origin_of(name)
    root = default_root() if data_root is None else data_root
    try:
        return f"{name}/{RECIPE}" if name in CATALOG else _archive_origin(_locate(name, root))
    except (DataError, ValueError):
        return None


def prepare(
    name: str, workspace: Path, *, data_root: Path | None = None, emit: Emit = ignore
) -> Prepared:
    """Return the dataset `name`, prepared below `workspace` if it is not there yet.

    Args:
        name: a key of `CATALOG`, a collection such as `collection:pets` or `collection:pets@3` (at
            version 3), `rehearsal:` and one of the others, `arrays:` and what Python gave, or the path of
            an `.npz` file, relative to the working folder or to the data root, with `images` and `labels`,
            or with `train_images`, `train_labels`, `test_images` and `test_labels`.
        workspace: folder of all runs.
        data_root: where official files are looked for and downloaded to; see `default_root`.
        emit: told when a damaged copy is made again, and of classes nobody can choose.

    Raises:
        DataError: the name is unknown, or its files are missing, damaged or of the wrong form.
        StoreError: the workspace cannot be written.
    """
    root = default_root() if data_root is None else data_root
    make: Callable[[Path, str], Prepared]
    inner = name.removeprefix(rehearsal.PREFIX)
    if inner != name and not inner.startswith(rehearsal.PREFIX):
        data = prepare(inner, workspace, data_root=data_root, emit=emit)
        return rehearsal.derive(data, workspace, inner)
    if name.startswith(own.PREFIX):
        return _prepare_collection(name, workspace, emit)
    if name.startswith(in_memory.PREFIX):
        return _reuse(
            name, workspace, in_memory.origin_of(name) or "", emit
        ) or in_memory.raise_absent(name)
    if name in CATALOG:
        origin = f"{name}/{RECIPE}"
        make = functools.partial(_prepare_named, name, root)
    elif name.lower().endswith(".npz"):
        path = _locate(name, root)
        origin = _archive_origin(path)
        make = functools.partial(prepare_archive, path, emit=emit)
    else:
        raise DataError(
            "unknown",
            field="dataset",
            value=name,
            hint=f"{perhaps(name, CATALOG)}choose one of: {', '.join(CATALOG)}, "
            "or the path of an .npz file; folders and zips go through `python -m rambo import`",
        )
    result = _reuse(name, workspace, origin, emit) or make(workspace, origin)
    if name not in CATALOG:  # the same bytes may lie under another name
        result = prepared.renamed(result, archive_name(path))
    _notice_absent(result, emit)
    _notice_alike(result, emit)
    return result


def pinned(name: str, workspace: Path) -> str:
    """Return the name with the version that it stands for now, so that a run can say what it used."""
    named = own.parse(name)
    if named is None or named[1] is not None:
        return name
    return f"{name}@{own.find(workspace, named[0]).latest()}"


def versioned(name: str, data: Prepared) -> str:
    """Return the name with the version of the collection that `data` was made of, which may have grown since."""
    if not data.collection:
        return name
    before = rehearsal.PREFIX if name.startswith(rehearsal.PREFIX) else ""
    return f"{before}{own.PREFIX}{data.collection}"


def _prepare_collection(name: str, workspace: Path, emit: Emit) -> Prepared:
    """Return a version of a collection, prepared before or now."""
    named = own.parse(name)
    if named is None:
        raise DataError(
            "no collection is called so",
            field="dataset",
            value=name,
            hint="write collection:NAME, or collection:NAME@3 for version 3",
        )
    collection = own.find(workspace, named[0])
    version = named[1] if named[1] is not None else collection.latest()
    origin = collections.origin(collection, version, collection.frame)
    return _reuse(name, workspace, origin, emit) or collections.prepare(
        collection, workspace, version, emit=emit
    )


def _locate(name: str, root: Path) -> Path:
    """Return the file called `name`, as a path from here or from the data root."""
    for candidate in (Path(name), root / name):
        if is_file(candidate):
            return candidate
    raise DataError(
        f"no such file here or below {shorten(root, 200)}",
        field="dataset",
        value=Path(name),
        hint="give the path of an .npz file with images and labels",
    )


def _archive_origin(path: Path) -> str:
    """Return the key of an `.npz` file: its content, because files change and move."""
    with refusing("file", path, "check that it may be read"):
        return f"npz/{ARCHIVE_RECIPE}/{file_hash(path)}"


def _reuse(name: str, workspace: Path, origin: str, emit: Emit) -> Prepared | None:
    """Return what was prepared before; a damaged copy is deleted, with a notice."""
    folder = prepared.find(workspace, origin)
    if folder is None:
        return None
    try:
        return prepared.open_prepared(folder, verify=True)
    except DataError as error:
        emit(Noticed(f"dataset {shorten(name)} is prepared again: {error}"))
    prepared.discard(folder)
    return None


def _prepare_named(name: str, root: Path, workspace: Path, origin: str) -> Prepared:
    """Return the dataset `name` of the catalog, stored below `workspace`."""
    entry = CATALOG[name]
    folder = root / entry.folder
    way_out = (
        f"put {', '.join(entry.files)} into {shorten(folder, 200)}, "
        f"or let RAMBO_DATA name the folder that holds {entry.folder}"
    )
    failing = "cannot be read or downloaded: "
    with refusing("dataset", name, way_out, failing), vision_sets.network_timeout():
        images, labels, roles = entry.read(folder)
    return prepared.write(
        workspace,
        name=name,
        images=images,
        labels=labels,
        roles=roles,
        classes=entry.classes,
        mean=entry.mean,
        std=entry.std,
        source=entry.source,
        licence=entry.licence,
        origin=origin,
    )


def _notice_absent(dataset: Prepared, emit: Emit) -> None:
    """Tell of classes without an image in the pool."""
    pool = dataset.labels[(dataset.roles == POOL) & (dataset.labels >= 0)]
    counts = np.bincount(pool, minlength=dataset.num_classes)
    absent = np.flatnonzero(counts == 0) if not dataset.partly_labeled else counts[:0]
    if len(absent) > 0:
        first = shorten(dataset.classes[absent[0]])
        share = f"{len(absent)} of {dataset.num_classes} classes"
        emit(Noticed(f"dataset {dataset.name}: {share} (first: {first}) have no image to choose"))


def _notice_alike(dataset: Prepared, emit: Emit) -> None:
    """Tell of images that repeat another one, and of those on two sides of the split."""
    if dataset.clusters is None:
        return
    clusters = np.asarray(dataset.clusters)
    repeats = len(clusters) - len(np.unique(clusters))
    text = f"{repeats:,} of {len(clusters):,} images repeat another one, or nearly"
    apart = np.isin(dataset.roles, (VALIDATION, TEST))
    crossing = int(np.isin(clusters[apart], clusters[~apart]).sum())
    if crossing:
        text += f"; {crossing:,} validation and test images repeat an image to learn from, so accuracy is too good"
    emit(Noticed(f"dataset {dataset.name}: {text}"))


_DIGITS = tuple("0123456789")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_GREY = ((0.1307,), (0.3081,))  # MNIST's own, customary for both
_IDX_FILES = tuple(f"{file}.gz" for file in idx.TRAIN + idx.TEST)
_ZALANDO = "Xiao, Rasul and Vollgraf 2017, github.com/zalandoresearch/fashion-mnist"

CATALOG = {
    "fashion-mnist-mini": CatalogEntry(
        folder=str(SHIPPED),
        files=_IDX_FILES[2:],
        classes=_CLOTHES,
        mean=_GREY[0],
        std=_GREY[1],
        source=f"FashionMNIST's 10,000 test images; {_ZALANDO}",
        licence="MIT, Zalando SE 2017",
        read=idx.read_shipped,
    ),
    "mnist": CatalogEntry(
        folder="MNIST/raw",
        files=_IDX_FILES,
        classes=_DIGITS,
        mean=_GREY[0],
        std=_GREY[1],
        source="MNIST; LeCun, Cortes and Burges 1998",
        licence="not stated with the files",
        read=vision_sets.read_mnist,
    ),
    "fashion-mnist": CatalogEntry(
        folder="FashionMNIST/raw",
        files=_IDX_FILES,
        classes=_CLOTHES,
        mean=_GREY[0],
        std=_GREY[1],
        source=f"FashionMNIST; {_ZALANDO}",
        licence="MIT, Zalando SE 2017",
        read=vision_sets.read_mnist,
    ),
    "cifar10": CatalogEntry(
        folder="CIFAR10/cifar-10-batches-py",
        files=(*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
        classes=_THINGS,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        source="CIFAR-10; Krizhevsky 2009",
        licence="not stated with the files",
        read=vision_sets.read_cifar10,
    ),
    "svhn": CatalogEntry(
        folder="SVHN",
        files=("train_32x32.mat", "test_32x32.mat"),
        classes=_DIGITS,
        mean=(0.485, 0.456, 0.406),  # ImageNet's, as for a network pretrained there
        std=(0.229, 0.224, 0.225),
        source="SVHN, cropped digits; Netzer et al. 2011",
        licence="non-commercial use only",
        read=vision_sets.read_svhn,
    ),
}
