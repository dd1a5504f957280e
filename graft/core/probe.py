"""A linear head fitted to frozen features: the cheapest way to use a backbone, and the start of finer ones."""

from typing import Any

import numpy as np

from graft.core import fit
from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.core.fit import TrainData

SEED = 0
LEAST_SCALE = 0.1


def backbone_of(model: Any) -> Any:
    """The backbone inside a `fit.classifier`."""
    return model.get_layer("backbone")


def sample(split: Split, limit: int) -> Split:
    """At most `limit` rows of `split`, about as many of each class, the same at every call."""
    if len(split) <= limit:
        return split
    order = np.random.default_rng(SEED).permutation(len(split))
    labels = split.labels[order]
    turn = np.empty(len(split), np.int64)  # of each row, how many of its class come before it
    for label in np.unique(labels):
        turn[labels == label] = np.arange(np.count_nonzero(labels == label))
    return split.take(np.sort(order[np.argsort(turn, kind="stable")[:limit]]))


def fit_head(model: Any, data: TrainData, l2: float, limit: int | None = None) -> None:
    """Replace the head's weights by those of multinomial logistic regression on standardised features.

    The regression runs on the pictures as they are; the standardisation is folded into the weights, so that the head
    stays a plain linear layer. The backbone is only read. A feature that moves less than a tenth as far as the one that
    moves farthest is standardised as if it moved that far: those that hardly ever move would get weights a thousand
    times the others', which a few hundred steps of fine-tuning do not undo.

    Args:
        l2: penalty, the inverse of scikit-learn's `C`.
        limit: rows that the regression may see (see `sample`); all of them if None.

    Raises:
        BadInput: all training rows are of one class.
    """
    from sklearn.linear_model import LogisticRegression

    train = data.train if limit is None else sample(data.train, limit)
    if len(np.unique(train.labels)) < 2:
        raise BadInput(f"all {len(train)} training pictures are of one class; a classifier needs pictures of two")
    features = fit.predict(backbone_of(model), train.images).astype(np.float64)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.maximum(spread, LEAST_SCALE * spread.max()) + 1e-6
    regression = LogisticRegression(C=1.0 / l2, max_iter=1000)
    regression.fit((features - mean) / scale, train.labels)
    head = model.get_layer("head")
    kernel, bias = (np.zeros(weight.shape, np.float32) for weight in head.get_weights())
    coefficients, intercept = _per_class(regression)
    kernel[:, regression.classes_] = (coefficients / scale).T
    bias[regression.classes_] = intercept - (coefficients / scale) @ mean
    head.set_weights([kernel, bias])


def _per_class(regression: Any) -> tuple[Any, Any]:
    """One row of coefficients per class: scikit-learn gives a single row for two classes."""
    coefficients, intercept = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        return np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-intercept, intercept]) / 2
    return coefficients, intercept
