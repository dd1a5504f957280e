"""What scores ask of answers, row by row, so that thousands of draws of the same rows cost little."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-12
"""A probability of 0 for what turns out true would make the log loss infinite."""
BINS = 15


@dataclass(frozen=True)
class Answers:
    """One model's answers to n rows.

    Attributes:
        labels, predicted: (n,) int64.
        in_top: (n,) bool, whether the true class is among the k most probable.
        log_loss: (n,) float64 in nats.
        brier: (n,) float64, squared distance to the truth, summed over classes, in [0, 2] (Brier 1950).
        confidence: (n,) float64 in [0, 1], the largest probability.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    in_top: NDArray[np.bool_]
    log_loss: NDArray[np.float64]
    brier: NDArray[np.float64]
    confidence: NDArray[np.float64]
    n_classes: int

    @classmethod
    def of(cls, labels: NDArray[np.int64], probabilities: NDArray[np.float32], top_k: int = 1) -> "Answers":
        """From probabilities (n, classes), rows that add up to 1.

        Raises:
            ValueError: there are no rows, or the shapes do not fit.
        """
        if len(labels) == 0 or probabilities.shape[:1] != labels.shape:
            raise ValueError(f"{labels.shape} labels and {probabilities.shape} probabilities cannot be scored")
        wide = probabilities.astype(np.float64)
        true = wide[np.arange(len(labels)), labels]
        above = (wide > true[:, None]).sum(axis=1)
        return cls(
            labels,
            wide.argmax(axis=1),
            above < top_k,
            -np.log(np.maximum(true, SMALLEST)),
            (wide**2).sum(axis=1) - 2 * true + 1,
            wide.max(axis=1),
            wide.shape[1],
        )

    def take(self, rows: NDArray[np.int64]) -> "Answers":
        """The answers to these rows, which may repeat."""
        taken = {one.name: getattr(self, one.name)[rows] for one in fields(self) if one.name != "n_classes"}
        return Answers(**taken, n_classes=self.n_classes)

    @property
    def hits(self) -> NDArray[np.bool_]:
        """(n,) whether the answer was right."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    def scores(self) -> dict[str, float]:
        """Those of `from_confusion`; top_k_accuracy in [0, 1]; log_loss, brier and expected_calibration_error."""
        return {
            **from_confusion(confusion(self.labels, self.predicted, self.n_classes)),
            "top_k_accuracy": float(self.in_top.mean()),
            "log_loss": float(self.log_loss.mean()),
            "brier": float(self.brier.mean()),
            "expected_calibration_error": calibration_error(self.confidence, self.hits),
        }


def confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """(n_classes, n_classes) counts: rows are true classes, columns predicted ones."""
    flat = np.bincount(labels * n_classes + predicted, minlength=n_classes * n_classes)
    return flat.reshape(n_classes, n_classes)


def from_confusion(table: NDArray[np.int64]) -> dict[str, float]:
    """accuracy, macro_recall (balanced accuracy by another name), macro_precision and macro_f1 of a confusion matrix.

    Macro means are over the classes that occur; a class that is never predicted has precision 0.
    """
    present = table.sum(axis=1) > 0
    recall, precision, f1 = (values[present] for values in per_class(table))
    return {
        "accuracy": float(np.diag(table).sum() / table.sum()),
        "macro_recall": float(recall.mean()),
        "macro_precision": float(precision.mean()),
        "macro_f1": float(f1.mean()),
    }


def per_class(table: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Recall, precision and F1 of each class, in [0, 1]; 0 where there is nothing to divide by."""
    hits = np.diag(table).astype(np.float64)
    recall, precision = _ratio(hits, table.sum(axis=1)), _ratio(hits, table.sum(axis=0))
    return recall, precision, _ratio(2 * recall * precision, recall + precision)


def calibration_error(confidence: NDArray[np.float64], hits: NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean distance of confidence and accuracy over equal bins of confidence, by their rows (Naeini et al. 2015)."""
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    surplus = np.bincount(index, confidence - hits, minlength=bins)
    return float(np.abs(surplus).sum() / len(hits))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
