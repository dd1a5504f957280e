"""Cross-validation (Stone 1974) on training rows: folds that keep the classes' shares and never part a group."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core.errors import BadInput

Rows = NDArray[np.int64]


def folds(labels: Rows, groups: NDArray[Any] | None, n: int, seed: int) -> list[tuple[Rows, Rows]]:
    """(training rows, validation rows) of each of `n` folds; every row is validated once.

    Args:
        labels: (n_rows,) of training rows; test rows have no place here.
        groups: (n_rows,) of whatever must not be learned from and validated on at once (art style, camera, patient);
            None if every row stands for itself.
        seed: decides which of the equally good folds are drawn.

    Raises:
        BadInput: a class has fewer rows, or rows of fewer groups, than there are folds, or would be missing from what
            a fold learns from.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if not 2 <= n <= len(labels):
        raise BadInput(f"{n} folds of {len(labels)} rows; 2 to as many as there are rows would do")
    if groups is not None and len(groups) != len(labels):
        raise BadInput(f"{len(labels)} labels come with {len(groups)} groups; one a row would do")
    what, members = ("row", np.arange(len(labels))) if groups is None else ("group", groups)
    for label in np.unique(labels):
        found = len(np.unique(members[labels == label]))
        if found < n:
            would_do = f"{found} folds or more labels would do" if found > 1 else "more labels would do"
            raise BadInput(f"class {label} has {found} {what}{'s'[: found > 1]}, too few for {n} folds; {would_do}")
    split = StratifiedKFold if groups is None else StratifiedGroupKFold
    drawn = list(split(n, shuffle=True, random_state=seed).split(labels, labels, groups))
    classes = set(np.unique(labels))
    for train, _ in drawn:
        if missing := classes - set(labels[train]):
            raise BadInput(
                f"class {min(missing)} would be missing from what a fold learns from: its groups are few and large; "
                "fewer folds would do"
            )
    return [(train.astype(np.int64), validation.astype(np.int64)) for train, validation in drawn]
