"""Frozen features of pictures, checked and in an order of their own: what scores and distances start from."""

import numpy as np
from numpy.typing import NDArray

from graft.core.errors import BadInput
from graft.core.folds import Rows, folds

Matrix = NDArray[np.float64]


def labelled(features: NDArray[np.float32], labels: Rows) -> tuple[Matrix, Rows]:
    """Both as (n, d) float64 and (n,) int64 from 0 up without gaps, in an order that does not depend on the one given.

    Raises:
        BadInput: they do not fit, a value is not finite, no two rows differ, there is one class, or one has one row.
    """
    checked(features)
    if labels.shape != features.shape[:1]:
        raise BadInput(f"{len(features)} rows of features come with {labels.shape} labels; one a row would do")
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise BadInput(f"all {len(labels)} labels are of one class; a score tells classes apart and needs two")
    if counts.min() < 2:
        rare = classes[counts.argmin()]
        raise BadInput(f"class {rare} has 1 row; a score learns from one and asks about another: 2 would do")
    order = sorted(range(len(labels)), key=lambda row: (codes[row], features[row].tobytes()))
    return features[order].astype(np.float64), codes[order].astype(np.int64)


def pair(source: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[Matrix, Matrix]:
    """The features of two domains as (n, d) float64, rows in an order that does not depend on the one given.

    Raises:
        BadInput: they do not fit, a value is not finite, or a domain has fewer than two rows or no two that differ.
    """
    if source.shape[1:] != target.shape[1:]:
        raise BadInput(f"features of shapes {source.shape} and {target.shape} come from two networks; one would do")
    for domain in (source, target):
        checked(domain)
    first, second = (
        domain[sorted(range(len(domain)), key=lambda row: domain[row].tobytes())] for domain in (source, target)
    )
    return first.astype(np.float64), second.astype(np.float64)


def checked(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """`features` as they are.

    Raises:
        BadInput: they are no (rows, features) with two rows or more, a value is not finite, or no two rows differ.
    """
    if features.ndim != 2 or len(features) < 2:
        raise BadInput(f"features have the shape {features.shape}; (rows, features) with 2 rows or more would do")
    if not np.all(np.isfinite(features)):
        row = int(np.argwhere(~np.isfinite(features))[0][0])
        raise BadInput(f"row {row} of the features is not finite; the network that made them has diverged")
    if np.all(features == features[0]):
        raise BadInput(f"all {len(features)} rows of features are the same; the network that made them is dead")
    return features


def standardised(features: Matrix) -> Matrix:
    """Every column with mean 0 and variance 1; a column that does not vary is 0."""
    spread = features.std(axis=0)
    varies = spread > 1e-12 * (1.0 + np.abs(features).max())
    scaled: Matrix = np.where(varies, (features - features.mean(axis=0)) / np.where(varies, spread, 1.0), 0.0)
    return scaled


def compact(features: Matrix) -> Matrix:
    """The rows in at most as many coordinates as there are rows: the same inner products from fewer numbers."""
    if features.shape[1] <= len(features):
        return features
    squares, left = np.linalg.eigh(features @ features.T)
    turned: Matrix = left * np.sqrt(np.maximum(squares, 0.0))
    return turned


def linear_guesses(features: Matrix, labels: Rows, n_folds: int, l2: float, seed: int) -> Rows:
    """What logistic regressions on standardised features that have not seen a row say of its label.

    Classes of unequal sizes count alike.

    Args:
        l2: penalty, the inverse of scikit-learn's `C`.
    """
    from sklearn.linear_model import LogisticRegression

    rows = compact(standardised(features))
    guesses = np.empty_like(labels)
    for train, validation in folds(labels, None, n_folds, seed):
        model = LogisticRegression(C=1.0 / l2, class_weight="balanced", max_iter=1000)
        guesses[validation] = model.fit(rows[train], labels[train]).predict(rows[validation])
    return guesses


def folds_for(labels: Rows, most: int) -> int:
    """As many folds as the rarest class allows, `most` at the most."""
    return int(min(most, np.bincount(labels).min()))
