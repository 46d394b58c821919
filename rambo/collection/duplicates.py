"""Exact and near duplicates: clusters of images that show the same scene for any practical purpose.

An image's small grey picture (16 x 16), its mean taken off and its contrast made one, is a point; two images are near
when the points are and they are about as bright: so another exposure, size or compression is found. A projection to a
few directions never lengthens a distance, so a tree over eight principal directions proposes every near pair, and the
full distance decides. A shift by more than about a hundredth of the width is another picture.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from rambo.collection.looks import SMALL
from rambo.collection.records import Numbers

RECIPE = 2  # raise it when other images count as near
_SHARE = (
    0.12  # Choice: of an image's own contrast; a tenth is below what JPEG and noise of +-3 change
)
_MOST, _LEAST = 6.0, 0.5  # grey levels, root mean square
_FLAT = _LEAST / _SHARE  # contrast below which there is nothing to compare but the grey itself
_BRIGHTER, _STARKER = (
    32.0,
    1.3,
)  # Choice: grey levels, and times the contrast, between two exposures of a scene
_DIRECTIONS = 8
_SAMPLE = 4096  # images from which the directions are taken


def clusters(pictures: npt.NDArray[np.uint8]) -> Numbers:
    """Return for each image the row of its cluster's first image; alone, its own row.

    Choice: the first image that belongs to no cluster leads one, and all free images near it join.
    So a slow pan is cut into pieces and not chained into one.

    Args:
        pictures: `N x 256` grey bytes.
    """
    count = len(pictures)
    leaders = np.arange(count, dtype=np.int64)
    if count < 2:
        return leaders
    _, first, inverse = np.unique(pictures, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(first)  # distinct pictures, in the order they came
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    distinct = first[order]
    chosen = _lead(pictures[distinct].astype(np.float32))
    return distinct[chosen[rank[inverse]]].astype(np.int64)


def small_pictures(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return `N x 256` grey bytes of `N x C x H x W` images: the mean of each of 16 x 16 blocks."""
    height, width = images.shape[2:]
    tops, lefts = (np.arange(SMALL) * side // SMALL for side in (height, width))
    result = np.empty((len(images), SMALL * SMALL), dtype=np.uint8)
    for start in range(0, len(images), _SAMPLE):
        grey = images[start : start + _SAMPLE].mean(axis=1, dtype=np.float32)
        if min(height, width) >= SMALL:
            sums = np.add.reduceat(np.add.reduceat(grey, tops, axis=1), lefts, axis=2)
            tall = np.diff(np.append(tops, height))[:, None]
            wide = np.diff(np.append(lefts, width))[None, :]
            grey = sums / (tall * wide)
        else:
            grey = grey[:, tops][:, :, lefts]
        result[start : start + _SAMPLE] = np.round(grey).reshape(len(grey), -1)
    return result


def _lead(pictures: npt.NDArray[np.float32]) -> Numbers:
    """Return for each distinct picture the row of its leader."""
    mean, contrast = pictures.mean(axis=1), pictures.std(axis=1)
    leaders = np.arange(len(pictures), dtype=np.int64)
    flat = contrast < _FLAT
    for rows in (np.flatnonzero(flat), np.flatnonzero(~flat)):
        if len(rows) < 2:
            continue
        points, radii = pictures[rows], np.full(len(rows), _LEAST)
        if not flat[rows[0]]:
            points = (points - mean[rows, None]) / contrast[rows, None]
            radii = np.minimum(_SHARE, _MOST / contrast[rows])
        radii = radii * np.sqrt(points.shape[1])
        leaders[rows] = rows[_lead_among(points, radii, mean[rows], np.log(contrast[rows] + 1))]
    return leaders


def _lead_among(
    points: npt.NDArray[np.float32],
    radii: npt.NDArray[np.floating],
    mean: npt.NDArray[np.floating],
    contrast: npt.NDArray[np.floating],
) -> Numbers:
    """Return for each point the row of its leader; `mean` and the logarithm of `contrast` are of the pictures."""
    leaders = np.full(len(points), -1, dtype=np.int64)
    low = _project(points)
    tree = cKDTree(low)
    crowd = tree.query_ball_point(low, radii, return_length=True)
    for row in range(len(points)):
        if leaders[row] >= 0:
            continue
        leaders[row] = row
        if crowd[row] < 2:
            continue
        near = np.array(tree.query_ball_point(low[row], radii[row]), dtype=np.int64)
        near = near[leaders[near] < 0]
        near = near[np.abs(mean[near] - mean[row]) <= _BRIGHTER]
        near = near[np.abs(contrast[near] - contrast[row]) <= np.log(_STARKER)]
        if len(near) == 0:
            continue
        distance = np.linalg.norm(points[near] - points[row], axis=1)
        leaders[near[distance <= np.minimum(radii[near], radii[row])]] = row
    return leaders


def _project(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the points in their main directions."""
    step = max(1, len(points) // _SAMPLE)
    sample = points[::step].astype(np.float64)
    centre = sample.mean(axis=0)
    covariance = (sample - centre).T @ (sample - centre)
    _, directions = np.linalg.eigh(covariance)
    main = directions[:, -_DIRECTIONS:]
    return ((points - centre) @ main).astype(np.float64)
