"""When to say nothing: curves and thresholds by hand, and what tells kinds apart as scikit-learn has it."""

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score

from graft.core import abstain

SURE = np.array([0.9, 0.8, 0.8, 0.7, 0.6])
RIGHT = np.array([True, True, False, True, False])


def test_the_surest_rows_are_answered_first_and_ties_together() -> None:
    assert abstain.curve(SURE, RIGHT) == [(0.2, 1.0), (0.6, 2 / 3), (0.8, 0.75), (1.0, 0.6)]


def test_a_curve_of_many_rows_has_few_points_and_ends_with_all() -> None:
    generator = np.random.default_rng(0)
    sure = generator.random(5000)
    points = abstain.curve(sure, generator.random(5000) < sure)
    assert len(points) == abstain.POINTS and points[-1][0] == 1.0
    assert points[0][1] > points[10][1] > points[-1][1]


def test_the_error_over_all_coverages_is_the_area_over_the_curve() -> None:
    generator = np.random.default_rng(0)
    sure = generator.random(2000)
    right = generator.random(2000) < sure
    order = np.argsort(-sure)
    risk = 1 - np.cumsum(right[order]) / np.arange(1, 2001)
    assert abstain.area_above(sure, right) == pytest.approx(auc(np.arange(2000) / 1999, risk), abs=1e-3)
    assert abstain.area_above(sure, np.ones(2000, bool)) == 0.0


@pytest.mark.parametrize(("wanted", "least"), [(1.0, 0.9), (0.75, 0.7), (0.6, 0.6), (0.7, 0.7)])
def test_a_threshold_keeps_what_it_promises_on_the_rows_that_chose_it(wanted: float, least: float) -> None:
    assert abstain.threshold(SURE, RIGHT, wanted) == least
    kept = abstain.applied(wanted, least, SURE, RIGHT)
    assert kept.accuracy >= wanted and kept.coverage == (least <= SURE).mean()


def test_where_no_threshold_will_do_nothing_is_answered() -> None:
    at = abstain.threshold(SURE, ~RIGHT, 0.9)
    assert at > 1
    assert abstain.applied(0.9, at, SURE, ~RIGHT) == abstain.Threshold(0.9, at, 0.0, 1.0)


def test_kinds_are_told_apart_as_scikit_learn_has_it() -> None:
    generator = np.random.default_rng(1)
    own, other = np.round(generator.beta(5, 2, 400), 2), np.round(generator.beta(2, 2, 300), 2)  # with ties
    found = abstain.separation(own, other)
    labels = np.repeat([1, 0], [400, 300])
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, np.concatenate([own, other])), abs=1e-9)
    least = np.sort(own)[int(0.05 * 399)]
    assert (own >= least).mean() >= 0.95 and found["other_at_95"] == (other >= least).mean()
    assert abstain.separation(own, own)["auroc"] == pytest.approx(0.5)
