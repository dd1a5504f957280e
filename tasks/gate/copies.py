"""The same picture twice: in one split, across splits, across domains, under two labels; exactly or nearly."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import duplicates
from graft.core.duplicates import Held, Picked

PIECE = 50_000
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


def find(frame: Any, descriptors: Held, radius: float) -> list[Mark]:
    """Every row that is a copy of another and ranks behind it.

    Ranks: target before source, held-out splits before training, then the manifest's order. Each row is held against
    the other domain, against the splits that rank before its own, and against its own split: a copy nearby never hides
    one that matters more.

    Args:
        frame: the manifest with `pixels`, "" for rows that do not decode.
    """
    facts = _Facts(frame)
    ranked = np.argsort(facts.rank, kind="stable")
    _, first = np.unique(facts.content[ranked], return_index=True)
    unique = ranked[np.sort(first)]
    unique = unique[facts.decoded[unique]]
    across = list(_across(unique, descriptors, facts, radius))
    rest = unique[~np.isin(unique, [mark.row for mark in across])]
    return [*_exact(frame, facts), *_both_ways([*across, *_within(rest, descriptors, facts, radius)])]


def _exact(frame: Any, facts: "_Facts") -> Iterator[Mark]:
    again = facts.decoded & (np.bincount(facts.content) > 1)[facts.content]
    for _, members in frame[again].groupby("pixels", sort=False):
        rows = sorted(members["row"], key=lambda row: facts.rank[row])
        first = {int(facts.domain[row]): row for row in reversed(rows)}
        pairs = [(row, partner) for row in rows for partner in first.values() if facts.rank[partner] < facts.rank[row]]
        marks = [Mark(facts.rule(row, partner, near=False), row, partner, 0.0) for row, partner in pairs]
        yield from _both_ways(marks)


def _across(rows: NDArray[np.int64], descriptors: Held, facts: "_Facts", radius: float) -> Iterator[Mark]:
    """Near copies in the other domain, and in splits of the same domain that rank before."""
    for losers, winners in facts.sides(rows):
        found, distances = duplicates.nearest(Picked(descriptors, losers), Picked(descriptors, winners), radius)
        for at in np.flatnonzero(found >= 0).tolist():
            loser, winner = int(losers[at]), int(winners[found[at]])
            yield Mark(facts.rule(loser, winner, near=True), loser, winner, float(distances[at]))


def _within(rows: NDArray[np.int64], descriptors: Held, facts: "_Facts", radius: float) -> Iterator[Mark]:
    """Near copies in one split, looked for again and again until those that are left have none."""
    for tier in np.unique(facts.tier[rows]):
        alive = rows[facts.tier[rows] == tier]
        while True:
            pairs, distances = duplicates.near(Picked(descriptors, alive), radius)
            lost: dict[int, Mark] = {}
            for (first, second), distance in zip(pairs, distances, strict=True):
                winner, loser = int(alive[first]), int(alive[second])  # `alive` is in rank order
                if loser not in lost or distance < lost[loser].distance:
                    lost[loser] = Mark(facts.rule(loser, winner, near=True), loser, winner, float(distance))
            if not lost:
                break
            yield from lost.values()
            alive = alive[~np.isin(alive, list(lost))]


def _both_ways(marks: list[Mark]) -> list[Mark]:
    """Marks, and of two labels for one picture the other row's too: nobody knows which is right."""
    conflicts = [mark for mark in marks if mark.rule.endswith("label_conflict")]
    other = {mark.partner: mark._replace(row=mark.partner, partner=mark.row) for mark in reversed(conflicts)}
    known = {mark.row for mark in conflicts}
    return marks + [mark for row, mark in other.items() if row not in known]


class _Facts:
    """What decides the rule for a pair, as numbers: quick to ask one by one, and few bytes a row and column."""

    def __init__(self, frame: Any) -> None:
        self.decoded: NDArray[np.bool_] = (frame["pixels"] != "").to_numpy()
        self.content = _contents(frame["pixels"])
        self.domain, _ = _numbered(frame["domain"])
        self.label, _ = _numbered(frame["label"])
        self.split, splits = _numbered(frame["split"])
        tiers = np.array([KEEP_FIRST.get(split, 3) for split in splits], dtype=np.int64)
        self.tier = (frame["domain"] == "source").to_numpy() * len(KEEP_FIRST) + tiers[self.split]
        self.rank = self.tier * len(frame) + np.arange(len(frame))

    def sides(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Parts of `rows`, losers and winners: the source against the target, each split against those before it."""
        tier, first_of_source = self.tier[rows], len(KEEP_FIRST)
        yield rows[tier >= first_of_source], rows[tier < first_of_source]
        for start in (0, first_of_source):
            for own in range(start + 1, start + len(KEEP_FIRST)):
                yield rows[tier == own], rows[(tier >= start) & (tier < own)]

    def rule(self, loser: int, winner: int, near: bool) -> str:
        if self.domain[loser] != self.domain[winner]:
            return "domain_leak"
        if self.label[loser] != self.label[winner]:
            return "near_label_conflict" if near else "label_conflict"
        if self.split[loser] != self.split[winner]:
            return "split_leak"
        return "near_duplicate" if near else "exact_duplicate"


def _contents(column: Any) -> NDArray[np.int32]:
    """A number for each row, the same for the same text; nearly all differ, so a dictionary of them would be large."""
    keys = np.empty(len(column), "S16")
    for start in range(0, len(column), PIECE):
        piece = column.iloc[start : start + PIECE]
        keys[start : start + PIECE] = [blake2b(text.encode(), digest_size=16).digest() for text in piece]
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


def _numbered(column: Any) -> tuple[NDArray[np.int32], Any]:
    """The place of each row's text among the different ones, and those."""
    places, different = column.factorize()
    return places.astype(np.int32), different
