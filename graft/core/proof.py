"""Is the file the model? Compare what an exported file answers on raw pictures with what Keras answered."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WARM_UP = 10
TIMED = 100


@dataclass(frozen=True)
class Proof:
    """What was seen of one file.

    Attributes:
        accuracy: of the file, in [0, 1].
        agreement: share of pictures on which file and model name the same class.
        max_probability_difference: largest absolute difference of any class probability.
        worst_class_drop_points: largest loss of recall of a class against the model, in points.
    """

    accuracy: float
    agreement: float
    max_probability_difference: float
    worst_class_drop_points: float


def compare(labels: NDArray[np.int64], reference: NDArray[np.float32], answered: NDArray[np.float32]) -> Proof:
    """Compare the probabilities (n, classes) of a file with the reference model's.

    Raises:
        ValueError: the shapes differ, there are no rows, or an answer is not finite.
    """
    if reference.shape != answered.shape or len(labels) == 0 or not np.all(np.isfinite(answered)):
        raise ValueError(f"the file answered {answered.shape}, the model {reference.shape}, or not with numbers")
    ours, theirs = answered.argmax(axis=1), reference.argmax(axis=1)
    drops = [
        100.0 * float((theirs[labels == label] == label).mean() - (ours[labels == label] == label).mean())
        for label in np.unique(labels)
    ]
    return Proof(
        accuracy=float((ours == labels).mean()),
        agreement=float((ours == theirs).mean()),
        max_probability_difference=float(np.abs(answered - reference).max()),
        worst_class_drop_points=max(drops),
    )


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
