"""The same picture twice: in one split, across splits, across domains, under two labels; exactly or nearly."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import duplicates

KEEP_FIRST = {"unseen": 0, "test": 1, "validation": 2, "train": 3}
"""Of two copies the one that measures is kept, and the one that trains is left out."""


class Mark(NamedTuple):
    """A row that a rule is about, and the row that it copies.

    Attributes:
        distance: 0 for the same pixels, else as `duplicates.near` has it.
    """

    rule: str
    row: int
    partner: int
    distance: float


def find(frame: Any, descriptors: NDArray[np.float16], radius: float) -> list[Mark]:
    """Every row that is a copy of another and ranks behind it.

    Ranks: target before source, held-out splits before training, then the manifest's order. Near copies are looked for
    among rows whose pixels differ, again and again until those that are left have none.

    Args:
        frame: the manifest with `pixels`, "" for rows that do not decode.
    """
    facts = _Facts(frame)
    marks = list(_exact(frame, facts))
    alive = np.flatnonzero((frame["pixels"] != "").to_numpy() & ~frame["pixels"].duplicated().to_numpy())
    alive = alive[np.argsort(facts.rank[alive], kind="stable")]
    while True:
        pairs, distances = duplicates.near(descriptors[alive], radius)
        lost: dict[int, Mark] = {}
        for (first, second), distance in zip(pairs, distances, strict=True):
            winner, loser = int(alive[first]), int(alive[second])  # `alive` is in rank order
            if loser not in lost or distance < lost[loser].distance:
                lost[loser] = Mark(facts.rule(loser, winner, near=True), loser, winner, float(distance))
        if not lost:
            return marks
        for mark in lost.values():
            marks.append(mark)
            if mark.rule == "near_label_conflict":
                marks.append(mark._replace(row=mark.partner, partner=mark.row))
        alive = alive[[row not in lost for row in alive.tolist()]]


def _exact(frame: Any, facts: "_Facts") -> Iterator[Mark]:
    decoded = frame["pixels"] != ""
    again = frame["pixels"].duplicated(keep=False) & decoded
    for _, members in frame[again].groupby("pixels", sort=False):
        rows = sorted(members["row"], key=lambda row: facts.rank[row])
        marks = [Mark(facts.rule(row, rows[0], near=False), row, rows[0], 0.0) for row in rows[1:]]
        yield from marks
        if conflict := next((mark for mark in marks if mark.rule == "label_conflict"), None):
            yield conflict._replace(row=conflict.partner, partner=conflict.row)


class _Facts:
    """What decides the rule for a pair, as plain lists: quick to ask one by one."""

    def __init__(self, frame: Any) -> None:
        self.domain = frame["domain"].tolist()
        self.label = frame["label"].tolist()
        self.split = frame["split"].tolist()
        held_out = np.array([KEEP_FIRST.get(split, 3) for split in self.split])
        self.rank = (
            (np.array(self.domain) == "source") * 10 * len(frame) + held_out * len(frame) + np.arange(len(frame))
        )

    def rule(self, loser: int, winner: int, near: bool) -> str:
        if self.domain[loser] != self.domain[winner]:
            return "domain_leak"
        if self.label[loser] != self.label[winner]:
            return "near_label_conflict" if near else "label_conflict"
        if self.split[loser] != self.split[winner]:
            return "split_leak"
        return "near_duplicate" if near else "exact_duplicate"
