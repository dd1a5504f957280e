"""Do probabilities mean what they say? Log loss, Brier score and expected calibration error."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

SMALLEST = 1e-12
"""A probability of 0 for what turns out true would make the log loss infinite."""


class Options(BaseModel):
    """How many bins of equal width the confidence is sorted into."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    bins: int = Field(default=15, ge=2, le=1000)


def score(options: Options, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> dict[str, float]:
    """Scores of one model on one set; 0 is best for each.

    Args:
        labels: (n,) int64 in [0, n_classes).
        probabilities: (n, n_classes) float32, rows that add up to 1.

    Returns:
        log_loss in nats; brier, the squared distance to the truth summed over classes, in [0, 2] (Brier 1950);
        expected_calibration_error in [0, 1]: mean distance of confidence and accuracy over bins of confidence,
        weighted by their rows (Naeini et al. 2015).

    Raises:
        ValueError: there are no rows, or the shapes do not fit.
    """
    if len(labels) == 0 or probabilities.shape[:1] != labels.shape:
        raise ValueError(f"{labels.shape} labels and {probabilities.shape} probabilities cannot be scored")
    wide = probabilities.astype(np.float64)
    true = wide[np.arange(len(labels)), labels]
    brier = (wide**2).sum(axis=1) - 2 * true + 1
    return {
        "log_loss": float(-np.log(np.maximum(true, SMALLEST)).mean()),
        "brier": float(brier.mean()),
        "expected_calibration_error": _gap(wide.max(axis=1), wide.argmax(axis=1) == labels, options.bins),
    }


def _gap(confidence: NDArray[np.float64], hits: NDArray[np.bool_], bins: int) -> float:
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    surplus = np.bincount(index, confidence - hits, minlength=bins)
    return float(np.abs(surplus).sum() / len(hits))
