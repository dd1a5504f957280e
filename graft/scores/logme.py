"""LogME (You, Liu, Wang & Long 2021): how likely are the labels under any linear model on the features?"""

import math

import numpy as np
from numpy.typing import NDArray

from graft.core import features as frozen


def score(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Logarithm of the maximum evidence, per row, mean over one-against-all classes; higher is better for transfer.

    The evidence of Bayesian linear regression depends on two precisions, of weights and of noise. For a given ratio of
    the two the best noise is known in closed form, so the ratio alone is searched, where the paper iterates to a fixed
    point: the same maximum, and finite also where there are more features than rows.

    Raises:
        BadInput: see `graft.core.features.labelled`.
    """
    rows, codes = frozen.labelled(features, labels)
    left, values, _ = np.linalg.svd(frozen.compact(rows), full_matrices=False)
    squares = (values / values[0]) ** 2
    wanted = np.eye(int(codes.max()) + 1)[codes]
    inside = (left.T @ wanted) ** 2
    outside = np.maximum((wanted**2).sum(axis=0) - inside.sum(axis=0), 0.0)
    return float(np.mean([_evidence(squares, inside[:, k], outside[k], len(rows)) for k in range(wanted.shape[1])]))


def _evidence(squares: NDArray[np.float64], inside: NDArray[np.float64], outside: float, n: int) -> float:
    """Of one class, per row.

    Args:
        squares: squared singular values of the features, the largest 1.
        inside: squared parts of the labels along the features' left singular vectors.
        outside: the squared rest.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        error = outside + float((inside * ratio / (squares + ratio)).sum())
        volume = float(np.log1p(squares / ratio).sum())
        return 0.5 * (math.log(2 * math.pi * max(error, 1e-300) / n) + 1.0 + volume / n)

    grid = np.linspace(np.log(1e-8), np.log(1e8), 65)
    best = int(np.argmin([loss(one) for one in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return -min(float(found.fun), loss(grid[best]))
