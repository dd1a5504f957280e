"""Copies are found in every form, the right one of two is left out, and the rule says why."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from graft.core import duplicates
from tasks.gate import copies


def rows(*facts: tuple[str, str, str, str]) -> Any:
    """Domain, label, split and pixels of each row."""
    table = pd.DataFrame(facts, columns=["domain", "label", "split", "pixels"])
    return table.assign(row=range(len(table)))


def apart(n: int) -> Any:
    """Descriptors of which no two are near."""
    return np.eye(max(n, 2), duplicates.N_VALUES, dtype=np.float16)[:n]


def found(table: Any, near: dict[int, int] | None = None) -> list[tuple[str, int, int]]:
    """Rule, row and partner of each mark; `near` makes one row look like another."""
    descriptors = apart(len(table))
    for row, other in (near or {}).items():
        descriptors[row] = descriptors[other]
        descriptors[row, -1] = 0.01
    return sorted((mark.rule, mark.row, mark.partner) for mark in copies.find(table, descriptors, 0.08))


A = ("target", "rose", "train", "x")
PAIRS = {
    "duplicate": ((A, A), ("exact_duplicate", "near_duplicate"), 1, 0),
    "split": ((("target", "rose", "train", "x"), ("target", "rose", "test", "x")), ("split_leak",) * 2, 0, 1),
    "validation": ((("target", "rose", "validation", "x"), ("target", "rose", "test", "x")), ("split_leak",) * 2, 0, 1),
    "domain": ((("source", "dog", "test", "x"), ("target", "rose", "train", "x")), ("domain_leak",) * 2, 0, 1),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_the_copy_that_trains_is_marked_and_the_one_that_measures_is_kept(kind: str) -> None:
    (first, second), (exact, near), loser, winner = PAIRS[kind]
    assert found(rows(first, second)) == [(exact, loser, winner)]
    other = (*second[:3], "y")
    assert found(rows(first, other), {1: 0}) == [(near, loser, winner)]


def test_one_picture_under_two_labels_marks_both() -> None:
    table = rows(A, ("target", "tulip", "train", "x"))
    assert found(table) == [("label_conflict", 0, 1), ("label_conflict", 1, 0)]
    table = rows(A, ("target", "tulip", "train", "y"))
    assert found(table, {1: 0}) == [("near_label_conflict", 0, 1), ("near_label_conflict", 1, 0)]


def test_of_many_copies_one_is_left() -> None:
    n = 40
    table = rows(*(("target", "rose", "train", str(number)) for number in range(n)))
    descriptors = np.tile(apart(1), (n, 1))
    descriptors[:, -1] = np.linspace(0, 0.05, n)
    marked = {mark.row for mark in copies.find(table, descriptors, 0.08)}
    assert marked == set(range(1, n))


def test_rows_that_do_not_decode_are_no_copies_of_each_other() -> None:
    assert found(rows(("target", "rose", "train", ""), ("target", "rose", "test", ""))) == []


def test_pictures_that_differ_are_no_copies() -> None:
    assert found(rows(A, ("target", "rose", "test", "y"), ("source", "dog", "train", "z"))) == []


def test_a_copy_of_what_was_a_copy_already_is_held_against_the_one_that_measures() -> None:
    table = rows(A, ("target", "rose", "test", "x"), ("target", "rose", "train", "y"))
    assert found(table, {2: 0, 1: 0}) == [("split_leak", 0, 1), ("split_leak", 2, 1)]


def test_many_copies_in_training_do_not_hide_the_one_in_test() -> None:
    table = rows(*(("target", "rose", "train", str(number)) for number in range(9)), ("target", "rose", "test", "t"))
    descriptors = np.tile(apart(1), (10, 1))
    descriptors[:, -1] = [*np.linspace(0, 0.008, 9), 0.06]  # nearer to each other than to that one
    leaks = {mark.row: mark.partner for mark in copies.find(table, descriptors, 0.08) if mark.rule == "split_leak"}
    assert leaks == dict.fromkeys(range(9), 9)


def test_a_copy_in_the_other_domain_and_in_another_split_is_told_of_both() -> None:
    table = rows(("source", "dog", "train", "a"), ("source", "dog", "test", "b"), ("target", "rose", "train", "c"))
    assert found(table, {1: 0, 2: 0}) == [("domain_leak", 0, 2), ("domain_leak", 1, 2), ("split_leak", 0, 1)]
