"""The catalog: every dataset that can be prepared by its name, and `.npz` files by their path.

Nothing half loaded gets through: official files are checked against their published hashes, a
user's `.npz` is read member by member and never unpickled. torch and torchvision are imported only
where one of torchvision's readers or downloads is needed.
"""

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import math
import os
import socket
import struct
import types
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rambo.config import shorten
from rambo.datasets import prepared
from rambo.datasets.prepared import POOL, TEST, VALIDATION, Images, Labels, Prepared, Roles
from rambo.errors import DataError, RamboError
from rambo.events import Emit, Noticed, ignore

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = PROJECT / "data" / "fashion-mnist"
SPLIT_SEED = 20_230_801  # of every fixed split; must never change: results are tied to the split
RECIPE = 1  # part of every origin: raise it when a reader here starts to give other arrays
TIMEOUT_SECONDS = 30.0
MAX_BYTES = 8_000_000_000  # of an .npz file, unpacked
MAX_CLASSES, MIN_IMAGES, MIN_SIDE, MAX_SIDE = 1000, 10, 8, 512
MAX_IDX_BYTES = 100_000_000  # twice the largest official file

IDX_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
IDX_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IDX_SHA256 = {  # of the unpacked files, so that .gz and plain files are checked alike
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion-mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
_REPLACE = "put the official file there, or delete it if it was downloaded and start again"
Pair = tuple[Images, Labels]
Arrays = tuple[Images, Labels, Roles]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A dataset known by name.

    Attributes:
        folder: where its official files lie below the data root.
        files: their official names.
        classes: the class names in the order of the labels.
        mean: channel means of images / 255 that are customary for it.
        std: channel standard deviations that are customary for it.
        source: who made it.
        licence: what its makers allow.
        read: returns its arrays from the name and the data root.
    """

    folder: str
    files: tuple[str, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    licence: str
    read: Callable[[str, Path], Arrays]


def default_root() -> Path:
    """Return the folder of downloaded files: RAMBO_DATA, else the project's own."""
    given = os.environ.get("RAMBO_DATA")
    return Path(given) if given else PROJECT / "data" / "downloads"


def prepare(
    name: str, workspace: Path, *, data_root: Path | None = None, emit: Emit = ignore
) -> Prepared:
    """Return the dataset `name`, prepared below `workspace` if it is not there yet.

    Args:
        name: a key of `CATALOG`, or the path of an `.npz` file, relative to the working folder or
            to the data root, with `images` and `labels`, or with `train_images`, `train_labels`,
            `test_images` and `test_labels`.
        workspace: folder of all runs.
        data_root: where official files are looked for and downloaded to; see `default_root`.
        emit: told when a damaged copy is made again, and of classes nobody can choose.

    Raises:
        DataError: the name is unknown, or its files are missing, damaged or of the wrong form.
        StoreError: the workspace cannot be written.
    """
    root = default_root() if data_root is None else data_root
    make: Callable[[Path, str], Prepared]
    if name in CATALOG:
        origin = f"{name}/{RECIPE}"
        make = functools.partial(_prepare_named, name, root)
    elif name.lower().endswith(".npz"):
        path = _locate(name, root)
        origin = f"npz/{RECIPE}/{_hash(path, 'sha256')}"  # by content: files change and move
        make = functools.partial(_prepare_archive, path)
    else:
        raise DataError(
            f"dataset {shorten(name)}: unknown; choose one of: {', '.join(CATALOG)}, "
            "or the path of an .npz file with images and labels"
        )
    result = _reuse(name, workspace, origin, emit) or make(workspace, origin)
    _notice_absent(result, emit)
    return result


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
    """Load and store an entry of the catalog."""
    entry = CATALOG[name]
    images, labels, roles = entry.read(name, root)
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
    counts = np.bincount(dataset.labels[dataset.roles == POOL], minlength=dataset.num_classes)
    absent = np.flatnonzero(counts == 0)
    if len(absent) > 0:
        first = shorten(dataset.classes[absent[0]])
        share = f"{len(absent)} of {dataset.num_classes} classes"
        emit(Noticed(f"dataset {dataset.name}: {share} (first: {first}) have no image to choose"))


# --- splits -----------------------------------------------------------------------------------


def stratified_roles(labels: Labels, size: int) -> Roles:
    """Return the fixed split: `size` validation and `size` test images, the rest is the pool.

    Choice: every class gives its share, by largest remainder; where shares tie, the lower class.
    A class of three or more images gives at least one validation image, even beyond `size`. The
    last image of a class leaves the pool only when no other class can give one.

    Args:
        labels: `N` class ids; every class up to the largest has an image.
        size: at most `N / 10`.

    Returns:
        `N` roles.
    """
    counts = np.bincount(labels)
    validation = _apportion(size, counts, np.zeros_like(counts))
    validation = np.maximum(validation, counts >= 3)
    test = _apportion(size, counts, validation)
    # Raw PCG64 output, because numpy promises it for ever; Generator.permutation may change.
    keys = np.random.PCG64(SPLIT_SEED).random_raw(len(labels))
    order = np.lexsort((keys, labels))
    place = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    sorted_labels = labels[order]
    roles = np.full(len(labels), POOL, dtype=np.uint8)
    roles[order[place < (validation + test)[sorted_labels]]] = TEST
    roles[order[place < validation[sorted_labels]]] = VALIDATION
    return roles


def _apportion(size: int, counts: Labels, taken: Labels) -> Labels:
    """Return the share of `size` each class gives; `taken` of its `counts` images are gone."""
    shares: Labels = size * counts // counts.sum()
    remainders = size * counts % counts.sum()
    spare = np.minimum(counts - taken - shares, 2)  # 1: its last image in the pool, 0: none left
    order = np.lexsort((-remainders, -spare))  # stable, so ties go to the lower class
    shares[order[: size - shares.sum()]] += 1
    return shares


def _joined(train: Pair, test: Pair) -> Arrays:
    """Return train rows, to choose from, and then test rows as one dataset."""
    roles = np.repeat(np.array([POOL, TEST], dtype=np.uint8), (len(train[1]), len(test[1])))
    return np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]]), roles


# --- IDX files: MNIST and FashionMNIST --------------------------------------------------------


def _read_shipped(name: str, root: Path) -> Arrays:
    """Return the FashionMNIST test set that comes with the project, in its fixed split."""
    images, labels = _read_idx_pair(SHIPPED, IDX_TEST, IDX_SHA256["fashion-mnist"][2:])
    return images, labels, stratified_roles(labels, 1000)


def _read_idx_dataset(name: str, root: Path) -> Arrays:
    """Return MNIST or FashionMNIST; torchvision only downloads what is missing."""
    folder = root / CATALOG[name].folder
    if not all(is_file(_stored(folder, file)) for file in IDX_TRAIN + IDX_TEST):
        with _torchvision(name, root) as datasets:  # whose class is called like the folder
            getattr(datasets, folder.parent.name)(root, download=True)
    train = _read_idx_pair(folder, IDX_TRAIN, IDX_SHA256[name][:2])
    return _joined(train, _read_idx_pair(folder, IDX_TEST, IDX_SHA256[name][2:]))


def _stored(folder: Path, file: str) -> Path:
    """Return the plain file where only that is there, else the `.gz`."""
    plain, packed = folder / file, folder / f"{file}.gz"
    return plain if is_file(plain) and not is_file(packed) else packed


def _read_idx_pair(folder: Path, files: Sequence[str], sha256: Sequence[str]) -> Pair:
    """Return images, `N x 1 x 28 x 28`, and their `N` labels in 0..9."""
    images = read_idx(_stored(folder, files[0]), 3, sha256[0])
    labels = read_idx(_stored(folder, files[1]), 1, sha256[1])
    if images.shape != (len(labels), 28, 28) or labels.max() > 9:
        raise DataError(
            f"folder {shorten(folder, 200)}: {files[0]} and {files[1]} do not belong together; "
            f"{_REPLACE}"
        )
    return images[:, None], labels.astype(np.int64)


def read_idx(path: Path, dimensions: int, sha256: str | None = None) -> Images:
    """Return the array of an IDX file of unsigned bytes, plain or gzipped.

    Args:
        path: a name that ends in `.gz` is unpacked.
        dimensions: how many the file must have.
        sha256: of the unpacked file; None trusts it.

    Raises:
        DataError: the file is missing, is not such an IDX file, or has another hash.
    """
    with _refusing(f"file {shorten(path, 200)}", _REPLACE):
        with path.open("rb") as file:
            stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            header = stream.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
                raise ValueError(f"it is not an IDX file of bytes with {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", header[4:])
            size = math.prod(shape)
            if not 0 < size <= MAX_IDX_BYTES:
                raise ValueError(f"its header asks for {size} bytes")
            payload = stream.read(size)
            if len(payload) < size or stream.read(1):  # reading to the end checks gzip's CRC
                raise ValueError(f"it does not hold the {size} bytes its header promises")
        found = hashlib.sha256(header + payload).hexdigest()
        if sha256 not in (None, found):
            raise ValueError(f"its unpacked bytes have sha256 {found}, not {sha256}")
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)


# --- torchvision: CIFAR-10, SVHN, and all downloads -------------------------------------------


def _read_cifar10(name: str, root: Path) -> Arrays:
    """Return CIFAR-10 through torchvision, which unpickles it after an md5 check."""
    folder = root / CATALOG[name].folder
    pairs = []
    with _torchvision(name, root) as datasets:
        reader = datasets.CIFAR10
        md5 = {file: md5 for file, md5 in reader.train_list + reader.test_list}
        md5[reader.meta["filename"]] = reader.meta["md5"]
        download = _incomplete(folder, md5)
        for train in (True, False):
            part = reader(folder.parent, train=train, download=download)
            images = np.asarray(part.data).transpose(0, 3, 1, 2)
            pairs.append((images, np.asarray(part.targets, dtype=np.int64)))
        return _joined(*pairs)


def _read_svhn(name: str, root: Path) -> Arrays:
    """Return SVHN's cropped digits through torchvision."""
    folder = root / CATALOG[name].folder
    pairs = []
    with _torchvision(name, root) as datasets:
        reader = datasets.SVHN
        md5 = {reader.split_list[part][1]: reader.split_list[part][2] for part in ("train", "test")}
        download = _incomplete(folder, md5)
        for split in ("train", "test"):
            part = reader(folder, split=split, download=download)
            pairs.append((np.asarray(part.data), np.asarray(part.labels)))
        return _joined(*pairs)


def _incomplete(folder: Path, md5: dict[str, str]) -> bool:
    """Return whether a file is missing; a `DataError` names one that is there but damaged."""
    if not all(is_file(folder / file) for file in md5):
        return True
    for file, expected in md5.items():
        found = _hash(folder / file, "md5")
        if found != expected:
            raise DataError(
                f"file {shorten(folder / file, 200)}: damaged (md5 {found}, not {expected}); "
                f"{_REPLACE}"
            )
    return False


@contextlib.contextmanager
def _torchvision(name: str, root: Path) -> Iterator[types.ModuleType]:
    """Yield torchvision.datasets; whatever goes wrong inside the block becomes a `DataError`."""
    entry = CATALOG[name]
    way_out = (
        f"put {', '.join(entry.files)} into {shorten(root / entry.folder, 200)}, "
        f"or let RAMBO_DATA name the folder that holds {entry.folder}"
    )
    with _refusing(f"dataset {name}: cannot be read or downloaded", way_out), network_timeout():
        from rambo import vision  # here, because torch takes seconds and the pages do without

        yield vision.load("torchvision.datasets")


@contextlib.contextmanager
def network_timeout() -> Iterator[None]:
    """Give up on a silent server after `TIMEOUT_SECONDS` inside the block."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# --- .npz files -------------------------------------------------------------------------------

PLAIN_KEYS = ("images", "labels")
SPLIT_KEYS = ("train_images", "train_labels", "test_images", "test_labels")


def _locate(name: str, root: Path) -> Path:
    """Return the file called `name`, as a path from here or from the data root."""
    for candidate in (Path(name), root / name):
        if is_file(candidate):
            return candidate
    raise DataError(
        f"dataset {shorten(name)}: no such file here or below {shorten(root, 200)}; "
        "give the path of an .npz file with images and labels"
    )


def _prepare_archive(path: Path, workspace: Path, origin: str) -> Prepared:
    """Load and store an `.npz` file."""
    where = f"file {shorten(path, 200)}"
    with _refusing(where, "save it again with numpy.savez"):
        arrays = _read_archive(where, path)
        pairs = [
            (_checked_images(where, images), _checked_labels(where, labels, len(images)))
            for images, labels in zip(arrays[::2], arrays[1::2], strict=True)
        ]
        if pairs[0][0].shape[1:] != pairs[-1][0].shape[1:]:
            raise DataError(f"{where}: train and test images differ in size; make them equal")
        values, labels = np.unique(np.concatenate([p[1] for p in pairs]), return_inverse=True)
        if not 2 <= len(values) <= MAX_CLASSES or len(labels) < MIN_IMAGES:
            raise DataError(
                f"{where}: {len(labels)} images of {len(values)} classes; "
                f"use at least {MIN_IMAGES} images and 2 to {MAX_CLASSES} classes"
            )
        if len(pairs) == 2:
            images, _, roles = _joined(*pairs)
        else:
            images, roles = pairs[0][0], stratified_roles(labels, min(1000, len(labels) // 10))
        mean, std = _statistics(images, roles)
    return prepared.write(
        workspace,
        name=shorten(path.stem, 80),
        images=images,
        labels=labels.astype(np.int64),
        roles=roles,
        classes=[str(value) for value in values],
        mean=mean,
        std=std,
        source="an .npz file of your own",
        licence="not stated in the file",
        origin=origin,
    )


def _read_archive(where: str, path: Path) -> list[np.ndarray]:
    """Return the arrays named in `SPLIT_KEYS` if there, else those in `PLAIN_KEYS`."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            limit = f"the limit is {MAX_BYTES / 1e9:.0f} GB"
            raise DataError(f"{where}: {size / 1e9:.1f} GB unpacked; {limit}, use fewer images")
        keys = SPLIT_KEYS if f"{SPLIT_KEYS[0]}.npy" in members else PLAIN_KEYS
        missing = [key for key in keys if f"{key}.npy" not in members]
        if missing:
            raise DataError(
                f"{where}: holds no {', '.join(missing)}; it needs {', '.join(PLAIN_KEYS)}, "
                f"or {', '.join(SPLIT_KEYS)}"
            )
        return [_read_member(where, archive, members[f"{key}.npy"]) for key in keys]


def _read_member(where: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array of whole numbers; never more bytes than the zip directory announced."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        else:
            header = np.lib.format.read_array_header_2_0(stream)
        shape, fortran_order, dtype = header
        if dtype.hasobject or dtype.kind not in "iu":
            kind = shorten(dtype)
            raise DataError(
                f"{where}: {member.filename} holds {kind}; "
                "save images as uint8 and labels as whole numbers"
            )
        data = stream.read()  # to the end, where the CRC is checked
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename} does not hold what its header promises")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")


def _checked_images(where: str, images: np.ndarray) -> Images:
    """Return the images as `N x C x H x W`, or refuse them."""
    grey, colour = images.ndim == 3, images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (grey or colour) or len(images) == 0:
        raise DataError(
            f"{where}: images are {images.dtype} {images.shape}; "
            "save them as uint8 of N x H x W or N x H x W x 3"
        )
    height, width = images.shape[1:3]
    if not MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise DataError(
            f"{where}: images are {height} x {width} pixels; "
            f"resize them to sides of {MIN_SIDE} to {MAX_SIDE}"
        )
    return images[:, None] if grey else images.transpose(0, 3, 1, 2)


def _checked_labels(where: str, labels: np.ndarray, count: int) -> Labels:
    """Return the labels as int64, or refuse them."""
    if labels.shape != (count,):
        raise DataError(
            f"{where}: labels of shape {labels.shape} beside {count} images; "
            "save one whole number an image"
        )
    converted = labels.astype(np.int64)
    if labels.dtype.kind == "u" and converted.min() < 0:
        raise DataError(f"{where}: a label is {labels.max()}; use numbers below 2**63")
    return converted


def _statistics(images: Images, roles: Roles) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of images / 255 for each channel, exactly.

    Choice: from histograms of the pool alone, so neither rounding nor a test image has a say.
    """
    means, deviations = [], []
    values = np.arange(256) / 255
    for channel in range(images.shape[1]):
        histogram = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 1024):  # bincount widens bytes to 8 bytes each
            rows = slice(start, start + 1024)
            pixels = images[rows, channel][roles[rows] == POOL]
            histogram += np.bincount(pixels.ravel(), minlength=256)
        share = histogram / histogram.sum()
        mean = float(share @ values)
        means.append(mean)
        deviations.append(max(1e-3, float(share @ (values - mean) ** 2) ** 0.5))
    return means, deviations


# --- common -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _refusing(where: str, way_out: str) -> Iterator[None]:
    """Turn whatever a reader of foreign bytes raises inside the block into a `DataError`."""
    try:
        yield
    except RamboError:
        raise
    except Exception as error:  # zip, gzip, pickle and network code raise over a dozen kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = shorten(" ".join(str(reason).split()), 240)
        raise DataError(f"{where}: {reason}; {way_out}") from error


def is_file(path: Path) -> bool:
    """Return whether `path` is a file; no for what may not be seen or cannot be a path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _hash(path: Path, algorithm: str) -> str:
    """Return the hash of a file in hexadecimal."""
    with _refusing(f"file {shorten(path, 200)}", "check that it may be read"), path.open("rb") as f:
        return hashlib.file_digest(f, algorithm).hexdigest()


_DIGITS = tuple("0123456789")
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
_OBJECTS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_GREY = ((0.1307,), (0.3081,))  # MNIST's own, customary for both
_IDX_FILES = tuple(f"{file}.gz" for file in IDX_TRAIN + IDX_TEST)
_ZALANDO = "Xiao, Rasul and Vollgraf 2017, github.com/zalandoresearch/fashion-mnist"

CATALOG = {
    "fashion-mnist-mini": Entry(
        folder="fashion-mnist",
        files=_IDX_FILES[2:],
        classes=_CLOTHES,
        mean=_GREY[0],
        std=_GREY[1],
        source=f"FashionMNIST's 10,000 test images; {_ZALANDO}",
        licence="MIT, Zalando SE 2017",
        read=_read_shipped,
    ),
    "mnist": Entry(
        folder="MNIST/raw",
        files=_IDX_FILES,
        classes=_DIGITS,
        mean=_GREY[0],
        std=_GREY[1],
        source="MNIST; LeCun, Cortes and Burges 1998",
        licence="not stated with the files",
        read=_read_idx_dataset,
    ),
    "fashion-mnist": Entry(
        folder="FashionMNIST/raw",
        files=_IDX_FILES,
        classes=_CLOTHES,
        mean=_GREY[0],
        std=_GREY[1],
        source=f"FashionMNIST; {_ZALANDO}",
        licence="MIT, Zalando SE 2017",
        read=_read_idx_dataset,
    ),
    "cifar10": Entry(
        folder="CIFAR10/cifar-10-batches-py",
        files=(*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
        classes=_OBJECTS,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        source="CIFAR-10; Krizhevsky 2009",
        licence="not stated with the files",
        read=_read_cifar10,
    ),
    "svhn": Entry(
        folder="SVHN",
        files=("train_32x32.mat", "test_32x32.mat"),
        classes=_DIGITS,
        mean=(0.485, 0.456, 0.406),  # ImageNet's, as for a network pretrained there
        std=(0.229, 0.224, 0.225),
        source="SVHN, cropped digits; Netzer et al. 2011",
        licence="non-commercial use only",
        read=_read_svhn,
    ),
}
