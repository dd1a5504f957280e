"""Cross-validation: every row is validated once, classes keep their shares, groups stay whole."""

import numpy as np
import pytest

from graft.core.errors import BadInput
from graft.core.folds import folds

LABELS = np.repeat(np.arange(4), 15)
GROUPS = np.array([f"camera {row % 5}" for row in range(60)])


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_every_row_is_validated_once_and_never_by_what_learned_from_it(groups: np.ndarray | None) -> None:
    drawn = folds(LABELS, groups, 5, 0)
    assert sorted(np.concatenate([validation for _, validation in drawn])) == list(range(60))
    for train, validation in drawn:
        assert sorted([*train, *validation]) == list(range(60))
        assert np.bincount(LABELS[validation]).tolist() == [3, 3, 3, 3]


def test_no_group_is_parted_however_unequal_the_groups_are() -> None:
    generator = np.random.default_rng(0)
    groups = generator.choice(9, 200, p=np.arange(1, 10) / 45)
    labels = generator.integers(0, 3, 200)
    for train, validation in folds(labels, groups, 3, 0):
        assert not set(groups[train]) & set(groups[validation])
        assert set(labels[train]) == {0, 1, 2}


def test_the_seed_decides_the_folds() -> None:
    one, same, other = (np.concatenate([v for _, v in folds(LABELS, None, 5, seed)]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("labels", "groups", "n", "told"),
    [
        ([0, 0, 0, 0, 1, 1], None, 3, "class 1 has 2 rows, too few for 3 folds; 2 folds or more labels would do"),
        ([0, 0, 1], None, 2, "class 1 has 1 row, too few for 2 folds; more labels would do"),
        ([0, 0, 0, 1, 1, 1], [0, 0, 1, 2, 2, 2], 2, "class 1 has 1 group, too few for 2 folds"),
        ([0, 1], None, 1, "1 folds of 2 rows"),
        ([0, 1], [0], 2, "2 labels come with 1 groups"),
        ([], None, 2, "2 folds of 0 rows"),
    ],
)
def test_too_few_rows_or_groups_are_refused_in_one_line(
    labels: list[int], groups: list[int] | None, n: int, told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        folds(np.array(labels, dtype=np.int64), None if groups is None else np.array(groups), n, 0)
