"""Do probabilities mean what they say? Log loss, Brier score and expected calibration error."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core.scores import BINS, Answers, calibration_error


class Options(BaseModel):
    """How many bins of equal width the confidence is sorted into."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    bins: int = Field(default=BINS, ge=2, le=1000)


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
    answers = Answers.of(labels, probabilities)
    return {
        "log_loss": float(answers.log_loss.mean()),
        "brier": float(answers.brier.mean()),
        "expected_calibration_error": calibration_error(answers.confidence, answers.hits, options.bins),
    }
