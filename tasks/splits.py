"""Which rows are for training, validation and test: by hash, class by class, whole units together."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core.sections import SplitShares
from tasks.adapters.manifest import Row

HELD_OUT = ("validation", "test")
CODES = (*HELD_OUT, "train", "unseen", "")
"""Splits by number; those held out have their place in HELD_OUT."""
TRAIN, UNSEEN, NONE = CODES.index("train"), CODES.index("unseen"), CODES.index("")
KEY_BYTES = 16

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


def assign(rows: list[Row], shares: SplitShares, seed: int) -> list[Row]:
    """Give every row that has none its split, so that one more picture moves few others; see `Draw.splits`."""
    draw = Draw(seed)
    for row in rows:
        draw.add(row)
    return [replace(row, split=split) for row, split in zip(rows, draw.splits(shares), strict=True)]


class Draw:
    """What the splits of one domain's rows depend on, some 40 bytes a row, taken in row by row; and units' names."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._content, self._order = bytearray(), bytearray()
        self._label, self._unit, self._split = array("i"), array("i"), array("b")
        self._labels: dict[str, int] = {}
        self._units: dict[str, int] = {}

    def add(self, row: Row) -> None:
        """One more row: its unit and its content tie it to others; one that was not read has only its path."""
        kind, name = (1, row.sha256) if row.bytes else (2, row.path)
        self._content += hashlib.blake2b(f"{kind}{name}".encode(), digest_size=KEY_BYTES).digest()
        self._order += self._hash(name)
        self._label.append(self._labels.setdefault(row.label, len(self._labels)))
        self._unit.append(self._units.setdefault(row.unit, len(self._units)) if row.unit else -1)
        self._split.append(CODES.index(row.split))

    def splits(self, shares: SplitShares) -> Iterator[str]:
        """The split of every row, in their order.

        Rows of one unit (see `Row.unit`), and rows of the same content, never straddle splits. Units come in the order
        of a hash of the seed and their name, which is their content's if they have none; each goes to validation, else
        test, as long as no class would get more than its share there, else to training. A class left without
        validation or test pictures by large units gets its smallest.

        A class that comes with a test split and without validation, or the other way, has the missing one drawn from
        its training rows alone: what it was tested on stays unseen. Rows that come with a split keep it, but for the
        missing one, and their whole unit does.
        """
        own, labels = np.array(self._split, np.int64), np.array(self._label, np.int64)
        units = _Units.of(self._tied(), labels)
        lacks = _lacks(own, labels, len(self._labels))
        split, for_training = units.first(own), units.every(own == TRAIN)
        allowed = np.stack(
            [(split == NONE) | (for_training & units.every(lacks[labels, place])) for place in range(len(HELD_OUT))],
            axis=1,
        )
        drawn: Mask = np.any(allowed, axis=1)
        room = _room(split[units.of_row], labels, lacks, shares)
        todo = np.flatnonzero(drawn)
        _put(units, split, allowed, room, todo[np.argsort(self._orders(units)[todo], kind="stable")])
        _give_every_class_its_share(units, split, allowed, [self._labels[name] for name in sorted(self._labels)])
        final = np.where(drawn[units.of_row] | (own == NONE), split[units.of_row], own)
        return (CODES[code] for code in final)

    def _tied(self) -> Numbers:
        """(n,) a number for each row, the same for all that its units and contents tie together."""
        _, content = np.unique(np.frombuffer(bytes(self._content), f"S{KEY_BYTES}"), return_inverse=True)
        if not self._units:
            return content
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        unit, n_contents = np.array(self._unit, np.int64), int(content.max()) + 1
        named, size = unit >= 0, n_contents + len(self._units)
        edges = np.ones(int(named.sum()), np.int8), (content[named], n_contents + unit[named])
        tied: Numbers = connected_components(coo_array(edges, (size, size)), directed=False)[1][content].astype(
            np.int64
        )
        return tied

    def _orders(self, units: "_Units") -> NDArray[np.bytes_]:
        """Of each unit the hash that says when its turn is: that of its smallest name, else of its content."""
        orders = np.frombuffer(bytes(self._order), f"S{KEY_BYTES}")[units.firsts].copy()
        number, named = np.array(self._unit, np.int64), np.flatnonzero(np.array(self._unit) >= 0)
        unit_of = np.zeros(len(self._units), np.int64)
        unit_of[number[named]] = units.of_row[named]
        for name in sorted(self._units, reverse=True):  # the smallest has the last word
            orders[unit_of[self._units[name]]] = self._hash(name)
        return orders

    def _hash(self, name: str) -> bytes:
        return hashlib.sha256(f"{self._seed}:{name}".encode()).digest()[:KEY_BYTES]


class _Units(NamedTuple):
    """Rows that share a split, unit by unit, numbered as they come.

    Attributes:
        of_row: (n,) the unit of each row.
        labels: (n,) the class of each row.
        rows, starts: rows of unit `u` are rows[starts[u] : starts[u + 1]].
        firsts: the first row of each unit.
    """

    of_row: Numbers
    labels: Numbers
    rows: Numbers
    starts: Numbers
    firsts: Numbers

    @classmethod
    def of(cls, tied: Numbers, labels: Numbers) -> "_Units":
        _, firsts, inverse = np.unique(tied, return_index=True, return_inverse=True)
        turn = np.empty(len(firsts), np.int64)
        turn[np.argsort(firsts)] = np.arange(len(firsts))
        of_row = turn[inverse]
        starts = np.concatenate([[0], np.cumsum(np.bincount(of_row))]).astype(np.int64)
        return cls(of_row, labels, np.argsort(of_row, kind="stable"), starts, np.sort(firsts))

    def first(self, own: Numbers) -> Numbers:
        """The split of the first row of each unit that came with one."""
        split, came = np.full(len(self.firsts), NONE), np.flatnonzero(own != NONE)
        units, at = np.unique(self.of_row[came], return_index=True)
        split[units] = own[came[at]]
        return split

    def every(self, mask: Mask) -> Mask:
        """Whether all rows of a unit are in `mask`."""
        return np.equal(np.bincount(self.of_row[~mask], minlength=len(self.firsts)), 0)

    def counts(self, unit: int) -> Counter[int]:
        """Rows of a unit by class."""
        return Counter(self.labels[self.rows[self.starts[unit] : self.starts[unit + 1]]].tolist())


def _lacks(own: Numbers, labels: Numbers, n_labels: int) -> Mask:
    """(n_labels, 2) the held-out split each class lacks, if it came with the other and leaves nothing to be drawn."""
    came = np.zeros((n_labels, len(CODES)), dtype=bool)
    came[labels, own] = True
    lacks: Mask = ~came[:, : len(HELD_OUT)]
    lacks[(lacks.sum(axis=1) != 1) | came[:, NONE]] = False
    return lacks


def _room(split: Numbers, labels: Numbers, lacks: Mask, shares: SplitShares) -> list[list[int]]:
    """How many more rows of each class each held-out split may take: by split, then class.

    Shares are of all rows that are not kept out; a missing split's are of the training rows that it is drawn from.
    At least one row is left for training.

    Args:
        split: (n,) of each row's unit.
    """
    lacking: Mask = np.any(lacks, axis=1)
    counted = np.where(lacking[labels], split == TRAIN, split != UNSEEN)
    total = np.bincount(labels[counted], minlength=len(lacks)).tolist()
    taken = [np.bincount(labels[split == place], minlength=len(lacks)).tolist() for place in range(len(HELD_OUT))]
    validation = [min(max(1, round(shares.validation * n)), n - 1) for n in total]
    test = [min(max(1, round(shares.test * n)), n - 1 - held) for n, held in zip(total, validation, strict=True)]
    return [[most - n for most, n in zip(*one, strict=True)] for one in zip((validation, test), taken, strict=True)]


def _put(units: _Units, split: Numbers, allowed: Mask, room: list[list[int]], turns: Numbers) -> None:
    """Put each unit into the first held-out split that has room for all of its rows, else into training."""
    for unit in turns.tolist():
        counts = units.counts(unit)
        split[unit] = TRAIN
        for place in np.flatnonzero(allowed[unit]).tolist():
            if all(n <= room[place][label] for label, n in counts.items()):
                split[unit] = place
                for label, n in counts.items():
                    room[place][label] -= n
                break


def _give_every_class_its_share(units: _Units, split: Numbers, allowed: Mask, labels: list[int]) -> None:
    """Move a class's smallest training unit where the class has no picture, if training keeps one of it."""
    sizes = np.diff(units.starts)
    for label in labels:
        mine = np.unique(units.of_row[units.labels == label])
        for place in range(len(HELD_OUT)):
            if (split[mine] == place).any():
                continue
            training = mine[split[mine] == TRAIN]
            movable = training[allowed[training, place]]
            if len(training) > 1 and len(movable):
                split[movable[sizes[movable].argmin()]] = place
