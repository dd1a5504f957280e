"""Frechet distance (Heusel et al. 2017): how far apart are both domains, taken for one Gaussian each?"""

import numpy as np
from numpy.typing import NDArray

from graft.core import features as frozen
from graft.core.features import Matrix


def distance(source: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Squared, as it is usually told, in squared units of the features; 0 for the same mean and covariance.

    Fewer rows than features overrate it: compare values of equally many rows.

    Raises:
        BadInput: see `graft.core.features.pair`.
    """
    first, second = frozen.pair(source, target)
    gap = first.mean(axis=0) - second.mean(axis=0)
    a, b = _root(first), _root(second)
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()  # the trace of the root of both covariances' product
    return max(0.0, float((gap**2).sum() + (a**2).sum() + (b**2).sum() - 2.0 * shared))


def _root(rows: Matrix) -> Matrix:
    """(min(n, d), d) matrix whose square is the covariance, so that none of d x d needs a root."""
    centred = (rows - rows.mean(axis=0)) / np.sqrt(len(rows) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r"), dtype=np.float64)
