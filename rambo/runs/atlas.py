"""What a page asks of a trial's atlas: pools, class guesses, margins, and the images nearest to one.

Numpy only: the web process imports no torch. The worker writes the atlas (`rambo.worker.pictures`), as soon as f
has been trained on S_0 and a first strategy has chosen.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rambo.errors import DataError
from rambo.runs import paths
from rambo.runs.run import Run

LABELED, UNLABELED_POOL, VALIDATION_POOL = 0, 1, 2  # values of `Atlas.pool`: S_0, U_0, S_val

Indices = NDArray[np.int64]
Values = NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """What f, trained on S_0, makes of all images of a trial that are not test images, `n` rows.

    Attributes:
        indices: `n` dataset indices, sorted.
        pool: `n` uint8: `LABELED` (S_0), `UNLABELED_POOL` (U_0) or `VALIDATION_POOL` (S_val).
        probabilities: `n x c` float32.
        embeddings: `n x e` float32, the penultimate layer.
        map: `n x 2` float32, the first two principal components of the embeddings; their joint deviation is 1.
        explained: `2` float32, the share of the variance along each axis of the map.
        lacking: images of the pools that are not here, for f is not finite on them; None where an older RAMBO did
            not note it.
        neighbours: `n x 2` float32, a map by t-SNE on which images that look alike to f lie together; None in later
            trials, in runs of older versions, and where there are too few images.
    """

    indices: Indices
    pool: NDArray[np.uint8]
    probabilities: Values
    embeddings: Values
    map: Values
    explained: Values
    lacking: int | None = None
    neighbours: Values | None = None

    def rows(self, indices: Any) -> NDArray[np.intp]:
        """Return the rows of dataset `indices`, `a`.

        Raises:
            DataError: an image is not in the atlas.
        """
        return rows_of(self.indices, indices)

    def members(self, pool: int) -> Indices:
        """Return the dataset indices of one pool, sorted."""
        chosen: Indices = self.indices[self.pool == pool]
        return chosen

    @property
    def guesses(self) -> Indices:
        """The most probable class of every row by f, `n`; of equal ones the first."""
        return self.probabilities.argmax(1)


def load_atlas(run: Run, trial: int) -> Atlas:
    """Return the atlas of one trial.

    Raises:
        StoreError: it is not there yet, or it is damaged.
    """
    return of_arrays(run.load_arrays(paths.of_trial(trial, paths.ATLAS)))


def of_arrays(arrays: Mapping[str, NDArray[Any]]) -> Atlas:
    """Return the atlas that was kept as these arrays; what an older version did not keep has its default.

    Raises:
        KeyError: a part is missing that every version has kept.
    """
    needed = [field.name for field in dataclasses.fields(Atlas) if field.default is not None]
    return Atlas(
        **{name: arrays[name] for name in needed},
        lacking=int(arrays["lacking"][0]) if "lacking" in arrays else None,
        neighbours=arrays.get("neighbours"),
    )


def nearest(
    atlas: Atlas,
    index: int,
    pool: int,
    count: int,
    *,
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> tuple[Indices, NDArray[np.float64]]:
    """Return the images of a pool whose embeddings are nearest to that of one image, and how far they are.

    Choice: the image itself is never its own neighbour; of equally far images the first in the dataset.

    Args:
        atlas: of the trial.
        index: dataset index of the image asked about.
        pool: where to look: `LABELED`, `UNLABELED_POOL` or `VALIDATION_POOL`.
        count: how many are wanted.
        metric: Euclidean distance, or one less the cosine of the angle at the origin.

    Returns:
        At most `count` dataset indices, nearest first, and their distances.

    Raises:
        DataError: the image is not in the atlas.
    """
    (place,) = atlas.rows([index])
    rows = np.flatnonzero((atlas.pool == pool) & (atlas.indices != index))
    others, own = atlas.embeddings[rows].astype(np.float64), atlas.embeddings[place].astype(float)
    if metric == "cosine":
        lengths = np.linalg.norm(others, axis=1) * np.linalg.norm(own)
        distances = 1 - others @ own / np.maximum(lengths, np.finfo(float).tiny)
    else:
        distances = np.linalg.norm(others - own, axis=1)
    order = distances.argsort(kind="stable")[: max(count, 0)]
    return atlas.indices[rows[order]], distances[order]


def margins(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Return the margin score of each row, highest less second highest probability, as `acquisition.margins` does.

    Args:
        probabilities: `n x c`.
    """
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    difference: NDArray[Any] = top[:, 1] - top[:, 0]
    return difference


def class_shares(atlas: Atlas, indices: Any) -> NDArray[np.float64]:
    """Return how f's guesses are spread over the classes, `c` shares that sum to 1; zeros for no images.

    Choice: guesses and not labels, because nobody has bought those of the unlabeled pool.

    Args:
        atlas: of the trial.
        indices: dataset indices: a chosen batch, or `atlas.members(...)` to compare it with.
    """
    guesses = atlas.guesses[atlas.rows(indices)]
    counts = np.bincount(guesses, minlength=atlas.probabilities.shape[1])
    return counts / max(len(guesses), 1)


def rows_of(ordered: Indices, indices: Any) -> NDArray[np.intp]:
    """Return where `indices` stand in sorted dataset indices.

    Raises:
        DataError: one of them is not there.
    """
    queries = np.asarray(indices, np.int64).reshape(-1)
    rows = np.searchsorted(ordered, queries)
    missing = queries[
        (rows == len(ordered)) | (ordered[rows.clip(max=len(ordered) - 1)] != queries)
    ]
    if len(missing):
        raise DataError(
            "is not in this trial's pools",
            field="image",
            value=int(missing[0]),
            hint="choose one that is",
        )
    return rows
