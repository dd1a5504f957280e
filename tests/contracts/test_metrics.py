"""What every metric promises."""

import numpy as np
import pytest

from graft.core import plugins
from graft.core.plugins import Plugin
from graft.core.sections import Choice
from graft.metrics import calibration, classification


@pytest.fixture(params=plugins.names("graft.metrics"))
def metric(request: pytest.FixtureRequest) -> Plugin:
    return plugins.resolve("graft.metrics", Choice(name=request.param), "metric")


LABELS = np.array([0, 0, 1, 1, 2, 2, 2])
CONSTANT = np.tile(np.array([[0.2, 0.5, 0.3]], np.float32), (len(LABELS), 1))
ERRORS = ("log_loss", "brier", "expected_calibration_error")
"""Scores of which 0 is best."""


def test_perfect_predictions_score_one(metric: Plugin) -> None:
    scores = metric.module.score(metric.options, LABELS, np.eye(3, dtype=np.float32)[LABELS])
    best = {name: 0.0 if name in ERRORS else 1.0 for name in scores}
    assert {name: float(np.mean(value)) for name, value in scores.items()} == pytest.approx(best, abs=1e-9)


def test_constant_predictions_score_between_perfect_and_worst(metric: Plugin) -> None:
    scores = metric.module.score(metric.options, LABELS, CONSTANT)
    assert all(0 < float(np.mean(value)) < (2 if name in ERRORS else 1) for name, value in scores.items())


def test_classification_scores_a_constant_at_chance() -> None:
    scores = classification.score(classification.Options(), LABELS, CONSTANT)
    assert scores["accuracy"] == pytest.approx(2 / 7)
    assert scores["macro_recall"] == pytest.approx(1 / 3)
    assert 0 < scores["macro_f1"] < 1 / 3


def test_no_predictions_are_refused(metric: Plugin) -> None:
    with pytest.raises(ValueError, match="cannot be scored"):
        metric.module.score(metric.options, np.empty(0, np.int64), np.empty((0, 3), np.float32))


def test_classification_agrees_with_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 300)
    probabilities = generator.random((300, 5), dtype=np.float32)
    predicted = probabilities.argmax(axis=1)
    ours = classification.score(classification.Options(), labels, probabilities)
    assert ours["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert ours["macro_recall"] == pytest.approx(recall_score(labels, predicted, average="macro"))
    assert ours["macro_precision"] == pytest.approx(precision_score(labels, predicted, average="macro"))
    assert ours["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    np.testing.assert_allclose(ours["recall"], recall_score(labels, predicted, average=None))


def test_calibration_agrees_with_scikit_learn_and_a_count_by_hand() -> None:
    from sklearn.metrics import log_loss

    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 300)
    exact = generator.dirichlet(np.ones(5), 300)
    probabilities = exact.astype(np.float32)
    ours = calibration.score(calibration.Options(bins=10), labels, probabilities)
    assert ours["log_loss"] == pytest.approx(log_loss(labels, exact, labels=range(5)), rel=1e-5)
    assert ours["brier"] == pytest.approx(((probabilities - np.eye(5)[labels]) ** 2).sum(axis=1).mean(), rel=1e-5)
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = [(confidence >= low / 10) & (confidence < (low + 1) / 10) for low in range(10)]
    gaps = [abs(confidence[one].mean() - hits[one].mean()) * one.sum() / 300 for one in bins if one.any()]
    assert ours["expected_calibration_error"] == pytest.approx(sum(gaps), rel=1e-5)
