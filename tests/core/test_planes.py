"""Planes of features at two times."""

import functools

import numpy as np
import pytest

from graft.core import reduction
from graft.core.errors import BadInput
from graft.core.planes import alike

GENERATOR = np.random.default_rng(0)
LABELS = np.arange(90) % 3
FEATURES = (GENERATOR.normal(size=(90, 5)) * [6, 3, 1, 1, 1] + 4 * np.eye(5)[LABELS]).astype(np.float32)
TWO = functools.partial(reduction.pca, components=2)


def turned(features: np.ndarray) -> np.ndarray:
    """The same features in other coordinates, larger, and in more dimensions."""
    axes, _ = np.linalg.qr(GENERATOR.normal(size=(7, 7)))
    return (30 * np.pad(features, ((0, 0), (0, 2))) @ axes + 5).astype(np.float32)


def test_features_that_only_turned_stay_where_they_were() -> None:
    later = turned(FEATURES)
    first, second = alike(FEATURES, later, TWO)
    np.testing.assert_allclose(second.place(later), first.place(FEATURES), atol=1e-3)


def test_features_that_moved_are_seen_to_have_moved() -> None:
    later = FEATURES + 8 * np.eye(5, dtype=np.float32)[LABELS]
    first, second = alike(FEATURES, later, TWO)
    assert np.abs(second.place(later) - first.place(FEATURES)).max() > 0.5


def test_a_plane_places_rows_that_it_was_not_fitted_to() -> None:
    first, _ = alike(FEATURES[:60], FEATURES[:60], TWO)
    placed = first.place(FEATURES[60:])
    assert placed.shape == (30, 2)
    np.testing.assert_allclose(placed, first.place(FEATURES)[60:])


def test_two_classes_lie_on_a_line() -> None:
    labels = np.arange(90) % 2
    first, second = alike(FEATURES, turned(FEATURES), functools.partial(reduction.lda, labels=labels, components=2))
    for plane, rows in ((first, FEATURES), (second, turned(FEATURES))):
        assert np.linalg.matrix_rank(plane.place(rows), tol=1e-6) == 1


def test_a_dead_net_is_refused() -> None:
    with pytest.raises(BadInput, match="dead"):
        alike(FEATURES, np.zeros_like(FEATURES), TWO)
