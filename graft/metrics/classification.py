"""Accuracy, recall, precision and F1 for single-label classification."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def score(
    options: Options, labels: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> dict[str, float | list[float]]:
    """Scores of one model on one set.

    Args:
        labels: (n,) int64 in [0, n_classes).
        probabilities: (n, n_classes) float32; only their order within a row counts.

    Returns:
        accuracy, macro_recall, macro_precision, macro_f1 in [0, 1] and recall (one per class). Macro means are over
        the classes that occur in `labels`; a class that is never predicted has precision 0.

    Raises:
        ValueError: there are no rows, or the shapes do not fit.
    """
    if len(labels) == 0 or probabilities.shape[:1] != labels.shape:
        raise ValueError(f"{labels.shape} labels and {probabilities.shape} probabilities cannot be scored")
    table = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    scores = from_confusion(table)
    recall = np.divide(np.diag(table), table.sum(axis=1), out=np.zeros(len(table)), where=table.sum(axis=1) > 0)
    return {**scores, "recall": [float(value) for value in recall]}


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """(n_classes, n_classes) counts: rows are true classes, columns predicted ones."""
    flat = np.bincount(labels * n_classes + predicted, minlength=n_classes * n_classes)
    return flat.reshape(n_classes, n_classes)


def from_confusion(table: NDArray[np.int64]) -> dict[str, float]:
    """accuracy, macro_recall, macro_precision and macro_f1 of a confusion matrix."""
    hits = np.diag(table).astype(float)
    actual, claimed = table.sum(axis=1), table.sum(axis=0)
    present = actual > 0
    recall = hits[present] / actual[present]
    precision = np.divide(hits, claimed, out=np.zeros_like(hits), where=claimed > 0)[present]
    total = recall + precision
    f1 = np.divide(2 * recall * precision, total, out=np.zeros_like(total), where=total > 0)
    return {
        "accuracy": float(hits.sum() / table.sum()),
        "macro_recall": float(recall.mean()),
        "macro_precision": float(precision.mean()),
        "macro_f1": float(f1.mean()),
    }
