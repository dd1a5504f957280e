"""Which of two classifiers is better on the same pictures: a paired bootstrap, and McNemar's exact test (1947)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graft.core import bootstrap


@dataclass(frozen=True)
class Comparison:
    """Challenger against incumbent, row by row.

    Attributes:
        points: difference of their accuracies in points; above 0 if the challenger is better.
        ci95: its 95 % interval, by bootstrap over rows.
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


def corrected(p_values: Sequence[float]) -> list[float]:
    """p-values of several comparisons at once, each raised so that one false alarm among all is as rare (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    raised = np.empty(len(p_values))
    raised[order] = np.maximum.accumulate(np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1))
    return [float(value) for value in np.minimum(raised, 1.0)]


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Rows (n,) that only the first answered rightly, only the second, and the exact two-sided p-value."""
    from scipy.stats import binomtest

    ours, theirs = int((first & ~second).sum()), int((second & ~first).sum())
    return ours, theirs, float(binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0


def compare(challenger: NDArray[np.bool_], incumbent: NDArray[np.bool_], times: int, seed: int) -> Comparison:
    """Compare which rows (n,) bool each answered rightly.

    Args:
        times: bootstrap replicates.

    Raises:
        ValueError: not the same rows, or none.
    """
    if challenger.shape != incumbent.shape or challenger.size == 0:
        raise ValueError(f"{challenger.shape} and {incumbent.shape} are not the same rows")
    difference = 100.0 * (challenger.astype(np.float64) - incumbent)
    seen = bootstrap.interval(lambda rows: difference[None, rows].mean(axis=1), len(difference), times, seed)
    ours, theirs, p_value = mcnemar(challenger, incumbent)
    return Comparison(seen.mean, (seen.low, seen.high), ours, theirs, p_value, len(difference))
