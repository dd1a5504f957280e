"""Intervals of what a way of training is worth: test rows are resampled, seeds count by Student's t.

Every seed answers the same rows, so a mean over both varies with the rows drawn (Efron 1979), with the seeds, and with
what a seed makes of a row. Resampling three seeds as well says little of a fourth: with seeds that differ as much as
rows do, such 95 % intervals hold the truth in 82 % of cases. Here the seeds' own variance is what their values vary by
beyond what resampled rows explain, and joins that of the rows with Satterthwaite's degrees of freedom (1946).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Indices of rows to a value for each seed, (seeds,); or to several, (seeds, values)."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def ci95(self) -> list[float]:
        """[low, high]"""
        return [self.low, self.high]


def interval(statistic: Statistic, n_rows: int, times: int, seed: int) -> Estimate:
    """The mean over seeds of `statistic`; see `intervals`."""
    return intervals(lambda rows: statistic(rows)[:, None], n_rows, times, seed)[0]


def intervals(statistic: Statistic, n_rows: int, times: int, seed: int) -> list[Estimate]:
    """The mean over seeds of each of `statistic`'s values, with its interval for other rows and other seeds.

    One seed alone tells nothing of others: the interval is then for other rows. The same `seed` draws the same rows for
    every statistic. Where seeds agree it is the percentile interval, as skewed as that is, about the mean: a statistic
    that is larger on rows that repeat, as a calibration error is, has that taken off.

    Args:
        times: how often rows are drawn, at least 2.
    """
    generator = np.random.default_rng(seed)
    whole = statistic(np.arange(n_rows))
    drawn = np.stack([statistic(generator.integers(0, n_rows, n_rows)) for _ in range(times)])
    return [_estimate(whole[:, index], drawn[:, :, index], n_rows) for index in range(whole.shape[1])]


def _estimate(whole: NDArray[np.float64], drawn: NDArray[np.float64], n_rows: int) -> Estimate:
    """From a value per seed (seeds,), and the same for each draw of rows (times, seeds)."""
    mean, means = float(whole.mean()), drawn.mean(axis=1) - drawn.mean() + whole.mean()
    of_rows, of_seeds = float(means.var(ddof=1)), _of_seeds(whole, drawn)
    low, high = np.quantile(means, [0.025, 0.975])
    stretch = _reach(of_rows, of_seeds, n_rows, len(whole))
    if of_rows == 0.0:
        return Estimate(mean, mean - stretch, mean + stretch)
    factor = stretch / _reach(of_rows, 0.0, n_rows, 1)
    return Estimate(mean, mean - factor * (mean - float(low)), mean + factor * (float(high) - mean))


def _of_seeds(whole: NDArray[np.float64], drawn: NDArray[np.float64]) -> float:
    """Variance of the mean that comes of the seeds: theirs, less what one seed makes of rows and another does not."""
    n_seeds = len(whole)
    if n_seeds < 2:
        return 0.0
    apart = (drawn - drawn.mean(axis=1, keepdims=True)).var(axis=0, ddof=1).mean() / (n_seeds - 1)
    return max(0.0, float(whole.var(ddof=1) / n_seeds - apart))


def _reach(of_rows: float, of_seeds: float, n_rows: int, n_seeds: int) -> float:
    from scipy.stats import t

    total = of_rows + of_seeds
    if total == 0.0:
        return 0.0
    pieces = of_rows**2 / max(1, n_rows - 1) + of_seeds**2 / max(1, n_seeds - 1)
    return float(t.ppf(0.975, total**2 / pieces) * np.sqrt(total))
