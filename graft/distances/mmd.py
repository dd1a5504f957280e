"""Maximum mean discrepancy (Gretton et al. 2012): could the features of both domains be one sample?"""

import numpy as np
from numpy.typing import NDArray

from graft.core import features as frozen


def distance(source: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """Unbiased estimate of the squared discrepancy; about 0, also just below, for one and the same distribution.

    A Gaussian kernel as wide as the median distance between rows, so the scale of the features does not matter. Takes
    memory for a square of all rows: draw a thousand of each first.

    Raises:
        BadInput: see `graft.core.features.pair`.
    """
    from scipy.spatial.distance import pdist, squareform

    first, second = frozen.pair(source, target)
    squares = pdist(np.concatenate([first, second]), "sqeuclidean")
    width = float(np.median(squares)) or float(squares.mean())
    kernel = squareform(np.exp(-squares / (2.0 * width)))  # 0 on the diagonal: a row's likeness to itself is left out
    n, m = len(first), len(second)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2.0 * kernel[:n, n:].mean())
