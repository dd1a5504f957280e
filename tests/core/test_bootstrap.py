"""Intervals: decided by the seed, as wide as rows and seeds vary, and true as often as they say."""

from statistics import NormalDist

import numpy as np
import pytest

from graft.core import bootstrap
from graft.core.bootstrap import Estimate

GENERATOR = np.random.default_rng(0)
HITS = (GENERATOR.random((3, 120)) < 0.6).astype(float)  # seeds x rows


def mean_of(values: np.ndarray, times: int = 300, seed: int = 0) -> Estimate:
    return bootstrap.interval(lambda rows: values[:, rows].mean(axis=1), values.shape[1], times, seed)


def test_the_seed_decides_the_interval() -> None:
    assert mean_of(HITS) == mean_of(HITS)
    assert mean_of(HITS, seed=1) != mean_of(HITS)
    assert mean_of(HITS, seed=1).mean == mean_of(HITS).mean


def test_the_mean_is_that_of_the_data_and_lies_inside() -> None:
    estimate = mean_of(HITS)
    assert estimate.mean == pytest.approx(HITS.mean())
    assert estimate.low < estimate.mean < estimate.high
    assert estimate.ci95 == [estimate.low, estimate.high]


def test_several_values_at_once_are_what_each_is_alone() -> None:
    def both(rows: np.ndarray) -> np.ndarray:
        return np.stack([HITS[:, rows].mean(axis=1), HITS[:, rows].std(axis=1)], axis=1)

    first, second = bootstrap.intervals(both, HITS.shape[1], 300, 0)
    assert first == mean_of(HITS)
    assert second == bootstrap.interval(lambda rows: HITS[:, rows].std(axis=1), HITS.shape[1], 300, 0)


def test_one_seed_has_the_percentile_interval() -> None:
    generator, one = np.random.default_rng(7), HITS[:1]
    draws = np.array([one[0, generator.integers(0, 120, 120)].mean() for _ in range(300)])
    about = draws - draws.mean() + one.mean()
    found = mean_of(one, seed=7)
    assert [found.low, found.high] == pytest.approx(np.quantile(about, [0.025, 0.975]), abs=1e-12)


def test_what_grows_by_rows_that_repeat_has_that_taken_off() -> None:
    generator = np.random.default_rng(2)
    confidence, hits = generator.random(400), generator.random(400)
    hits = (hits < confidence).astype(float)

    def error(rows: np.ndarray) -> np.ndarray:
        index = (confidence[rows] * 15).astype(int)
        return np.array([np.abs(np.bincount(index, confidence[rows] - hits[rows], 15)).sum() / len(rows)])

    found = bootstrap.interval(error, 400, 400, 0)
    assert found.low < found.mean - 0.005 and found.high > found.mean + 0.005


def test_seeds_that_differ_widen_the_interval_and_few_of_them_more() -> None:
    alike = np.tile(HITS[:1], (4, 1))
    apart = alike * np.array([[1.3], [1.0], [0.7], [1.0]])
    narrow, wide = mean_of(alike), mean_of(apart)
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    two = mean_of(apart[[0, 2]])
    assert two.high - two.low > 2 * (wide.high - wide.low)


def test_more_rows_narrow_the_interval_by_the_root() -> None:
    few, many = mean_of(HITS[:1]), mean_of(np.tile(HITS[:1], (1, 4)))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.25)


def test_rows_that_never_fail_have_no_width() -> None:
    assert mean_of(np.ones((3, 50))) == Estimate(1.0, 1.0, 1.0)


def answered(
    generator: np.random.Generator, n_seeds: int, n_rows: int, of_seeds: float, gain: float = 0.0
) -> np.ndarray:
    """Hits (seeds, rows): pictures differ in difficulty, seeds in skill, and each seed has its own luck with a row."""
    ease = 0.9 + generator.normal(0, 2, n_rows) + generator.normal(0, of_seeds, (n_seeds, 1)) + gain
    return (ease + generator.normal(0, 1, (n_seeds, n_rows)) > 0).astype(float)


@pytest.mark.parametrize(
    ("n_seeds", "n_rows", "of_seeds"),
    [(1, 400, 0.0), *(pytest.param(*case, marks=pytest.mark.sweep) for case in ((3, 400, 0.1), (5, 800, 0.1)))],
)
def test_intervals_hold_the_truth_in_93_to_97_of_100_cases(n_seeds: int, n_rows: int, of_seeds: float) -> None:
    generator, covered = np.random.default_rng(3), 0
    truth = NormalDist().cdf(0.9 / np.sqrt(5 + of_seeds**2))
    for trial in range(1000):
        found = mean_of(answered(generator, n_seeds, n_rows, of_seeds), times=200, seed=trial)
        covered += found.low <= truth <= found.high
    assert 930 <= covered <= 970, covered


def test_a_planted_gain_of_three_points_is_found_and_one_of_nothing_is_not_claimed() -> None:
    """Two arms that meet the same pictures; 5 seeds and 2,000 rows, as the benchmarks have them."""
    found = claimed = 0
    for trial in range(200):
        generator = np.random.default_rng(trial)
        rows = 0.9 + generator.normal(0, 2, 2000)
        arms = [rows + generator.normal(0, 0.02, (5, 1)) + generator.normal(0, 1, (5, 2000)) for _ in range(3)]
        plain, same, better = ((arm + more > 0).astype(float) for arm, more in zip(arms, (0, 0, 0.19), strict=True))
        assert abs(better.mean() - plain.mean() - 0.03) < 0.02
        found += mean_of(better - plain, 200, trial).low > 0
        claimed += mean_of(same - plain, 200, trial).low > 0
    assert found >= 190 and claimed <= 10, (found, claimed)
