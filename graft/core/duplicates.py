"""Pictures that are the same to the eye: a perceptual descriptor, and the pairs that lie close by it.

A perceptual hash (Zauner 2010) keeps the signs of the lowest DCT coefficients, and 64 signs collide on large sets of
similar pictures. Kept as numbers, colour included, the same coefficients tell 20,000 compositions of the same few
drawings apart and still find a copy that was resized, recompressed or brightened.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EDGE_PX = 16
LUMA, CHROMA = 6, 3
N_VALUES = LUMA**2 - 1 + 2 * CHROMA**2
_FLAT = 64.0  # below this norm a picture is nearly empty: noise is not blown up to a pattern
_TREE_VALUES = 16
_NEIGHBOURS = 4


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


def near(descriptors: NDArray[np.floating], radius: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs of rows closer than `radius`: each row with at most three of its nearest, so that copies stay few.

    A k-d tree searches the leading principal components, in which no two rows lie further apart than they do in all:
    so no pair is lost, and the cost grows about as n log n.

    Args:
        descriptors: (n, 53), any float type.
        radius: Euclidean; 0.08 finds copies that were resized to half, recompressed at quality 50 or brightened by 5 %.

    Returns:
        (m, 2) int64 pairs with first < second, sorted; and (m,) float32 distances.
    """
    from scipy.spatial import cKDTree

    empty = np.empty((0, 2), np.int64), np.empty(0, np.float32)
    if len(descriptors) < 2:
        return empty
    axes = _principal_axes(descriptors)
    places = (descriptors.astype(np.float32) @ axes).astype(np.float64)
    neighbours = min(_NEIGHBOURS, len(places))
    _, other = cKDTree(places).query(places, k=neighbours, distance_upper_bound=radius)
    first, column = np.nonzero(other < len(places))
    second = other[first, column]
    pairs = np.unique(np.sort(np.stack([first, second], axis=1)[first != second], axis=1), axis=0).astype(np.int64)
    if not len(pairs):
        return empty
    gap = descriptors[pairs[:, 0]].astype(np.float32) - descriptors[pairs[:, 1]].astype(np.float32)
    distance = np.linalg.norm(gap, axis=1).astype(np.float32)
    close = distance < radius
    return pairs[close], distance[close]


def _principal_axes(descriptors: NDArray[np.floating]) -> NDArray[np.float32]:
    """(53, 16) orthonormal: where the rows differ most."""
    step = max(1, len(descriptors) // 5000)
    sample = descriptors[::step].astype(np.float64)
    _, vectors = np.linalg.eigh(np.cov(sample, rowvar=False))
    axes: NDArray[np.float32] = vectors[:, ::-1][:, :_TREE_VALUES].astype(np.float32)
    return axes
