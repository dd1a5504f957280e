"""Draws, intervals and the comparison of files with their model."""

import numpy as np
import pytest

from graft.core import proof
from graft.core.dataset import Split, draw_per_class
from graft.core.errors import one_line


def test_a_draw_has_so_many_of_each_class_and_is_decided_by_the_seed() -> None:
    labels = np.repeat([0, 1, 2], [5, 9, 7]).astype(np.int64)
    rows = draw_per_class(labels, 4, 1)
    assert np.bincount(labels[rows]).tolist() == [4, 4, 4]
    assert len(set(rows)) == 12
    np.testing.assert_array_equal(rows, draw_per_class(labels, 4, 1))
    assert rows.tolist() != draw_per_class(labels, 4, 2).tolist()
    assert draw_per_class(labels, None, 1).tolist() == list(range(21))


def test_a_class_with_too_few_rows_is_an_error() -> None:
    with pytest.raises(ValueError):
        draw_per_class(np.array([0, 0, 1], np.int64), 2, 0)


def test_taking_rows_leaves_the_split_alone() -> None:
    split = Split(np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), np.array([0, 1, 2]))
    taken = split.take(np.array([2, 0]))
    taken.images[:] = 0
    assert split.images[2, 0, 0, 0] == 8 and taken.labels.tolist() == [2, 0]


def test_a_file_is_compared_class_by_class() -> None:
    labels = np.array([0, 0, 1, 1])
    reference = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.6, 0.4]], np.float32)
    answered = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.6, 0.4]], np.float32)
    seen = proof.compare(labels, reference, answered)
    assert seen.accuracy == 0.5 and seen.agreement == 0.75
    assert seen.max_probability_difference == pytest.approx(0.4)
    assert seen.worst_class_drop_points == 50.0


def test_an_answer_that_is_no_number_or_of_another_shape_is_an_error() -> None:
    labels, reference = np.array([0]), np.array([[0.9, 0.1]], np.float32)
    for answered in (reference[:, :1], np.array([[np.nan, 0.1]], np.float32)):
        with pytest.raises(ValueError, match="the file answered"):
            proof.compare(labels, reference, answered)


def test_latency_counts_the_runs_it_reports() -> None:
    calls: list[int] = []
    timing = proof.latency(lambda picture: calls.append(1), np.zeros((1, 4, 4, 3), np.uint8))
    assert len(calls) == proof.WARM_UP + proof.TIMED and timing["runs"] == proof.TIMED
    assert timing["median"] <= timing["p95"]


def test_a_line_stays_one_line_without_control_characters() -> None:
    assert one_line("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert len(one_line("x" * 900)) == 300
