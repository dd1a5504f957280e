"""Features of pictures before any net is trained: filters learned from patches by k-means (Coates, Ng & Lee 2011).

Cheap enough for a data gate and strong enough that a linear model on them tells most labels right.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EDGE_PX = 32
PATCH_PX, STRIDE_PX = 6, 2
N_PATCHES = 10_000
BATCH = 250
LEARN_FROM = 1_500
"""How many pictures are enough to learn the filters from."""


@dataclass(frozen=True)
class PatchFeatures:
    """Learned filters: `thumbs` (n, 32, 32, 3) uint8 to (n, size) float32.

    Attributes:
        filters: (108, n_filters) float32, whitening included.
        offset: (n_filters,) float32.
        mean, axes: of the pooled responses' principal components, scaled to unit variance; (5 n_filters,) and
            (5 n_filters, size).
    """

    filters: NDArray[np.float32]
    offset: NDArray[np.float32]
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    def __call__(self, thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, size) float32, size at most what `learn` was asked for."""
        parts = [
            (pooled(thumbs[start : start + BATCH], self.filters, self.offset) - self.mean) @ self.axes
            for start in range(0, len(thumbs), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.axes.shape[1]), np.float32)


def thumb(image: Image.Image) -> NDArray[np.uint8]:
    """(32, 32, 3) uint8 of a picture of mode RGB."""
    return np.asarray(image.resize((EDGE_PX, EDGE_PX), Image.Resampling.BOX), dtype=np.uint8)


def learn(thumbs: NDArray[np.uint8], size: int, seed: int, n_filters: int = 256) -> PatchFeatures:
    """Learn filters and projection from a sample.

    Args:
        thumbs: (n, 32, 32, 3) uint8; about 2,000 are enough.
        size: length of a feature vector at most; fewer pictures give fewer.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # on a busy machine, threads wait for each other ten times longer than they work
        filters, offset = _filters(thumbs, n_filters, seed)
        parts = [pooled(thumbs[start : start + BATCH], filters, offset) for start in range(0, len(thumbs), BATCH)]
        responses = np.concatenate(parts)
        centre, scale = responses.mean(axis=0), responses.std(axis=0) + 1e-6
        pca = PCA(min(size, *responses.shape), svd_solver="covariance_eigh").fit((responses - centre) / scale)
    spread = np.sqrt(np.maximum(pca.explained_variance_, 1e-6))
    return PatchFeatures(filters, offset, centre, (pca.components_.T / scale[:, None] / spread).astype(np.float32))


def _filters(thumbs: NDArray[np.uint8], n_filters: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centres of whitened patches, whitening included, and their offsets."""
    from sklearn.cluster import MiniBatchKMeans

    mean, whiten, patches = _whitened(thumbs, np.random.default_rng(seed))
    lengths = np.linalg.norm(patches, axis=1, keepdims=True)
    kmeans = MiniBatchKMeans(min(n_filters, len(patches)), batch_size=4096, n_init=1, max_iter=5, random_state=seed)
    centres = kmeans.fit(patches / np.maximum(lengths, 1e-6)).cluster_centers_
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-6)
    filters = (whiten @ centres.T).astype(np.float32)
    return filters, (mean @ filters).astype(np.float32)


def pooled(thumbs: NDArray[np.uint8], filters: NDArray[np.float32], offset: NDArray[np.float32]) -> NDArray[np.float32]:
    """Responses above each patch's mean response, averaged over four quadrants and their maximum: (n, 5 n_filters)."""
    response = _patches(thumbs) @ filters - offset
    np.subtract(response, response.mean(axis=-1, keepdims=True), out=response)
    np.maximum(response, 0.0, out=response)
    half = response.shape[1] // 2
    quadrants = [
        response[:, rows, columns].mean(axis=(1, 2))
        for rows in (slice(None, half), slice(half, None))
        for columns in (slice(None, half), slice(half, None))
    ]
    return np.concatenate([*quadrants, response.max(axis=(1, 2))], axis=1)


def _patches(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, rows, columns, 108) float32: every second 6x6 patch, its own brightness and contrast removed."""
    windows = np.lib.stride_tricks.sliding_window_view(thumbs, (PATCH_PX, PATCH_PX), axis=(1, 2))
    some: Any = windows[:, ::STRIDE_PX, ::STRIDE_PX].transpose(0, 1, 2, 4, 5, 3)
    flat = some.reshape(*some.shape[:3], -1).astype(np.float32) / 255.0
    flat -= flat.mean(axis=-1, keepdims=True)
    flat /= np.sqrt(flat.var(axis=-1, keepdims=True) + 1e-3)
    return flat  # type: ignore[no-any-return]


def _whitened(
    thumbs: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean, ZCA matrix and whitened sample of patches."""
    some = generator.choice(len(thumbs), min(len(thumbs), 1000), replace=False)
    patches = _patches(thumbs[some]).reshape(-1, 3 * PATCH_PX**2)
    patches = patches[generator.choice(len(patches), min(len(patches), N_PATCHES), replace=False)]
    mean = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    whiten = ((vectors / np.sqrt(np.maximum(values, 0.0) + 0.1)) @ vectors.T).astype(np.float32)
    return mean, whiten, (patches - mean) @ whiten
