"""What every metric promises."""

import numpy as np
import pytest

from graft.core import plugins
from graft.core.plugins import Plugin
from graft.core.sections import Choice
from graft.metrics import classification


@pytest.fixture(params=plugins.names("graft.metrics"))
def metric(request: pytest.FixtureRequest) -> Plugin:
    return plugins.resolve("graft.metrics", Choice(name=request.param), "metric")


LABELS = np.array([0, 0, 1, 1, 2, 2, 2])


def test_perfect_predictions_score_one(metric: Plugin) -> None:
    scores = metric.module.score(metric.options, LABELS, np.eye(3, dtype=np.float32)[LABELS])
    assert scores["accuracy"] == scores["macro_recall"] == scores["macro_f1"] == 1.0
    assert scores["recall"] == [1.0, 1.0, 1.0]


def test_constant_predictions_score_chance(metric: Plugin) -> None:
    constant = np.tile(np.array([[0.2, 0.5, 0.3]], np.float32), (len(LABELS), 1))
    scores = metric.module.score(metric.options, LABELS, constant)
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
