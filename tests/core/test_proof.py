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


def test_an_interval_is_wilsons() -> None:
    assert proof.wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert (proof.wilson(0, 10)[0], proof.wilson(10, 10)[1]) == pytest.approx((0.0, 1.0))


def test_a_class_without_pictures_drops_nothing() -> None:
    three = np.pad(REFERENCE, ((0, 0), (0, 1)))
    assert proof.compare(LABELS, three, three).class_drop_points == [0.0, 0.0, None]


def test_the_worst_disagreement_comes_first_and_agreements_are_none() -> None:
    reference = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], np.float32)
    answered = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]], np.float32)
    worst, next_ = proof.disagreements(LABELS, reference, answered, 5)
    assert (worst.row, worst.label, worst.keras, worst.file, worst.difference) == (2, 1, 1, 0, pytest.approx(0.7))
    assert next_.row == 1 and len(proof.disagreements(LABELS, reference, answered, 1)) == 1


PICTURES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)


def mean(pictures: np.ndarray) -> np.ndarray:
    share = pictures.mean(axis=(1, 2, 3), dtype=np.float32)[:, None] / 255
    return np.hstack([share, 1 - share])


def test_a_file_that_looks_at_each_picture_alone_answers_the_same_however_it_is_asked() -> None:
    told = {"when asked again": True, "in another order": True}
    assert proof.same_answers(mean, PICTURES, mean(PICTURES), True) == told | {"one at a time": True}
    assert proof.same_answers(mean, PICTURES, mean(PICTURES), False) == told | {"one at a time": None}


def test_a_file_that_remembers_or_looks_at_its_neighbours_is_found() -> None:
    times = iter(range(100))

    def forgetful(pictures: np.ndarray) -> np.ndarray:
        return mean(pictures) + 0.01 * next(times)

    def normalised(pictures: np.ndarray) -> np.ndarray:
        return mean(pictures) - mean(pictures).mean(axis=0) + 0.5

    def by_place(pictures: np.ndarray) -> np.ndarray:
        return mean(pictures) + 0.001 * np.arange(len(pictures))[:, None]

    assert proof.same_answers(forgetful, PICTURES, mean(PICTURES), False)["when asked again"] is False
    assert proof.same_answers(normalised, PICTURES, normalised(PICTURES), True)["one at a time"] is False
    assert proof.same_answers(by_place, PICTURES, by_place(PICTURES), False)["in another order"] is False
