"""What every score of features and every distance between domains promises."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import plugins
from graft.core.errors import BadInput
from graft.distances import frechet, mmd
from graft.scores import h_score, logme

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@pytest.fixture(params=plugins.names("graft.scores"))
def score(request: pytest.FixtureRequest) -> Any:
    return plugins.module("graft.scores", request.param).score


@pytest.fixture(params=plugins.names("graft.distances"))
def distance(request: pytest.FixtureRequest) -> Any:
    return plugins.module("graft.distances", request.param).distance


def rows(n_classes: int, per_class: int, d: int, seed: int = 0) -> tuple[Features, Labels]:
    """Noise around a place for each class, cut off below zero as a network's last layer does."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(n_classes), per_class)
    places = generator.normal(0, 1.0, (n_classes, d)) * (np.arange(d) < 24)
    noise = generator.normal(0.5, 1.0, (len(labels), d))
    return np.maximum(places[labels] + noise, 0).astype(np.float32), labels.astype(np.int64)


SHAPES = {"few rows a class": (4, 5, 32), "many rows": (5, 60, 48), "more features than rows": (10, 10, 1280)}


@pytest.mark.parametrize("shape", SHAPES)
def test_informative_features_score_above_the_same_with_shuffled_labels(score: Any, shape: str) -> None:
    features, labels = rows(*SHAPES[shape])
    shuffled = [np.random.default_rng(seed).permutation(labels) for seed in range(3)]
    told, untold = score(features, labels), [score(features, one) for one in shuffled]
    assert np.all(np.isfinite([told, *untold]))
    assert told > max(untold)


def test_a_score_does_not_depend_on_the_order_of_rows_nor_on_the_names_of_classes(score: Any) -> None:
    features, labels = rows(4, 8, 20)
    order = np.random.default_rng(3).permutation(len(labels))
    assert score(features[order], labels[order]) == score(features, labels)
    assert score(features, 10 * labels + 7) == score(features, labels)


def test_a_score_takes_dead_features_and_features_of_any_size(score: Any) -> None:
    features, labels = rows(4, 8, 20)
    features[:, 3] = 0
    features[:, 5] = 2.5
    found = [score(features * size, labels) for size in (2.0**-13, 1.0, 2.0**13)]
    assert np.all(np.isfinite(found))
    np.testing.assert_allclose(found, found[1], rtol=1e-6)


WRONG = {
    "one class": (rows(1, 8, 6), "one class"),
    "one row a class": (rows(8, 1, 6), "has 1 row"),
    "a class of one row": ((rows(2, 4, 6)[0], np.array([0, 0, 0, 0, 1, 1, 1, 2])), "class 2 has 1 row"),
    "labels of other rows": ((rows(2, 4, 6)[0], np.arange(3)), "one a row"),
    "not a number": ((rows(2, 4, 6)[0] * np.float32(np.nan), rows(2, 4, 6)[1]), "not finite"),
    "a dead network": ((np.ones((8, 6), np.float32), rows(2, 4, 6)[1]), "are the same"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_scored_is_refused_in_one_line(score: Any, what: str) -> None:
    (features, labels), told = WRONG[what]
    with pytest.raises(BadInput, match=told) as caught:
        score(features, labels)
    assert "\n" not in str(caught.value)


def test_logme_is_the_greatest_evidence_that_two_precisions_can_give() -> None:
    from scipy.optimize import minimize
    from scipy.stats import multivariate_normal

    features, labels = rows(3, 12, 6)
    gram = features.astype(float) @ features.T

    def evidence(log_precisions: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
        alpha, beta = np.exp(log_precisions)
        return float(multivariate_normal.logpdf(wanted, cov=gram / alpha + np.eye(len(gram)) / beta) / len(gram))

    best = []
    for k in range(3):
        wanted = (labels == k).astype(float)
        found = minimize(
            lambda x, y=wanted: -evidence(x, y), np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6}
        )
        best.append(-found.fun)
    assert logme.score(features, labels) == pytest.approx(np.mean(best), abs=1e-5)


def test_the_h_score_with_many_rows_is_that_of_the_plain_covariances() -> None:
    features, labels = rows(4, 2000, 8)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(4)])[labels]
    plain = np.trace(np.linalg.inv(np.cov(features.T)) @ np.cov(means.T))
    assert h_score.score(features, labels) == pytest.approx(plain, rel=0.02)


def halves(d: int, n: int = 120) -> tuple[Features, Features]:
    drawn = np.random.default_rng(1).normal(0.5, 1, (2 * n, d)).astype(np.float32)
    return drawn[:n], drawn[n:]


@pytest.mark.parametrize("d", [12, 300])
def test_two_halves_of_a_sample_are_near_and_a_shifted_one_is_far(distance: Any, d: int) -> None:
    first, second = halves(d)
    near, far, further = (distance(first, second + np.float32(shift)) for shift in (0, 0.4, 0.8))
    itself = distance(first, first)
    assert np.all(np.isfinite([near, far, further])) and itself <= near + 0.02
    assert abs(itself) < 0.02
    assert near < (0.5 * far if d < len(first) else far) and far <= further  # Frechet overrates what has few rows


def test_a_distance_is_the_same_either_way_round_and_in_any_order_of_rows(distance: Any) -> None:
    first, second = halves(12)
    second = second[:70] + np.float32(0.3)
    order = np.random.default_rng(0).permutation(len(first))
    there = distance(first, second)
    assert there > 0.01
    assert distance(second, first) == pytest.approx(there, rel=1e-9)
    assert distance(first[order], second) == there


@pytest.mark.parametrize("what", ["one row", "two networks", "not a number", "a dead network"])
def test_domains_that_cannot_be_compared_are_refused_in_one_line(distance: Any, what: str) -> None:
    first, second = halves(6, 10)
    wrong = {
        "one row": second[:1],
        "two networks": second[:, :4],
        "not a number": second * np.float32(np.nan),
        "a dead network": np.ones_like(second),
    }[what]
    with pytest.raises(BadInput) as caught:
        distance(first, wrong)
    assert "\n" not in str(caught.value)


def test_frechet_agrees_with_the_formula_and_mmd_is_unbiased() -> None:
    from scipy.linalg import sqrtm

    first, second = halves(5)
    second = second @ np.diag([0.5, 1, 1, 2, 1]).astype(np.float32) + np.float32(0.2)
    one, other = np.cov(first.T), np.cov(second.T)
    gap = first.mean(axis=0, dtype=float) - second.mean(axis=0, dtype=float)
    formula = gap @ gap + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet.distance(first, second) == pytest.approx(formula, rel=1e-5)
    drawn = np.random.default_rng(0).normal(size=(200, 2, 15, 3)).astype(np.float32)
    found = [mmd.distance(*two) for two in drawn]
    assert min(found) < 0 and abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
