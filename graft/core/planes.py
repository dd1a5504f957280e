"""Features of one net at two times in two dimensions, so that the pictures of both can be compared.

At each time the same procedure is fitted anew, since training moves the features. Such planes agree but for turns,
mirrors and size, so the second is turned to where the fitted rows lie in the first (Procrustes; Schoenemann 1966).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graft.core.features import Matrix
from graft.core.reduction import Reduction

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Plane:
    """Two dimensions of features: those of a reduction, moved to mean 0 and mean square 1, and turned.

    Attributes:
        turn: (2, 2), at right angles.
    """

    reduction: Reduction
    mean: Matrix
    size: float
    turn: Matrix

    def place(self, features: Rows) -> Matrix:
        """(n, d) features to (n, 2) places."""
        placed: Matrix = (_flat(self.reduction, features) - self.mean) / self.size @ self.turn
        return placed


def alike(first: Rows, second: Rows, fit: Callable[[Rows], Reduction]) -> tuple[Plane, Plane]:
    """A plane of each, by the same procedure, the second turned to the first.

    Args:
        first, second: (n, d) features of the same pictures in the same order; d may differ.
        fit: to one or two directions.

    Raises:
        BadInput: what `fit` raises.
    """
    from scipy.linalg import orthogonal_procrustes

    one, two = (_plane(fit(features), features) for features in (first, second))
    turn, _ = orthogonal_procrustes(two.place(second), one.place(first))
    return one, Plane(two.reduction, two.mean, two.size, turn)


def _plane(reduction: Reduction, features: Rows) -> Plane:
    flat = _flat(reduction, features)
    size = float(np.sqrt(((flat - flat.mean(axis=0)) ** 2).mean())) or 1.0
    return Plane(reduction, flat.mean(axis=0), size, np.eye(2))


def _flat(reduction: Reduction, features: Rows) -> Matrix:
    """(n, 2), the second all 0 where there is one direction: LDA of two classes."""
    found = reduction.transform(features)[:, :2]
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
