"""Intervals: decided by the seed, as wide as rows and seeds vary."""

import numpy as np
import pytest

from graft.core import bootstrap
from graft.core.bootstrap import Estimate

GENERATOR = np.random.default_rng(0)
HITS = (GENERATOR.random((3, 120)) < 0.6).astype(float)  # seeds x rows


def mean_of(values: np.ndarray, times: int = 300, seed: int = 0) -> Estimate:
    return bootstrap.interval(lambda s, r: float(values[np.ix_(s, r)].mean()), *values.shape, times, seed)


def test_the_seed_decides_the_interval() -> None:
    assert mean_of(HITS) == mean_of(HITS)
    assert mean_of(HITS, seed=1) != mean_of(HITS)
    assert mean_of(HITS, seed=1).mean == mean_of(HITS).mean


def test_the_mean_is_that_of_the_data_and_lies_inside() -> None:
    estimate = mean_of(HITS)
    assert estimate.mean == pytest.approx(HITS.mean())
    assert estimate.low < estimate.mean < estimate.high
    assert estimate.ci95 == [estimate.low, estimate.high]


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = np.tile(HITS[:1], (3, 1))
    apart = alike * np.array([[1.3], [1.0], [0.7]])
    narrow, wide = mean_of(alike), mean_of(apart)
    assert wide.mean == pytest.approx(narrow.mean)
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_more_rows_narrow_the_interval_by_the_root() -> None:
    few, many = mean_of(HITS[:1]), mean_of(np.tile(HITS[:1], (1, 4)))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.25)


def test_two_arms_of_equal_skill_differ_by_nothing_that_counts() -> None:
    one, other = ((np.random.default_rng(seed).random((2, 400)) < 0.6).astype(float) for seed in (5, 6))
    estimate = mean_of(one - other)
    assert estimate.low < 0 < estimate.high
