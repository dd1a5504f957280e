"""Which rows are for training, validation and test: by hash, class by class, whole units together."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace

from graft.core.sections import SplitShares
from tasks.adapters.manifest import Row

HELD_OUT = ("validation", "test")

Units = dict[str, list[Row]]
"""Rows that must share a split, by the name of what ties them."""

Drawn = dict[str, tuple[str, ...]]
"""Units whose split is to be drawn, each with the held-out splits it may go to; otherwise it is for training."""


def assign(rows: list[Row], shares: SplitShares, seed: int) -> list[Row]:
    """Give every row that has none its split, so that one more picture moves few others.

    Rows of one unit (see `Row.unit`), and rows of the same content, never straddle splits. Units come in the order of
    a hash of `seed` and their name; each goes to validation, else test, as long as no class would get more than its
    share there, else to training. A class left without validation or test pictures by large units gets its smallest.

    A class that comes with a test split and without validation, or the other way, has the missing one drawn from its
    training rows alone: what it was tested on stays unseen.

    Args:
        rows: of one domain. Those that come with a split keep it, but for the missing one, and their whole unit does.
    """
    names = _ties(rows)
    units: Units = defaultdict(list)
    for name, row in zip(names, rows, strict=True):
        units[name].append(row)
    split_of = {name: next((row.split for row in unit if row.split), "") for name, unit in units.items()}
    missing = _missing(rows)
    drawn: Drawn = {name: HELD_OUT for name, split in split_of.items() if not split}
    for name, unit in units.items():
        wanted = tuple(split for split in HELD_OUT if all(split in missing[row.label] for row in unit))
        if wanted and all(row.split == "train" for row in unit):
            drawn[name] = wanted
    room = _room(units, split_of, missing, shares)
    for name in sorted(drawn, key=lambda name: _hash(seed, name)):
        _put(name, units, split_of, drawn, room)
    _give_every_class_its_share(units, split_of, drawn)
    return [
        replace(row, split=split_of[name]) if name in drawn or not row.split else row
        for name, row in zip(names, rows, strict=True)
    ]


def _ties(rows: list[Row]) -> list[str]:
    """For each row the name of what ties it to others: its unit, or the first of those that share a content; else its
    content; else its path, since pictures that were not read have nothing in common."""
    above: dict[tuple[int, str], tuple[int, str]] = {}

    def top(key: tuple[int, str]) -> tuple[int, str]:
        while above.setdefault(key, key) != key:
            above[key] = above[above[key]]
            key = above[key]
        return key

    keys = [(1, row.sha256) if row.bytes else (2, row.path) for row in rows]
    for key, row in zip(keys, rows, strict=True):
        if row.unit:
            ends = sorted((top(key), top((0, row.unit))))
            above[ends[1]] = ends[0]
    return [top(key)[1] for key in keys]


def _missing(rows: list[Row]) -> dict[str, set[str]]:
    """The held-out split each class lacks, if it came with the other one and leaves nothing to be drawn."""
    came: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        came[row.label].add(row.split)
    lacking = {label: set(HELD_OUT) - splits for label, splits in came.items()}
    return {label: lacks if len(lacks) == 1 and "" not in came[label] else set() for label, lacks in lacking.items()}


def _room(
    units: Units, split_of: dict[str, str], missing: dict[str, set[str]], shares: SplitShares
) -> dict[str, Counter[str]]:
    """How many more rows of each class each held-out split may take: by split, then class.

    Shares are of all rows that are not kept out; a missing split's are of the training rows that it is drawn from.
    At least one row is left for training.
    """
    total: Counter[str] = Counter()
    taken: dict[str, Counter[str]] = {split: Counter() for split in HELD_OUT}
    for name, unit in units.items():
        for row in unit:
            total[row.label] += split_of[name] == "train" if missing[row.label] else split_of[name] != "unseen"
            if split_of[name] in HELD_OUT:
                taken[split_of[name]][row.label] += 1
    room: dict[str, Counter[str]] = {split: Counter() for split in HELD_OUT}
    for label, n in total.items():
        validation = min(max(1, round(shares.validation * n)), n - 1)
        test = min(max(1, round(shares.test * n)), n - 1 - validation)
        room["validation"][label] = validation - taken["validation"][label]
        room["test"][label] = test - taken["test"][label]
    return room


def _put(name: str, units: Units, split_of: dict[str, str], drawn: Drawn, room: dict[str, Counter[str]]) -> None:
    """Put a unit into the first held-out split that has room for all of its rows, else into training."""
    labels = Counter(row.label for row in units[name])
    split_of[name] = "train"
    for split in drawn[name]:
        if all(n <= room[split][label] for label, n in labels.items()):
            split_of[name] = split
            room[split] -= labels
            break


def _give_every_class_its_share(units: Units, split_of: dict[str, str], drawn: Drawn) -> None:
    """Move a class's smallest training unit where the class has no picture, if training keeps one of it."""
    of_label: dict[str, list[str]] = defaultdict(list)
    for name, unit in units.items():
        for label in {row.label for row in unit}:
            of_label[label].append(name)
    for label in sorted(of_label):
        for split in HELD_OUT:
            if any(split_of[name] == split for name in of_label[label]):
                continue
            training = [name for name in of_label[label] if split_of[name] == "train"]
            movable = [name for name in training if split in drawn.get(name, ())]
            if len(training) > 1 and movable:
                split_of[min(movable, key=lambda name: len(units[name]))] = split


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
