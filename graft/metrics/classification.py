"""Accuracy, recall, precision and F1 for single-label classification."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from graft.core.scores import Answers, confusion, from_confusion, per_class


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
        accuracy, macro_recall, macro_precision, macro_f1 in [0, 1] and recall, precision, f1 (one per class each).
        Macro means are over the classes that occur in `labels`; a class that is never predicted has precision 0.

    Raises:
        ValueError: there are no rows, or the shapes do not fit.
    """
    answers = Answers.of(labels, probabilities)
    table = confusion(answers.labels, answers.predicted, answers.n_classes)
    recall, precision, f1 = ([float(value) for value in values] for values in per_class(table))
    return {**from_confusion(table), "recall": recall, "precision": precision, "f1": f1}
