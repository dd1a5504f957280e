"""Is the file the model? Answers that cannot be compared are an error, never an agreement."""

import numpy as np
import pytest

from graft.core import proof

LABELS = np.array([0, 1, 1])
REFERENCE = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)


def test_the_same_answers_agree_in_everything() -> None:
    seen = proof.compare(LABELS, REFERENCE, REFERENCE.copy())
    assert (seen.agreement, seen.max_probability_difference, seen.worst_class_drop_points) == (1.0, 0.0, 0.0)
    assert seen.accuracy == pytest.approx(2 / 3)


def test_a_file_that_is_better_drops_nothing_and_still_disagrees() -> None:
    better = REFERENCE.copy()
    better[1] = 0.4, 0.6
    seen = proof.compare(LABELS, REFERENCE, better)
    assert seen.accuracy == 1.0 and seen.agreement == pytest.approx(2 / 3)
    assert seen.worst_class_drop_points == 0.0


def test_a_file_that_always_says_the_same_loses_a_whole_class() -> None:
    constant = np.tile(np.array([[1.0, 0.0]], np.float32), (3, 1))
    assert proof.compare(LABELS, REFERENCE, constant).worst_class_drop_points == 50.0


@pytest.mark.parametrize(
    "answered",
    [REFERENCE[:2], REFERENCE[:, :1], np.full_like(REFERENCE, np.nan), np.full_like(REFERENCE, np.inf)],
    ids=["fewer rows", "fewer classes", "NaN", "infinite"],
)
def test_answers_that_cannot_be_compared_are_an_error(answered: np.ndarray) -> None:
    with pytest.raises(ValueError, match="the file answered"):
        proof.compare(LABELS, REFERENCE, answered)


def test_no_rows_prove_nothing() -> None:
    with pytest.raises(ValueError, match="the file answered"):
        proof.compare(LABELS[:0], REFERENCE[:0], REFERENCE[:0])
