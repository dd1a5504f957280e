"""What answers come to: gains and tests between arms, groups, and thresholds that validation rows chose."""

import numpy as np
import pytest
from scipy.stats import binom

from graft.core import evaluation, paired
from graft.core.evaluation import Resampling
from graft.core.scores import Answers

HOW = Resampling(200, 0)
N = 600
LABELS = np.random.default_rng(0).integers(0, 4, N)


def arm(skill: float, seed: int, seeds: int = 3) -> list[Answers]:
    """Models that are right with probability `skill`, and the surer the more often."""
    found = []
    for number in range(seeds):
        generator = np.random.default_rng([seed, number])
        sure = np.clip(generator.beta(8 * skill, 8 * (1 - skill), N), 0.3, 0.99)
        right = generator.random(N) < sure
        called = np.where(right, LABELS, (LABELS + 1) % 4)
        probabilities = np.repeat(((1 - sure) / 3)[:, None], 4, axis=1)
        probabilities[np.arange(N), called] = sure
        found.append(Answers.of(LABELS, probabilities.astype(np.float32), 2))
    return found


GOOD, POOR = arm(0.8, 1), arm(0.6, 2)


def test_every_score_has_its_mean_interval_and_seeds() -> None:
    found = evaluation.arm_scores(GOOD, HOW)
    assert set(found) == set(GOOD[0].scores())
    for score in found.values():
        assert len(score["per_seed"]) == 3 and np.mean(score["per_seed"]) == pytest.approx(score["mean"])
        assert score["ci95"][0] <= score["mean"] <= score["ci95"][1]
    assert found["expected_calibration_error"]["mean"] < 0.1 < found["accuracy"]["mean"]


def test_a_gain_is_paired_and_has_its_sign() -> None:
    found = evaluation.gain(GOOD, POOR, HOW)
    accuracy = [np.mean([one.hits.mean() for one in each]) for each in (GOOD, POOR)]
    assert found["points"] == pytest.approx(100 * (accuracy[0] - accuracy[1])) and found["ci95"][0] > 5
    assert evaluation.gain(GOOD, GOOD, HOW) == {"points": 0.0, "ci95": [0.0, 0.0], "per_seed": [0.0] * 3}


def test_every_two_arms_are_compared_and_p_values_know_how_many() -> None:
    arms = {"good": GOOD, "poor": POOR, "same": arm(0.8, 5)}
    votes = {name: each[0] for name, each in arms.items()}
    rows = evaluation.comparisons({"seen": arms}, {"seen": votes}, HOW)
    assert [(row["first"], row["second"]) for row in rows] == [("good", "poor"), ("good", "same"), ("poor", "same")]
    first = rows[0]
    n = first["only_first"] + first["only_second"]
    exact = min(1.0, 2 * binom.cdf(min(first["only_first"], first["only_second"]), n, 0.5))
    assert first["p_value"] == pytest.approx(exact, abs=1e-9)
    assert first["p_corrected"] < 0.01 and rows[1]["p_corrected"] > 0.05
    assert all(row["p_corrected"] >= row["p_value"] for row in rows)


def test_holms_correction_is_that_of_his_paper() -> None:
    assert paired.corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.corrected([0.9, 0.8]) == [1.0, 1.0] and paired.corrected([]) == []


def test_groups_are_scored_apart_if_there_are_several() -> None:
    names = ["night" if number % 3 == 0 else "day" for number in range(N)]
    found = evaluation.groups(GOOD, names, HOW)
    assert list(found) == ["day", "night"] and [one["rows"] for one in found.values()] == [400, 200]
    night = np.mean([one.hits[::3].mean() for one in GOOD])
    assert found["night"]["accuracy"]["mean"] == pytest.approx(night)
    assert evaluation.groups(GOOD, [""] * N, HOW) == {}


def test_thresholds_come_from_other_rows_and_say_what_they_gave() -> None:
    found = evaluation.abstention(GOOD, arm(0.8, 9))
    assert found["curve"][-1] == [1.0, pytest.approx(np.mean([one.hits.mean() for one in GOOD]))]
    first, _, last = found["thresholds"]
    assert (first["wanted"], last["wanted"]) == (0.9, 0.99)
    assert 0.85 < first["accuracy"] <= 1 and last["coverage"] < first["coverage"] < 1
    assert found["mean_error"] < evaluation.abstention(POOR, POOR)["mean_error"]


def test_another_kind_of_picture_is_told_by_its_low_confidence() -> None:
    unsure = [np.full(50, 0.31) for _ in GOOD]
    assert evaluation.other_kind(GOOD, unsure) == pytest.approx({"auroc": 1.0, "other_at_95": 0.0}, abs=0.02)
    alike = [one.confidence for one in GOOD]
    assert evaluation.other_kind(GOOD, alike)["auroc"] == pytest.approx(0.5)


def test_scores_of_classes_are_means_over_seeds() -> None:
    rows = evaluation.per_class(GOOD)
    recalls = [np.mean([one.hits[LABELS == label].mean() for one in GOOD]) for label in range(4)]
    assert [row["recall"] for row in rows] == pytest.approx(recalls)
    assert all(0 < row["precision"] < 1 and 0 < row["f1"] < 1 for row in rows)
