"""splits: drawn by hash, class by class, whole units together; what came with a split keeps it."""

from collections import Counter
from dataclasses import replace

import pytest

from graft.core.sections import SplitShares
from tasks import splits
from tasks.adapters.manifest import Row

BLANK = Row("source", "", "", "", "", 1, 1, "RGB", "PNG", 1, "", "", "s", 0, "", "", "")
SHARES = SplitShares(validation=0.1, test=0.2)


def rows(label: str, n: int, split: str = "", unit: str = "") -> list[Row]:
    """Rows of different contents."""
    names = [f"{label}/{split}{unit}{number}" for number in range(n)]
    return [replace(BLANK, path=name, sha256=name, label=label, split=split, unit=unit) for name in names]


def units(label: str, n: int, size: int, split: str = "") -> list[Row]:
    return [row for number in range(n) for row in rows(label, size, split, f"{label}-{split}-unit{number}")]


def assigned(given: list[Row], shares: SplitShares = SHARES, seed: int = 0) -> list[Row]:
    """What `assign` gives, once it is sure that nothing but undecided splits changed, nor straddles."""
    done = splits.assign(given, shares, seed)
    assert [replace(row, split="") for row in done] == [replace(row, split="") for row in given]
    assert {row.split for row in done} <= {"train", "validation", "test", "unseen"}
    return done


def count(given: list[Row], label: str) -> Counter[str]:
    return Counter(row.split for row in given if row.label == label)


def straddling(given: list[Row], key: str) -> set[str]:
    """Values of a column whose rows are in more than one split."""
    pairs = {(getattr(row, key), row.split) for row in given if getattr(row, key)}
    return {value for value, n in Counter(value for value, _ in pairs).items() if n > 1}


def test_every_class_gets_its_shares() -> None:
    done = assigned(rows("ash", 100) + rows("birch", 50))
    assert count(done, "ash") == {"train": 70, "validation": 10, "test": 20}
    assert count(done, "birch") == {"train": 35, "validation": 5, "test": 10}


def test_a_class_of_three_still_has_a_row_to_validate_and_one_to_test() -> None:
    done = assigned(rows("a", 3), SplitShares(validation=0.02, test=0.02))
    assert sorted(row.split for row in done) == ["test", "train", "validation"]


@pytest.mark.parametrize("n", range(1, 12))
def test_training_keeps_a_row_of_every_class_whatever_the_shares(n: int) -> None:
    done = assigned(rows("a", n) + units("b", 1, n), SplitShares(validation=0.4, test=0.5))
    assert count(done, "a")["train"] >= 1 and len(count(done, "a")) == min(n, 3)
    assert count(done, "b") == {"train": n}


def test_another_seed_splits_otherwise_and_the_same_seed_the_same() -> None:
    given = rows("a", 60)
    one, same, other = ([row.split for row in assigned(given, seed=seed)] for seed in (0, 0, 1))
    assert one == same
    assert one != other and sorted(one) == sorted(other)


def test_the_order_of_the_rows_decides_nothing() -> None:
    given = rows("ash", 30) + units("birch", 12, 3)
    turned = assigned(given[::-1])
    assert assigned(given) == turned[::-1]


@pytest.mark.parametrize("seed", range(5))
def test_units_never_straddle(seed: int) -> None:
    given = units("ash", 20, 4) + units("birch", 9, 7) + rows("birch", 30)
    mixed = [replace(row, label="cedar") if number % 5 == 0 else row for number, row in enumerate(given)]
    done = assigned(mixed, seed=seed)
    assert straddling(done, "unit") == set()
    for label in ("ash", "birch", "cedar"):
        assert set(count(done, label)) == {"train", "validation", "test"}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_content_never_straddles_whatever_its_units(seed: int) -> None:
    given = units("ash", 20, 4)
    copies = [replace(row, path=f"copy/{row.path}", unit="") for row in given[::3]]
    elsewhere = [replace(row, path=f"other/{row.path}", unit=f"other-{row.unit[-1]}") for row in given[::7]]
    done = assigned(given + copies + elsewhere, seed=seed)
    assert straddling(done, "sha256") == set() and straddling(done, "unit") == set()


def test_pictures_that_were_not_read_have_nothing_in_common() -> None:
    unread = [replace(row, sha256="that of nothing", bytes=0, problem="too_large: x") for row in rows("a", 40)]
    assert count(assigned(unread), "a") == {"train": 28, "validation": 4, "test": 8}


@pytest.mark.parametrize("seed", range(5))
def test_one_more_picture_moves_few_others(seed: int) -> None:
    given = rows("ash", 200) + rows("birch", 200)
    before = {row.path: row.split for row in assigned(given, seed=seed)}
    after = assigned([*given, replace(BLANK, path="new", sha256="new", label="ash")], seed=seed)
    moved = [row for row in after if row.path in before and before[row.path] != row.split]
    assert len(moved) <= 2 and {row.label for row in moved} <= {"ash"}


def test_rows_with_a_split_keep_it_and_so_does_their_unit() -> None:
    given = rows("a", 20) + rows("a", 5, "unseen") + rows("a", 3, "test") + rows("a", 2, "validation")
    tied = [replace(row, unit="u") for row in rows("b", 6) + rows("b", 1, "unseen")] + rows("b", 9)
    done = assigned(given + tied)
    assert all(new.split == old.split for new, old in zip(done, given + tied, strict=True) if old.split)
    assert {row.split for row in done if row.unit} == {"unseen"}
    # of 25 rows that are not kept out, 5 may be tested on and 2 validated on
    assert count(done, "a") == {"train": 18, "validation": 2, "test": 5, "unseen": 5}


def test_a_group_larger_than_a_share_is_for_training() -> None:
    done = assigned(units("a", 1, 60) + rows("a", 40))
    assert {row.split for row in done if row.unit} == {"train"}
    assert count(done, "a") == {"train": 70, "validation": 10, "test": 20}


def test_a_class_left_without_validation_or_test_gets_its_smallest_units() -> None:
    given = [row for size in (30, 25, 20, 12, 13) for row in rows("a", size, unit=f"unit{size}")]
    done = assigned(given, SplitShares(validation=0.02, test=0.02))
    assert {row.unit: row.split for row in done} == {
        "unit30": "train",
        "unit25": "train",
        "unit20": "train",
        "unit12": "validation",
        "unit13": "test",
    }


@pytest.mark.parametrize(("there", "missing", "n"), [("test", "validation", 10), ("validation", "test", 20)])
def test_the_missing_split_is_drawn_from_the_training_rows_alone(there: str, missing: str, n: int) -> None:
    given = rows("a", 100, "train") + rows("a", 900, there) + rows("a", 50, "unseen")
    done = assigned(given)
    assert count(done, "a") == {"train": 100 - n, missing: n, there: 900, "unseen": 50}
    assert {old.split for new, old in zip(done, given, strict=True) if new.split == missing} == {"train"}
    assert done == assigned(given) and done != assigned(given, seed=1)


def test_the_missing_split_takes_whole_units() -> None:
    done = assigned(units("a", 20, 5, "train") + rows("a", 40, "test"))
    assert straddling(done, "unit") == set()
    assert count(done, "a") == {"train": 90, "validation": 10, "test": 40}
    big = assigned(units("a", 3, 30, "train") + rows("a", 40, "test"))
    assert count(big, "a") == {"train": 60, "validation": 30, "test": 40}


def test_nothing_is_drawn_from_training_rows_for_a_class_that_has_all_splits_or_neither() -> None:
    whole = rows("a", 50, "train") + rows("a", 5, "validation") + rows("a", 5, "test")
    neither = rows("b", 50, "train")
    open_ = rows("c", 50, "train") + rows("c", 5, "test") + rows("c", 40)
    done = assigned(whole + neither + open_)
    assert done[: len(whole + neither) + 55] == (whole + neither + open_)[:-40]
    assert count(done[-40:], "c")["validation"] == 10


def test_a_picture_that_is_both_trained_and_tested_on_is_not_moved_again() -> None:
    given = rows("a", 20, "train") + rows("a", 20, "test")
    twice = [replace(row, sha256=f"same{number % 20}") for number, row in enumerate(given)]
    assert assigned(twice) == twice  # the data gate names them
