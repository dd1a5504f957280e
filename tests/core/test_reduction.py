"""Universal features: what PCA and LDA of one domain say of another."""

import numpy as np
import pytest

from graft.core import reduction
from graft.core.errors import BadInput

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 40)
SPREADS = np.array([6.0, 3.0, 1.0, 1.0, 0.5])
ROWS = GENERATOR.normal(0, SPREADS, (120, 5)).astype(np.float32)
ROWS[:, 3] += 4 * LABELS  # classes lie apart along the fourth


def test_pca_finds_the_directions_of_most_variance_and_says_their_shares() -> None:
    found = reduction.pca(ROWS, 3)
    assert found.axes.shape == (5, 3)
    assert np.abs(found.axes).argmax(axis=0).tolist() == [0, 3, 1]
    shares = found.explained_variance(ROWS)
    values = np.linalg.eigvalsh(np.cov(ROWS.T))[::-1]
    np.testing.assert_allclose(shares, values[:3] / values.sum(), rtol=1e-5)
    np.testing.assert_allclose(found.transform(ROWS).mean(axis=0), 0, atol=1e-5)
    assert reduction.pca(ROWS[:3], 8).axes.shape == (5, 3)


def test_lda_finds_the_direction_along_which_classes_lie_apart() -> None:
    found = reduction.lda(ROWS, LABELS, 8)
    assert found.axes.shape == (5, 2)
    assert abs(found.axes[3, 0]) > 0.99 * np.linalg.norm(found.axes[:, 0])
    criteria = reduction.separability(found.transform(ROWS), LABELS)
    assert criteria[0] > 5 and criteria[0] > 20 * criteria[1]
    by_variance = reduction.separability(reduction.pca(ROWS, 5).transform(ROWS), LABELS)
    assert criteria[0] >= 0.99 * by_variance.max()


def test_separability_is_the_ratio_of_variances_between_and_within() -> None:
    from sklearn.feature_selection import f_classif

    f, _ = f_classif(ROWS, LABELS)
    np.testing.assert_allclose(reduction.separability(ROWS.astype(float), LABELS), f * 2 / 117, rtol=1e-4)


def test_what_holds_for_one_domain_is_told_apart_from_what_holds_for_both() -> None:
    other = np.random.default_rng(1).normal(0, SPREADS[::-1], (120, 5)).astype(np.float32)
    found = reduction.pca(ROWS, 2)
    assert found.explained_variance(ROWS).sum() > 0.8 > 0.5 > found.explained_variance(other).sum()


def test_lda_holds_with_more_features_than_rows_and_dead_ones() -> None:
    wide = np.random.default_rng(2).normal(size=(40, 300)).astype(np.float32)
    wide[:, 7], wide[:, 9] = np.repeat([0.0, 6.0], 20), 0.0
    found = reduction.lda(wide, np.repeat([0, 1], 20), 8)
    assert np.all(np.isfinite(found.axes)) and np.abs(found.axes[:, 0]).argmax() == 7


def test_what_has_no_spread_is_finite_or_refused() -> None:
    still = np.zeros((6, 2))
    still[:, 1] = [0, 0, 0, 1, 1, 1]
    criteria = reduction.separability(still, np.array([0, 0, 0, 1, 1, 1]))
    assert criteria[0] == 0 and np.isfinite(criteria[1]) and criteria[1] > 1e6
    with pytest.raises(BadInput, match="two classes of two rows"):
        reduction.separability(still, np.array([0, 0, 0, 0, 0, 1]))
    with pytest.raises(BadInput, match="are the same"):
        reduction.pca(np.ones((4, 3), np.float32), 2)
    with pytest.raises(BadInput, match="one class"):
        reduction.lda(ROWS, np.zeros(120, np.int64), 2)
