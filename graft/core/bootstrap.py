"""Intervals by resampling: over test rows and, where there are several, over seeds (Efron 1979; paired differences)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % percentile interval."""

    mean: float
    low: float
    high: float

    @property
    def ci95(self) -> list[float]:
        """[low, high]"""
        return [self.low, self.high]


Statistic = Callable[[NDArray[np.int64], NDArray[np.int64]], float]
"""(indices of seeds, indices of rows) -> value."""


def interval(statistic: Statistic, n_seeds: int, n_rows: int, times: int, seed: int) -> Estimate:
    """Bootstrap `statistic` over seeds and rows, both drawn with replacement.

    Rows are drawn once per replicate for all seeds, since every seed answers the same rows. The same `seed` draws the
    same rows for every statistic, so differences between arms are paired.

    Args:
        times: number of replicates.
    """
    generator = np.random.default_rng(seed)
    all_seeds, all_rows = np.arange(n_seeds), np.arange(n_rows)
    draws = [
        statistic(generator.integers(0, n_seeds, n_seeds), generator.integers(0, n_rows, n_rows)) for _ in range(times)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(float(statistic(all_seeds, all_rows)), float(low), float(high))
