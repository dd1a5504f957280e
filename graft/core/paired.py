"""Which of two classifiers is better on the same pictures: a paired bootstrap, and McNemar's exact test (1947)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graft.core import bootstrap


@dataclass(frozen=True)
class Comparison:
    """Challenger against incumbent, row by row.

    Attributes:
        points: difference of their accuracies in points; above 0 if the challenger is better.
        ci95: its 95 % percentile interval, by bootstrap over rows.
        only_challenger, only_incumbent: rows that only this one answered rightly.
        p_value: of a difference as large if both erred equally often; two-sided.
        rows: how many.
    """

    points: float
    ci95: tuple[float, float]
    only_challenger: int
    only_incumbent: int
    p_value: float
    rows: int


def compare(challenger: NDArray[np.bool_], incumbent: NDArray[np.bool_], times: int, seed: int) -> Comparison:
    """Compare which rows (n,) bool each answered rightly.

    Args:
        times: bootstrap replicates.

    Raises:
        ValueError: not the same rows, or none.
    """
    from scipy.stats import binomtest

    if challenger.shape != incumbent.shape or challenger.size == 0:
        raise ValueError(f"{challenger.shape} and {incumbent.shape} are not the same rows")
    difference = 100.0 * (challenger.astype(np.float64) - incumbent)
    seen = bootstrap.interval(lambda _, rows: float(difference[rows].mean()), 1, len(difference), times, seed)
    ours, theirs = int((challenger & ~incumbent).sum()), int((incumbent & ~challenger).sum())
    p_value = float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
    return Comparison(seen.mean, (seen.low, seen.high), ours, theirs, p_value, len(difference))
