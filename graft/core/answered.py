"""What two runs answered to the same pictures, and the difference of their accuracies, paired picture by picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graft.core.bootstrap import Estimate
from graft.core.evaluation import Resampling

HOW = Resampling(times=2000, seed=0)


@dataclass(frozen=True)
class Answered:
    """One arm's answers to one test set.

    Attributes:
        seeds: of the models.
        rows: of each of n pictures its group and true class.
        hits: (seeds, n) bool, whether the answer was right.
    """

    seeds: tuple[int, ...]
    rows: tuple[tuple[str, int], ...]
    hits: NDArray[np.bool_]


Answers = Mapping[tuple[str, str], Answered]
"""By (set, arm)."""


def fit_together(old: Answers, new: Answers) -> bool:
    """Whether both hold answers of transfer, of the same seeds to the same pictures, as far as groups and classes tell.

    Rows stand in the order of the data, so other data, other splits or pictures left out show in them.
    """
    shared = [key for key in old if key in new and key[1] == "transfer"]
    return bool(shared) and all(
        old[key].seeds == new[key].seeds and old[key].rows == new[key].rows for key in old if key in new
    )


def difference(old: Answers, new: Answers, name: str, arm: str) -> Estimate | None:
    """Accuracy of the new run minus that of the old one, in points; None if one of them has none."""
    key = (name, arm)
    return HOW.one(_minus(new, old, key, key)) if key in old and key in new else None


def difference_of_gains(old: Answers, new: Answers, name: str) -> Estimate | None:
    """What transfer gains over scratch in the new run minus what it gains in the old one, in points."""
    ours, theirs = (name, "transfer"), (name, "scratch")
    if not all(key in one for one in (old, new) for key in (ours, theirs)):
        return None
    return HOW.one(_minus(new, new, ours, theirs) - _minus(old, old, ours, theirs))


def _minus(one: Answers, other: Answers, key: tuple[str, str], of_other: tuple[str, str]) -> NDArray[np.float64]:
    """(seeds, n) in points: 100, 0 or -100."""
    return 100.0 * (one[key].hits.astype(np.float64) - other[of_other].hits)
