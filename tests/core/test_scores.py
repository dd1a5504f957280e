"""Scores of answers: as scikit-learn has them, to 1e-9, and the same for rows that were drawn."""

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from graft.core import scores
from graft.core.scores import Answers

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 6, 500)
RAW = GENERATOR.random((500, 6)) + 1.5 * np.eye(6)[np.where(GENERATOR.random(500) < 0.6, LABELS, 0)]
PROBABILITIES = (RAW / RAW.sum(axis=1, keepdims=True)).astype(np.float32)
ANSWERS = Answers.of(LABELS, PROBABILITIES, top_k=2)


def test_scores_agree_with_scikit_learn() -> None:
    wide, found = PROBABILITIES.astype(np.float64), ANSWERS.scores()
    predicted = wide.argmax(axis=1)
    exact = {
        "accuracy": metrics.accuracy_score(LABELS, predicted),
        "macro_recall": metrics.balanced_accuracy_score(LABELS, predicted),
        "macro_precision": metrics.precision_score(LABELS, predicted, average="macro"),
        "macro_f1": metrics.f1_score(LABELS, predicted, average="macro"),
        "top_k_accuracy": metrics.top_k_accuracy_score(LABELS, wide, k=2),
        "brier": float(((wide - np.eye(6)[LABELS]) ** 2).sum(axis=1).mean()),
        "log_loss": float(-np.log(wide[np.arange(500), LABELS]).mean()),
    }
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name
    assert found["log_loss"] == pytest.approx(
        metrics.log_loss(LABELS, wide / wide.sum(axis=1, keepdims=True)), abs=1e-6
    )


def test_the_calibration_error_agrees_with_scikit_learns_curve() -> None:
    confidence, hits = ANSWERS.confidence, ANSWERS.hits
    right, said = calibration_curve(hits, confidence, n_bins=15, strategy="uniform")
    counts = np.histogram(confidence, np.linspace(0, 1, 16))[0]
    expected = (np.abs(right - said) * counts[counts > 0]).sum() / len(hits)
    assert scores.calibration_error(confidence, hits) == pytest.approx(expected, abs=1e-9)
    assert expected > 0.01


def test_scores_of_each_class_agree_with_scikit_learn() -> None:
    table = scores.confusion(LABELS, ANSWERS.predicted, 6)
    np.testing.assert_array_equal(table, metrics.confusion_matrix(LABELS, ANSWERS.predicted))
    theirs = metrics.precision_recall_fscore_support(LABELS, ANSWERS.predicted, zero_division=0)
    recall, precision, f1 = scores.per_class(table)
    for ours, other in zip((precision, recall, f1), theirs, strict=False):
        np.testing.assert_allclose(ours, other, atol=1e-9)


def test_rows_that_were_drawn_score_as_if_they_were_the_set() -> None:
    rows = GENERATOR.integers(0, 500, 300)
    assert ANSWERS.take(rows).scores() == Answers.of(LABELS[rows], PROBABILITIES[rows], 2).scores()


def test_a_class_that_never_occurs_or_is_never_called_counts_as_it_should() -> None:
    table = np.array([[3, 0, 1], [0, 0, 0], [2, 0, 0]])
    assert scores.from_confusion(table) == pytest.approx(
        {"accuracy": 0.5, "macro_recall": 0.375, "macro_precision": 0.3, "macro_f1": 1 / 3}
    )


@pytest.mark.parametrize("rows", [(0, 0), (3, 4)])
def test_other_shapes_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be scored"):
        Answers.of(np.zeros(rows[0], np.int64), np.ones((rows[1], 2), np.float32))
