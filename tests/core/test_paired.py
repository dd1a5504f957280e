"""Two classifiers on the same rows: the difference, its interval, and the exact test."""

from math import comb

import numpy as np
import pytest

from graft.core.paired import compare


def test_the_difference_is_of_the_rows_on_which_they_part() -> None:
    ours = np.array([True] * 70 + [False] * 30)
    theirs = np.array([True] * 60 + [False] * 35 + [True] * 5)
    seen = compare(ours, theirs, 500, 1)
    assert (seen.only_challenger, seen.only_incumbent, seen.rows) == (10, 5, 100)
    assert seen.points == pytest.approx(5.0, abs=0.5) and seen.ci95[0] < 5.0 < seen.ci95[1]
    exact = 2 * sum(comb(15, k) for k in range(6)) / 2**15
    assert seen.p_value == pytest.approx(exact)


def test_who_answers_alike_differs_in_nothing() -> None:
    rows = np.array([True, False, True])
    seen = compare(rows, rows, 50, 1)
    assert (seen.points, seen.ci95, seen.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for draw in range(200):
        ours, theirs = generator.random(300) < 0.7, generator.random(300) < 0.65
        low, high = compare(ours, theirs, 200, draw).ci95
        covered += low <= 5.0 <= high
    assert 0.90 <= covered / 200 <= 0.99


@pytest.mark.parametrize("rows", [(3, 4), (0, 0)])
def test_other_rows_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not the same rows"):
        compare(np.ones(rows[0], bool), np.ones(rows[1], bool), 10, 1)
