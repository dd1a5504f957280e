"""Accuracy over labels per class: what reuse is worth in labels, and how many more a wanted accuracy would take.

Accuracy is taken to grow as `ceiling - gap * labels ** -rate` (Hestness et al. 2017; for such use Mahmood et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATES = np.geomspace(0.05, 3.0, 60)
"""Exponents that are tried; the best one's ceiling and gap are least squares."""
FARTHEST = 10.0
"""Times the largest budget: beyond it nothing is foretold."""
FEWEST = 3


@dataclass(frozen=True)
class Laws:
    """Fitted curves, one for each draw: ceiling, gap and rate (draws,)."""

    ceiling: NDArray[np.float64]
    gap: NDArray[np.float64]
    rate: NDArray[np.float64]

    def at(self, labels: float) -> NDArray[np.float64]:
        """Accuracy (draws,) with so many labels per class."""
        values: NDArray[np.float64] = self.ceiling - self.gap * labels**-self.rate
        return values

    def labels_for(self, accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Labels per class (draws,) at which the accuracy (draws,) is reached; infinite where it never is."""
        missing = self.ceiling - accuracy
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (self.gap / missing) ** (1.0 / self.rate)
        return np.where(missing > 0, found, np.inf)


def fit(labels: NDArray[np.float64], accuracy: NDArray[np.float64]) -> Laws:
    """Least squares for each draw of accuracies (draws, budgets) in [0, 1]; ceilings are at most 1, gaps at least 0.

    Args:
        labels: (budgets,) per class, positive, at least FEWEST different ones.

    Raises:
        ValueError: too few budgets.
    """
    if len(np.unique(labels)) < FEWEST:
        raise ValueError(f"{len(np.unique(labels))} budgets; a curve needs {FEWEST}")
    mean = accuracy.mean(axis=1)
    best = Laws(mean, np.zeros_like(mean), np.ones_like(mean))
    least = np.full_like(mean, np.inf)
    for rate in RATES:
        x = labels**-rate
        gap = -((x - x.mean()) * accuracy).sum(axis=1) / ((x - x.mean()) ** 2).sum()
        ceiling = mean + gap * x.mean()
        capped = ceiling > 1.0
        gap = np.where(capped, (x * (1.0 - accuracy)).sum(axis=1) / (x**2).sum(), gap)
        gap = np.maximum(gap, 0.0)
        ceiling = np.where(capped, 1.0, mean + gap * x.mean())
        errors = ((ceiling[:, None] - gap[:, None] * x - accuracy) ** 2).sum(axis=1)
        better = errors < least
        least = np.where(better, errors, least)
        best = Laws(
            np.where(better, ceiling, best.ceiling),
            np.where(better, gap, best.gap),
            np.where(better, rate, best.rate),
        )
    return best


def draws(hits: Sequence[NDArray[np.float64]], times: int, seed: int) -> NDArray[np.float64]:
    """Accuracy (1 + times, budgets): as measured, then with rows and seeds drawn anew.

    Args:
        hits: for each budget (seeds, rows) of 0 and 1; rows are the same for all. The same `seed` draws the same rows
            for every arm.
    """
    generator, n_rows = np.random.default_rng(seed), hits[0].shape[1]
    found = [[float(one.mean()) for one in hits]]
    for _ in range(times):
        rows = np.bincount(generator.integers(0, n_rows, n_rows), minlength=n_rows) / n_rows
        per_seed = [one @ rows for one in hits]
        found.append([float(one[generator.integers(0, len(one), len(one))].mean()) for one in per_seed])
    return np.array(found)


def worth(labels: float, reuse: Laws, scratch: Laws, most: float) -> dict[str, Any]:
    """How many more labels per class scratch needs to be as good as reuse is with `labels`.

    Returns:
        labels: that many, negative where scratch is better; ci95 [low, high]. Whatever is above `most` is said to be
        `most`, and `more` is true: the curve was measured no further.
    """
    needed = np.minimum(scratch.labels_for(reuse.at(labels)), most + labels)
    found = needed - labels
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return {
        "labels": float(found[0]),
        "ci95": [float(low), float(high)],
        "more": bool(needed[0] >= most + labels),
    }


def to_reach(accuracy: float, laws: Laws, largest: float) -> dict[str, Any]:
    """Labels per class for a wanted accuracy in [0, 1]: labels and ci95; null beyond what can be foretold."""
    found = laws.labels_for(np.full(len(laws.rate), accuracy))
    low, high = np.quantile(np.minimum(found[1:], 1e12), [0.025, 0.975])
    farthest = FARTHEST * largest
    return {
        "accuracy": accuracy,
        "labels": _known(float(found[0]), farthest),
        "ci95": [_known(float(low), farthest), _known(float(high), farthest)],
        "farthest": farthest,
    }


def check(labels: NDArray[np.float64], accuracy: NDArray[np.float64]) -> dict[str, Any] | None:
    """Does the curve foretell? The largest budget from those up to half of it; None if those are too few.

    Returns:
        labels; predicted and its ci95; measured; in [0, 1].
    """
    known = labels <= labels.max() / 2
    if len(np.unique(labels[known])) < FEWEST:
        return None
    predicted = fit(labels[known], accuracy[:, known]).at(float(labels.max()))
    low, high = np.quantile(predicted[1:], [0.025, 0.975])
    return {
        "labels": float(labels.max()),
        "predicted": float(predicted[0]),
        "ci95": [float(low), float(high)],
        "measured": float(accuracy[0, labels.argmax()]),
    }


def _known(labels: float, farthest: float) -> float | None:
    return labels if labels <= farthest else None
