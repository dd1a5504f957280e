"""Universal features: the directions in which frozen features vary, or tell classes apart.

Both are fitted to training rows of one domain; that they also explain another domain is what makes them universal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graft.core import features as frozen
from graft.core.errors import BadInput
from graft.core.features import Matrix
from graft.core.folds import Rows


@dataclass(frozen=True)
class Reduction:
    """A few directions in feature space.

    Attributes:
        mean: (d,) of the rows it was fitted to.
        axes: (d, k), the most telling first.
    """

    mean: Matrix
    axes: Matrix

    def transform(self, features: NDArray[np.float32]) -> Matrix:
        """(n, d) features to their (n, k) components."""
        components: Matrix = (features - self.mean) @ self.axes
        return components

    def explained_variance(self, features: NDArray[np.float32]) -> Matrix:
        """(k,) shares of the variance of `features` that lie along each axis.

        Those of PCA's axes add up; LDA's are not at right angles, so theirs may overlap.

        Raises:
            BadInput: see `graft.core.features.checked`.
        """
        rows = frozen.checked(features)
        lengths = np.linalg.norm(self.axes, axis=0)
        total = rows.var(axis=0, dtype=np.float64).sum()
        shares: Matrix = self.transform(rows).var(axis=0) / lengths**2 / total
        return shares


def pca(features: NDArray[np.float32], components: int) -> Reduction:
    """The directions of most variance (Pearson 1901); no labels are asked.

    Args:
        features: (n, d) of training rows.
        components: at most; there are no more than min(n, d).

    Raises:
        BadInput: see `graft.core.features.checked`.
    """
    from sklearn.decomposition import PCA

    fitted = PCA(min(components, *features.shape), svd_solver="full").fit(frozen.checked(features).astype(np.float64))
    return Reduction(fitted.mean_, fitted.components_.T)


def lda(features: NDArray[np.float32], labels: Rows, components: int) -> Reduction:
    """The directions in which classes lie apart against their own spread (Fisher 1936; of several classes, Rao 1948).

    Covariances are shrunk as Ledoit and Wolf (2004) do, so that it holds with more features than rows.

    Args:
        features: (n, d) of training rows.
        components: at most; there are no more than min(classes - 1, d).

    Raises:
        BadInput: see `graft.core.features.labelled`.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rows, codes = frozen.labelled(features, labels)
    mean, basis = rows.mean(axis=0), _span(rows)
    fitted = LinearDiscriminantAnalysis("eigen", shrinkage="auto").fit((rows - mean) @ basis, codes)
    most = min(components, int(codes.max()), basis.shape[1])
    return Reduction(mean, basis @ fitted.scalings_[:, :most])


def _span(rows: Matrix) -> Matrix:
    """(d, k) axes at right angles that the rows vary along: with more features than rows they are far fewer than d."""
    if rows.shape[1] <= len(rows):
        return np.eye(rows.shape[1])
    centred = rows - rows.mean(axis=0)
    squares, left = np.linalg.eigh(centred @ centred.T)
    kept = squares > 1e-10 * squares.max()
    axes: Matrix = centred.T @ (left[:, kept] / np.sqrt(squares[kept]))
    return axes


def separability(components: Matrix, labels: Rows) -> Matrix:
    """(k,) Fisher criteria: variance between the classes' means over variance within classes, of each component.

    0 where the classes lie on one another; infinite nowhere: a component without any variance has 0.

    Raises:
        BadInput: there is one class, or a class with one row.
    """
    if components.ndim != 2 or len(components) != len(labels):
        raise BadInput(f"components {components.shape} and {len(labels)} labels do not fit; one row a label would do")
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.min() < 2:
        raise BadInput("separability needs two classes of two rows each; more labels would do")
    means = np.stack([components[codes == k].mean(axis=0) for k in range(len(counts))])
    within = ((components - means[codes]) ** 2).mean(axis=0)
    between = (counts[:, None] * (means - components.mean(axis=0)) ** 2).sum(axis=0) / len(codes)
    floor = np.finfo(np.float64).eps * (within + between).max()
    criteria: Matrix = np.where(within + between > 0, between / np.maximum(within, max(floor, 1e-300)), 0.0)
    return criteria
