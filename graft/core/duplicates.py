"""Pictures that are the same to the eye: a perceptual descriptor, and the pairs that lie close by it.

A perceptual hash (Zauner 2010) keeps the signs of the lowest DCT coefficients, and 64 signs collide on large sets of
similar pictures. Kept as numbers, colour included, the same coefficients tell 20,000 compositions of the same few
drawings apart and still find a copy that was resized, recompressed or brightened.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EDGE_PX = 16
LUMA, CHROMA = 6, 3
N_VALUES = LUMA**2 - 1 + 2 * CHROMA**2
_FLAT = 64.0  # below this norm a picture is nearly empty: noise is not blown up to a pattern
_TREE_VALUES = 16
_NEIGHBOURS = 4
_PIECE = 50_000
_TREE_ROWS = 200_000


def descriptor(image: Image.Image) -> NDArray[np.float32]:
    """The picture's lowest DCT coefficients without overall brightness, scaled to unit length: (53,) float32.

    Args:
        image: mode RGB.
    """
    from scipy.fft import dctn

    small = np.asarray(image.resize((EDGE_PX, EDGE_PX), Image.Resampling.BOX), dtype=np.float32)
    luma = small @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    planes = np.stack([luma, small[..., 2] - luma, small[..., 0] - luma])
    waves = dctn(planes, axes=(1, 2), norm="ortho")
    values = np.concatenate([waves[0, :LUMA, :LUMA].ravel()[1:], waves[1:, :CHROMA, :CHROMA].ravel()])
    scaled: NDArray[np.float32] = (values / max(float(np.linalg.norm(values)), _FLAT)).astype(np.float32)
    return scaled


class Held(Protocol):
    """(n, 53) of any float type, wherever they are: an array, or what reads them from a file."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.floating]:
        """(len(rows), 53)."""
        ...


@dataclass(frozen=True)
class Picked:
    """Some rows of an array or a file, in an order of their own; what is asked for is taken when it is asked for.

    Attributes:
        rows: (m,) int64 indices into them.
    """

    descriptors: Held
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | NDArray[np.int64]) -> NDArray[np.floating]:
        return self.descriptors[self.rows[which]]


Descriptors = NDArray[np.floating] | Picked


def near(descriptors: Descriptors, radius: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs of rows closer than `radius`: each row with at most three of its nearest, so that copies stay few.

    A k-d tree searches the leading principal components, in which no two rows lie further apart than they do in all;
    what it finds is then measured in all. Beyond 200,000 rows there are several trees, one at a time in memory.

    Args:
        descriptors: (n, 53), any float type.
        radius: Euclidean; 0.08 finds copies that were resized to half, recompressed at quality 50 or brightened by 5 %.

    Returns:
        (m, 2) int64 pairs with first < second, sorted; and (m,) float32 distances.
    """
    rows, others, distances = _close(descriptors, descriptors, radius)
    different = rows != others
    pairs = np.sort(np.stack([rows, others], axis=1)[different], axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    return pairs, distances[different][first]


def nearest(queries: Descriptors, others: Descriptors, radius: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each query the nearest of `others` closer than `radius`, found as in `near`.

    Returns:
        (n,) int64 indices into `others`, -1 where there is none; and (n,) float32 distances, `radius` there.
    """
    found = np.full(len(queries), -1, np.int64)
    best = np.full(len(queries), radius, np.float32)
    rows, candidates, distances = _close(queries, others, radius)
    for at in np.argsort(-distances, kind="stable"):  # the nearest has the last word
        found[rows[at]], best[rows[at]] = candidates[at], distances[at]
    return found, best


def _close(
    queries: Descriptors, others: Descriptors, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Queries, others and their distance: of each query's four nearest in the trees those that are close indeed."""
    if not len(queries) or not len(others):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    rows, candidates = _nearest_in_trees(queries, others, radius)
    distances = np.empty(len(rows), np.float32)
    for piece in _pieces(len(rows)):
        gap = queries[rows[piece]].astype(np.float32) - others[candidates[piece]].astype(np.float32)
        distances[piece] = np.linalg.norm(gap, axis=1)
    close = distances < radius
    return rows[close], candidates[close], distances[close]


def _nearest_in_trees(
    queries: Descriptors, others: Descriptors, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each query the four nearest within the radius, as indices of queries and others; tree after tree."""
    from scipy.spatial import cKDTree

    axes = _principal_axes(others)
    found = []
    for part in _pieces(len(others), _TREE_ROWS):
        mine = others[part]
        tree = cKDTree(np.concatenate([_places(mine[piece], axes) for piece in _pieces(len(mine))]))
        for piece in _pieces(len(queries)):
            gaps, index = tree.query(
                _places(queries[piece], axes), k=range(1, min(_NEIGHBOURS, tree.n) + 1), distance_upper_bound=radius
            )
            rows, column = np.nonzero(index < tree.n)
            found.append((rows + piece.start, index[rows, column] + part.start, gaps[rows, column]))
    rows, candidates, gaps = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(others) <= _TREE_ROWS:
        return rows, candidates
    order = np.lexsort((gaps, rows))
    rows, candidates = rows[order], candidates[order]
    first = np.arange(len(rows)) - np.searchsorted(rows, rows) < _NEIGHBOURS
    return rows[first], candidates[first]


def _pieces(n: int, size: int = _PIECE) -> list[slice]:
    """Slices of so many rows that what is held of them at a time does not grow with `n`."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _places(descriptors: NDArray[np.floating], axes: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 16) float64, what the tree is made of and asked for."""
    return (descriptors.astype(np.float32) @ axes).astype(np.float64)


def _principal_axes(descriptors: Descriptors) -> NDArray[np.float32]:
    """(53, 16) orthonormal: where the rows differ most."""
    step = max(1, len(descriptors) // 5000)
    sample = descriptors[::step].astype(np.float64)
    centred = sample - sample.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)  # one row has no covariance, and any axes will do
    axes: NDArray[np.float32] = vectors[:, ::-1][:, :_TREE_VALUES].astype(np.float32)
    return axes
