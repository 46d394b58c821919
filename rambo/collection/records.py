"""The records of a collection: what travels from its file to a run, to the command line and to a page."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

POOL, VALIDATION, TEST, LABELED = 0, 1, 2, 3  # roles; prepared datasets use the same numbers
ROLE_NAMES = {POOL: "unlabeled", VALIDATION: "validation", TEST: "test", LABELED: "labeled"}
UNKNOWN = -1  # in `Snapshot.labels`: nobody knows the label

Fit = Literal["letterbox", "crop"]
Answer = Literal["label", "skipped", "unsure", "none of these"]
Validity = Literal["taken", "contested"]
Severity = Literal["info", "warning", "error"]
Numbers = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Frame:
    """The working size, and the rule by which an image of another size is brought to it.

    Attributes:
        height: in pixels.
        width: in pixels.
        fit: `letterbox` shows the whole image between grey bars, `crop` fills the frame with its middle.
    """

    height: int
    width: int
    fit: Fit = "letterbox"

    def sentence(self) -> str:
        """Return the rule in words."""
        rule = {
            "letterbox": "scaled until the whole image fits, the rest is filled with grey",
            "crop": "scaled until the frame is full, what sticks out is cut off",
        }[self.fit]
        return f"{self.width} x {self.height} pixels; an image of another size is {rule}"


@dataclasses.dataclass(frozen=True)
class Prices:
    """What labels cost.

    Attributes:
        each: of one label, by the run that asked for it.
        currency: of these; may be empty.
    """

    each: Mapping[str, float] = dataclasses.field(default_factory=dict)
    currency: str = ""


@dataclasses.dataclass(frozen=True)
class Version:
    """One change of a collection.

    Attributes:
        number: from 1; what a run names.
        kind: `import`, `labels`, `split` or `undo`.
        note: what was done, in words.
        time: seconds since 1970.
        undoes: the version that this one takes back, or None.
    """

    number: int
    kind: str
    note: str
    time: float
    undoes: int | None = None


@dataclasses.dataclass(frozen=True)
class LabelEntry:
    """One answer for one image; entries are only ever added.

    Attributes:
        image: number of the image in its collection.
        label: the class name, or None: the label is taken back, or the answer names no class.
        origin: where it came from, in words, such as `folder cat` or `labels.csv, row 7`.
        answer: what was said; only `label` gives a class.
        time: seconds since 1970 at which it was given.
        run: the run whose batch asked for it; empty where none did.
        annotator: who answered; empty where nobody said.
        standing: `contested` if it disagrees with the label the image had: that one stays.
        version: the version that brought it; 0 for an entry not stored yet.
    """

    image: int
    label: str | None
    origin: str
    answer: Answer = "label"
    time: float = dataclasses.field(default_factory=time.time)
    run: str = ""
    annotator: str = ""
    standing: Validity = "taken"
    version: int = 0


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A file that gave no image, and why."""

    file: str
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """Everything known of a collection at one version; row `i` of each column is one image.

    Attributes:
        slug: of the collection.
        version: its number.
        frame: the working size and the rule to reach it.
        numbers: `N` int64, the images' numbers in the collection, rising.
        ids: `N` content hashes: SHA-256 of the original file's bytes, or of an array's shape and pixels.
        files: `N` names of the files they came from.
        copies: names of files that hold the bytes of an image that another file gave already, with
            the image's number.
        widths: `N` int64, of the originals.
        heights: `N` int64, of the originals.
        modes: `N` modes of the originals, in Pillow's words.
        grey: `N` bool: no pixel has a colour.
        brightness: `N` float64 in [0, 255].
        contrast: `N` float64, standard deviation of the grey image.
        classes: the class names; label `i` is `classes[i]`.
        labels: `N` int64, `UNKNOWN` where nobody knows.
        roles: `N` uint8: `POOL` (unlabeled), `LABELED`, `VALIDATION` or `TEST`.
        groups: `N` int64 into `group_names`, -1 for none; images of one group stay on one side of a split.
        group_names: the groups.
        clusters: `N` int64; near duplicates have the same number.
        entries: all label entries that count, oldest first.
        contradictions: numbers of images whose answers disagree.
        unreadable: files that gave no image.
        remarks: what else the imports have to say, such as parts of a file that were not used.
    """

    slug: str
    version: int
    frame: Frame
    numbers: Numbers
    ids: tuple[str, ...]
    files: tuple[str, ...]
    copies: tuple[tuple[str, int], ...]
    widths: Numbers
    heights: Numbers
    modes: tuple[str, ...]
    grey: npt.NDArray[np.bool_]
    brightness: npt.NDArray[np.float64]
    contrast: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    labels: Numbers
    roles: npt.NDArray[np.uint8]
    groups: Numbers
    group_names: tuple[str, ...]
    clusters: Numbers
    entries: tuple[LabelEntry, ...]
    contradictions: tuple[int, ...]
    unreadable: tuple[Unreadable, ...]
    remarks: tuple[str, ...]

    def __len__(self) -> int:
        """The number of images `N`."""
        return len(self.numbers)

    def rows(self, role: int) -> Numbers:
        """Return the rows of a role."""
        return np.flatnonzero(self.roles == role)


@dataclasses.dataclass(frozen=True)
class HealthLine:
    """One line of the health report.

    Attributes:
        topic: what it is about, such as `duplicates`; a page may group by it.
        severity: `error` where a run cannot work, `warning` where it may mislead.
        sentence: what was seen.
        way_out: what to do; empty where there is nothing to do.
        files: the names it speaks of, at most a hundred.
        count: how many it speaks of in all.
    """

    topic: str
    severity: Severity
    sentence: str
    way_out: str = ""
    files: tuple[str, ...] = ()
    count: int = 0


@dataclasses.dataclass(frozen=True)
class SplitAdvice:
    """What the labels at hand allow.

    Attributes:
        validation: images that would measure every utility.
        offline_pairs: at most so many different pairs of subsets are worth training; None for no limit.
        sentences: what cannot work and what is done instead, in words.
    """

    validation: int
    offline_pairs: int | None
    sentences: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ImportProgress:
    """How far an import is, as written beside the collection while it runs.

    Attributes:
        state: `running`, `done`, `stopped` or `failed`.
        step: files looked at.
        total: files in all.
        new: images that joined.
        eta_seconds: until the end at the present pace; None before it can be told.
        message: what to show.
    """

    state: Literal["running", "done", "stopped", "failed"]
    step: int
    total: int
    new: int
    eta_seconds: float | None
    message: str


@dataclasses.dataclass(frozen=True)
class CollectionCard:
    """What a list of collections shows of one.

    Attributes:
        slug: its name in commands and addresses.
        name: what its owner calls it.
        version: the newest; 0 while its first import has not come to an end.
        images: that it holds.
        note: what the newest version did, or why there is none.
    """

    slug: str
    name: str
    version: int
    images: int
    note: str
