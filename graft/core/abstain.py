"""When to say nothing: accuracy against coverage, thresholds for a wanted accuracy, and pictures of another kind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS = 21


@dataclass(frozen=True)
class Threshold:
    """From which confidence on to answer, and what came of it.

    Attributes:
        wanted: accuracy of what is answered.
        confidence: the least to answer with; above 1 nothing is answered.
        coverage, accuracy: of other rows: share that is answered, and of those the share that is right (1 if none).
    """

    wanted: float
    confidence: float
    coverage: float
    accuracy: float


def curve(confidence: NDArray[np.float64], hits: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """(coverage, accuracy) where only the surest rows are answered, from few to all (Geifman & El-Yaniv 2017).

    Args:
        confidence: (n,) float64; rows of equal confidence are answered together.
        hits: (n,) bool.
    """
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum(hits[order])
    last = np.searchsorted(-confidence[order], -confidence[order], side="right")  # rows answered with each
    wanted = np.unique(np.ceil(np.linspace(1 / POINTS, 1, POINTS) * len(hits)).astype(int))
    counts = np.unique(last[wanted - 1])
    return [(float(count / len(hits)), float(right[count - 1] / count)) for count in counts]


def area_above(confidence: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    """Mean error over all coverages, in [0, 1]: 0 if every row is right; the better the order, the smaller."""
    order = np.argsort(-confidence, kind="stable")
    return float(1.0 - (np.cumsum(hits[order]) / np.arange(1, len(hits) + 1)).mean())


def threshold(confidence: NDArray[np.float64], hits: NDArray[np.bool_], wanted: float) -> float:
    """The least confidence from which on at least `wanted` of the rows are right; above 1 if there is none."""
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(hits[order]) / np.arange(1, len(hits) + 1)
    sorted_ = confidence[order]
    ends = np.append(sorted_[1:] < sorted_[:-1], True)  # a threshold cannot part rows of equal confidence
    good = np.flatnonzero(ends & (accuracy >= wanted))
    return float(sorted_[good[-1]]) if len(good) else 2.0


def applied(wanted: float, at: float, confidence: NDArray[np.float64], hits: NDArray[np.bool_]) -> Threshold:
    """What comes of answering rows (n,) from the confidence `at` on."""
    answered = confidence >= at
    accuracy = float(hits[answered].mean()) if answered.any() else 1.0
    return Threshold(wanted, at, float(answered.mean()), accuracy)


def separation(own: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    """How well confidence tells rows of the domain (n,) from rows of another kind (m,) (Hendrycks & Gimpel 2017).

    Returns:
        auroc: probability that a row of the domain is surer than one of the other kind, in [0, 1]; 0.5 is chance.
        other_at_95: share of the other kind that is taken where 95 % of the domain's rows are.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([own, other]))
    auroc = (ranks[: len(own)].sum() - len(own) * (len(own) + 1) / 2) / (len(own) * len(other))
    least = np.quantile(own, 0.05, method="lower")
    return {"auroc": float(auroc), "other_at_95": float((other >= least).mean())}
