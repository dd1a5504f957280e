"""Accuracy of a linear probe (Alain & Bengio 2017), by cross-validation: can a linear head tell the classes apart?"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import features as frozen

SEED = 0


class Options(BaseModel):
    """Strength of the penalty on the probe's weights, and how often the rows are parted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="inverse of scikit-learn's C")
    folds: int = Field(default=5, ge=2, le=100, description="fewer where a class has fewer rows")


DEFAULT = Options()


def score(features: NDArray[np.float32], labels: NDArray[np.int64], options: Options = DEFAULT) -> float:
    """Share in [0, 1] of rows that logistic regression on the other folds names rightly; higher is better for transfer.

    Features are standardised over all rows, which looks at no label.

    Raises:
        BadInput: see `graft.core.features.labelled`.
    """
    rows, codes = frozen.labelled(features, labels)
    guesses = frozen.linear_guesses(rows, codes, frozen.folds_for(codes, options.folds), options.l2, SEED)
    return float(np.mean(guesses == codes))
