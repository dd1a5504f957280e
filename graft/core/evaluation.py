"""What the arms' answers to the same test rows come to: scores, gains, comparisons, groups, and when to say nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import abstain, bootstrap, paired, scores
from graft.core.bootstrap import Estimate
from graft.core.scores import Answers

WANTED = (0.9, 0.95, 0.99)
"""Accuracies for which a threshold is looked for."""

Arm = Sequence[Answers]
"""An arm's answers, one model per seed, all to the same rows."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        times: how often rows are drawn.
        seed: of the draws.
    """

    times: int
    seed: int

    def one(self, values: NDArray[np.float64]) -> Estimate:
        """Of the mean of (seeds, rows)."""
        return bootstrap.interval(lambda rows: values[:, rows].mean(axis=1), values.shape[1], self.times, self.seed)

    def several(self, arm: Arm) -> dict[str, Estimate]:
        """Of every score of `Answers.scores`."""
        names = list(arm[0].scores())

        def statistic(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.array([list(one.take(rows).scores().values()) for one in arm])

        found = bootstrap.intervals(statistic, len(arm[0].labels), self.times, self.seed)
        return dict(zip(names, found, strict=True))


def arm_scores(arm: Arm, how: Resampling) -> dict[str, Any]:
    """By score its mean over seeds, ci95 and per_seed."""
    per_seed = [one.scores() for one in arm]
    return {
        name: {"mean": found.mean, "ci95": found.ci95, "per_seed": [one[name] for one in per_seed]}
        for name, found in how.several(arm).items()
    }


def gain(first: Arm, second: Arm, how: Resampling) -> dict[str, Any]:
    """Accuracy of the first minus that of the second, in points, paired by row and by seed."""
    difference = 100.0 * (_hits(first) - _hits(second))
    found = how.one(difference)
    return {
        "points": found.mean,
        "ci95": found.ci95,
        "per_seed": [float(value) for value in difference.mean(axis=1)],
    }


def comparisons(sets: Mapping[str, Mapping[str, Arm]], votes: Any, how: Resampling) -> list[dict[str, Any]]:
    """Every two arms on every set: the gain, and McNemar's exact test of what their seeds say together.

    Args:
        sets: by set and arm.
        votes: by set and arm one Answers, from the mean of the seeds' probabilities.

    Returns:
        Rows of set, first, second, points, ci95, per_seed, only_first and only_second (rows that only this one's vote
        got right), p_value, and p_corrected for as many comparisons as there are rows (Holm 1979).
    """
    rows = []
    for name, arms in sets.items():
        for first, second in combinations(arms, 2):
            only_first, only_second, p_value = paired.mcnemar(votes[name][first].hits, votes[name][second].hits)
            told = {"set": name, "first": first, "second": second, **gain(arms[first], arms[second], how)}
            rows.append(told | {"only_first": only_first, "only_second": only_second, "p_value": p_value})
    corrected = paired.corrected([row["p_value"] for row in rows])
    return [row | {"p_corrected": value} for row, value in zip(rows, corrected, strict=True)]


def groups(arm: Arm, names: Sequence[str], how: Resampling) -> dict[str, Any]:
    """By named group of rows: how many, and the accuracy with its interval; {} where all rows are of one group."""
    of_row = np.array(names)
    found = {}
    for name in sorted(set(names)) if len(set(names)) > 1 else ():
        hits = _hits(arm)[:, of_row == name]
        estimate = how.one(hits)
        found[name] = {"rows": hits.shape[1], "accuracy": {"mean": estimate.mean, "ci95": estimate.ci95}}
    return found


def per_class(arm: Arm) -> list[dict[str, float]]:
    """Recall, precision and F1 of each class, in [0, 1], on average over seeds."""
    each = [scores.per_class(scores.confusion(one.labels, one.predicted, one.n_classes)) for one in arm]
    recall, precision, f1 = np.mean(each, axis=0)
    return [
        {"recall": float(r), "precision": float(p), "f1": float(f)}
        for r, p, f in zip(recall, precision, f1, strict=True)
    ]


def abstention(arm: Arm, chosen_by: Arm) -> dict[str, Any]:
    """What is gained by answering only when sure.

    Args:
        chosen_by: the same models' answers to validation rows, which choose thresholds.

    Returns:
        curve, of [coverage, accuracy] with all seeds' rows together; mean_error over all coverages (its area);
        thresholds, for each of WANTED: confidence, coverage and accuracy on the test rows, on average over seeds.
    """
    confidence, hits = np.concatenate([one.confidence for one in arm]), np.concatenate([one.hits for one in arm])
    thresholds = []
    for wanted in WANTED:
        tried = [
            abstain.applied(wanted, abstain.threshold(known.confidence, known.hits, wanted), one.confidence, one.hits)
            for one, known in zip(arm, chosen_by, strict=True)
        ]
        rows = np.array([[one.confidence, one.coverage, one.accuracy] for one in tried])
        thresholds.append(
            {"wanted": wanted}
            | dict(zip(("confidence", "coverage", "accuracy"), map(float, rows.mean(axis=0)), strict=True))
        )
    return {
        "curve": [list(point) for point in abstain.curve(confidence, hits)],
        "mean_error": abstain.area_above(confidence, hits),
        "thresholds": thresholds,
    }


def other_kind(arm: Arm, confidences: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    """How well the arm's confidence tells its test rows from rows of another kind; on average over seeds.

    Args:
        confidences: of each seed's model for rows (m,) of the other kind.
    """
    each = [abstain.separation(one.confidence, theirs) for one, theirs in zip(arm, confidences, strict=True)]
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def _hits(arm: Arm) -> NDArray[np.float64]:
    return np.stack([one.hits for one in arm]).astype(np.float64)
