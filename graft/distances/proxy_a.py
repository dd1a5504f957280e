"""Proxy A-distance (Ben-David et al. 2007): how well does a linear classifier tell both domains apart?"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import features as frozen

SEED = 0


class Options(BaseModel):
    """Strength of the penalty on the classifier's weights, and how often the rows are parted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="inverse of scikit-learn's C")
    folds: int = Field(default=5, ge=2, le=100, description="fewer where a domain has fewer rows")


DEFAULT = Options()


def distance(source: NDArray[np.float32], target: NDArray[np.float32], options: Options = DEFAULT) -> float:
    """2 (1 - 2 error) in [0, 2]; 0 where the classifier does no better than chance, 2 where it never errs.

    The error is by cross-validation and the mean of both domains' own, so their sizes do not matter.

    Raises:
        BadInput: see `graft.core.features.pair`.
    """
    first, second = sorted(frozen.pair(source, target), key=lambda rows: rows.tobytes())  # the same either way round
    domain = np.repeat([0, 1], [len(first), len(second)])
    rows = np.concatenate([first, second])
    guesses = frozen.linear_guesses(rows, domain, frozen.folds_for(domain, options.folds), options.l2, SEED)
    error = np.mean([np.mean(guesses[domain == one] != one) for one in (0, 1)])
    return max(0.0, 2.0 * (1.0 - 2.0 * float(error)))
