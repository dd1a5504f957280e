"""Is the file the model? Compare what an exported file answers on raw pictures with what Keras answered."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP = 10
TIMED = 100
ASKED_AGAIN = 32
SAME = 1e-5
"""Largest difference of a probability that counts as the same answer: kernels for many pictures add up otherwise."""

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Raw pictures (n, size, size, 3) uint8 to probabilities (n, classes) float32."""


@dataclass(frozen=True)
class Proof:
    """What was seen of one file.

    Attributes:
        accuracy: of the file, in [0, 1].
        accuracy_ci95: its 95 % interval for other pictures (Wilson 1927).
        agreement: share of pictures on which file and model name the same class.
        max_probability_difference: largest absolute difference of any class probability.
        worst_class_drop_points: largest loss of recall of a class against the model, in points.
        class_drop_points: the same of each class, in label order; None for a class without pictures.
    """

    accuracy: float
    accuracy_ci95: tuple[float, float]
    agreement: float
    max_probability_difference: float
    worst_class_drop_points: float
    class_drop_points: list[float | None]


@dataclass(frozen=True)
class Disagreement:
    """A picture on which file and model name different classes.

    Attributes:
        row: of the pictures that were asked about.
        label, keras, file: the true class, the model's and the file's.
        difference: largest absolute difference of a probability.
    """

    row: int
    label: int
    keras: int
    file: int
    difference: float


def compare(labels: NDArray[np.int64], reference: NDArray[np.float32], answered: NDArray[np.float32]) -> Proof:
    """Compare the probabilities (n, classes) of a file with the reference model's.

    Raises:
        ValueError: the shapes differ, there are no rows, or an answer is not finite.
    """
    if reference.shape != answered.shape or len(labels) == 0 or not np.all(np.isfinite(answered)):
        raise ValueError(f"the file answered {answered.shape}, the model {reference.shape}, or not with numbers")
    ours, theirs = answered.argmax(axis=1), reference.argmax(axis=1)
    drops = [_drop(labels == label, theirs == label, ours == label) for label in range(reference.shape[1])]
    return Proof(
        accuracy=float((ours == labels).mean()),
        accuracy_ci95=wilson(int((ours == labels).sum()), len(labels)),
        agreement=float((ours == theirs).mean()),
        max_probability_difference=float(np.abs(answered - reference).max()),
        worst_class_drop_points=max(drop for drop in drops if drop is not None),
        class_drop_points=drops,
    )


def _drop(rows: NDArray[np.bool_], theirs: NDArray[np.bool_], ours: NDArray[np.bool_]) -> float | None:
    if not rows.any():
        return None
    return round(100.0 * float(theirs[rows].mean() - ours[rows].mean()), 6)


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share that was found as `right` of `n` (Wilson 1927)."""
    from scipy.stats import binomtest

    found = binomtest(right, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def disagreements(
    labels: NDArray[np.int64], reference: NDArray[np.float32], answered: NDArray[np.float32], most: int
) -> list[Disagreement]:
    """The pictures on which file and model differ most, the worst first."""
    ours, theirs = answered.argmax(axis=1), reference.argmax(axis=1)
    difference = np.abs(answered - reference).max(axis=1)
    rows = np.flatnonzero(ours != theirs)
    rows = rows[np.argsort(-difference[rows], kind="stable")][:most]
    return [
        Disagreement(int(row), int(labels[row]), int(theirs[row]), int(ours[row]), round(float(difference[row]), 6))
        for row in rows
    ]


def same_answers(
    run: Run, images: NDArray[np.uint8], answered: NDArray[np.float32], many: bool
) -> dict[str, bool | None]:
    """Whether the file answers the first pictures as it did: asked again, in another order, one at a time.

    Args:
        answered: what it answered on `images`, all of them in order.
        many: whether it takes many pictures at once; if not, one at a time is how it was asked (None).
    """
    few, told = np.asarray(images[:ASKED_AGAIN]), answered[:ASKED_AGAIN]
    order = np.random.default_rng(0).permutation(len(few))
    alone = np.concatenate([run(few[row : row + 1]) for row in range(len(few))]) if many else None
    return {
        "when asked again": bool(np.array_equal(run(few), run(few)) and np.allclose(run(few), told, atol=SAME)),
        "in another order": bool(np.allclose(run(few[order]), told[order], atol=SAME)),
        "one at a time": None if alone is None else bool(np.allclose(alone, told, atol=SAME)),
    }


def latency(run: Callable[[NDArray[np.uint8]], object], picture: NDArray[np.uint8]) -> dict[str, float]:
    """Milliseconds for one picture at a time: median and 95th percentile of 100 runs after 10 warm-ups."""
    for _ in range(WARM_UP):
        run(picture)
    seconds = []
    for _ in range(TIMED):
        started = time.perf_counter()
        run(picture)
        seconds.append(time.perf_counter() - started)
    median, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000.0
    return {"median": round(float(median), 3), "p95": round(float(p95), 3), "runs": TIMED}
