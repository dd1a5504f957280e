"""Whether new data still look like those accepted before: histograms kept small, two-sample tests with effect sizes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BRIGHTNESS_BINS = 40
LOOK_VALUES = (0, 1, 2, 5, 6, 35, 36, 44, 45)  # of the descriptor: coarsest shape, blue and red casts
LOOK_BINS = 40


class Shift(NamedTuple):
    """One comparison with the accepted data.

    Attributes:
        what: classes, brightness or features.
        effect: Cramér's V for classes, the largest gap between distribution functions for the others; in [0, 1].
        p_value: of "no difference", corrected for the number of tests behind it.
        words: where the difference is largest.
    """

    what: str
    effect: float
    p_value: float
    words: str


def profile(labels: list[str], brightness: NDArray[np.floating], looks: NDArray[np.floating]) -> dict[str, Any]:
    """What later data are compared with: counts only, no picture can be told from them.

    Args:
        labels: class name of each row.
        brightness: (n,) in [0, 1].
        looks: (n, 9), those values of `duplicates.descriptor` that LOOK_VALUES names.
    """
    names, counts = np.unique(np.array(labels, dtype=object), return_counts=True)
    return {
        "rows": len(labels),
        "classes": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "brightness": _histogram(brightness, 0.0, 1.0, BRIGHTNESS_BINS),
        "features": [_histogram(column, -1.0, 1.0, LOOK_BINS) for column in looks.T],
    }


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Shift]:
    """Class shares (chi-squared, Cramér's V), brightness and features (Kolmogorov-Smirnov on the histograms)."""
    looks = [_smirnov(old, new) for old, new in zip(before["features"], now["features"], strict=True)]
    effect, p_value = max(looks)[0], min(1.0, min(p for _, p in looks) * len(looks))
    bright = _smirnov(before["brightness"], now["brightness"])
    means = [_mean(one["brightness"]) for one in (before, now)]
    return [
        _classes(before["classes"], now["classes"]),
        Shift("brightness", *bright, f"mean brightness {means[0]:.3f} before, {means[1]:.3f} now"),
        Shift("features", effect, p_value, f"{sum(p < 0.001 for _, p in looks)} of {len(looks)} features differ"),
    ]


def _classes(before: dict[str, int], now: dict[str, int]) -> Shift:
    from scipy.stats import chi2_contingency

    if not before or not now:
        return Shift("classes", 0.0, 1.0, "there are no pictures to compare")
    names = sorted(before.keys() | now.keys())
    table = np.array([[one.get(name, 0) for name in names] for one in (before, now)], dtype=np.float64)
    shares = table / table.sum(axis=1, keepdims=True)
    most = int(np.abs(shares[1] - shares[0]).argmax())
    lost = [name for name in names if not now.get(name)]
    words = f"{names[most]} is {shares[0, most]:.1%} before, {shares[1, most]:.1%} now"
    if lost:
        words = f"{', '.join(lost[:3])} {'is' if len(lost) == 1 else 'are'} gone; {words}"
    if len(names) < 2:
        return Shift("classes", 0.0, 1.0, words)
    test = chi2_contingency(table, correction=False)
    return Shift("classes", float(np.sqrt(test.statistic / table.sum())), float(test.pvalue), words)


def _smirnov(before: list[int], now: list[int]) -> tuple[float, float]:
    """Largest gap between the two distribution functions, and its probability (conservative: values are binned)."""
    from scipy.stats import kstwobign

    n, m = sum(before), sum(now)
    if not n or not m:
        return 0.0, 1.0
    gap = float(np.abs(np.cumsum(before) / n - np.cumsum(now) / m).max())
    return gap, float(kstwobign.sf(gap * np.sqrt(n * m / (n + m))))


def _histogram(values: NDArray[np.floating], low: float, high: float, bins: int) -> list[int]:
    counts, _ = np.histogram(np.clip(values.astype(np.float64), low, high), bins=bins, range=(low, high))
    return [int(count) for count in counts]


def _mean(counts: list[int]) -> float:
    centres = (np.arange(len(counts)) + 0.5) / len(counts)
    return float(np.average(centres, weights=counts)) if sum(counts) else 0.0
