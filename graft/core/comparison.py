"""Which source to take: what each gained on a target over all numbers of labels, and whether the best stands out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import atlas
from graft.core.atlas import Gain, Record
from graft.core.bootstrap import Estimate
from graft.core.evaluation import Resampling

SET = "seen"
"""The test set that ranks sources."""


@dataclass(frozen=True)
class Standing:
    """A source on one target, over all its cells.

    Attributes:
        gain: mean points over the scratch net, on SET.
        behind: by how many points it is worse than the best source on the same rows; 0 for the best itself.
        seconds: of processor time for one training.
    """

    source: str
    gain: Estimate
    behind: Estimate
    seconds: float

    @property
    def verdict(self) -> str:
        """`helps`, `harms` or `no gain shown`: by its interval."""
        return "helps" if self.gain.low > 0 else "harms" if self.gain.high < 0 else "no gain shown"

    @property
    def level(self) -> bool:
        """Whether it cannot be told apart from the best."""
        return self.behind.low <= 0


@dataclass(frozen=True)
class Comparison:
    """All that was measured on one target.

    Attributes:
        standings: the best source first.
        gains: of every cell.
    """

    target: str
    standings: Sequence[Standing]
    gains: Sequence[Gain]

    @property
    def sentence(self) -> str:
        """Which source to take, and how sure that is."""
        best = self.standings[0]
        if best.verdict != "helps":
            return f"{self.target}: no source is shown to help; {best.source} comes first with {points(best.gain)}"
        level = [one.source for one in self.standings[1:] if one.level]
        others = f"; not told apart from it: {', '.join(level)}" if level else "; better than every other source"
        return f"{self.target}: take {best.source}, {points(best.gain)} over training from nothing{others}"

    @property
    def warnings(self) -> list[str]:
        """Sources that harm, and those that gain nothing that could be told from chance."""
        harm = [f"{one.source} ({points(one.gain)})" for one in self.standings if one.verdict == "harms"]
        idle = [one.source for one in self.standings if one.verdict == "no gain shown"]
        said = [f"Harm {self.target}: {', '.join(harm)}."] if harm else []
        return said + ([f"No gain shown on {self.target}: {', '.join(idle)}."] if idle else [])

    @property
    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "sentence": self.sentence,
            "standings": [
                asdict(one) | {"verdict": one.verdict, "level_with_best": one.level} for one in self.standings
            ],
            "cells": [
                {
                    **{name: getattr(one, name) for name in ("source", "method", "labels", "seeds", "seconds")},
                    **{
                        name: {which: asdict(found) for which, found in getattr(one, name).items()}
                        for name in ("accuracy", "scratch", "gain")
                    },
                }
                for one in self.gains
            ],
        }


def points(estimate: Estimate) -> str:
    """`+7.6 points [+1.9, +13.3]`"""
    mean, ends = interval(estimate).split(" ", 1)
    return f"{mean} points {ends}"


def interval(estimate: Estimate) -> str:
    """`+7.6 [+1.9, +13.3]`"""
    return f"{signed(estimate.mean)} [{signed(estimate.low)}, {signed(estimate.high)}]"


def signed(value: float) -> str:
    """`+7.6`"""
    return f"{value:+z.1f}".replace("-", "−")


def compare(records: Iterable[Record], how: Resampling) -> list[Comparison]:
    """By target, whatever of `records` has a scratch net beside it. Cells that diverged have no say."""
    sound = [one for one in records if one.kind == "cell" and one.facts["sets"]]
    found: dict[str, list[Gain]] = defaultdict(list)
    for gain in atlas.gains(sound, how):
        if gain.seeds and SET in gain.gain:
            found[gain.target].append(gain)
    differences = _differences(sound)
    return [Comparison(target, _standings(gains, differences[target], how), gains) for target, gains in found.items()]


Column = tuple[str, str]
"""Method and number of labels."""


def _differences(cells: Sequence[Record]) -> dict[str, dict[str, dict[Column, NDArray[np.float64]]]]:
    """By target, source and column: points (seeds, rows) that the reused net has over the scratch net on SET."""
    scratch = {atlas.key("cell", one.decides): one for one in cells if not one.decides["source"]}
    found: dict[str, dict[str, dict[Column, dict[int, NDArray[np.float64]]]]] = {}
    for one in cells:
        said = one.decides
        other = scratch.get(atlas.key("cell", atlas.scratch_of(said))) if said["source"] else None
        if other is None or SET not in one.facts["sets"]:
            continue
        hits = [atlas.unpacked(each.facts["sets"][SET]) for each in (one, other)]
        column = (str(said["method"]), str(said["labels_per_class"]))
        of_target = found.setdefault(said["target"]["name"], {})
        of_target.setdefault(said["source"]["name"], {}).setdefault(column, {})[said["seed"]] = 100.0 * (
            hits[0] - hits[1]
        )
    return {
        target: {
            source: {column: np.stack([seeds[seed] for seed in sorted(seeds)]) for column, seeds in columns.items()}
            for source, columns in sources.items()
        }
        for target, sources in found.items()
    }


def _standings(
    gains: Sequence[Gain], differences: Mapping[str, Mapping[Column, NDArray[np.float64]]], how: Resampling
) -> list[Standing]:
    """Over those columns, and the seeds of each, that all sources have; over its own where they share none."""
    shared = set.intersection(*(set(columns) for columns in differences.values()))
    means = {}
    for source, columns in differences.items():
        chosen = [columns[column] for column in sorted(shared or columns)]
        seeds = min(len(one) for one in chosen)
        means[source] = np.mean([one[:seeds] for one in chosen], axis=0)
    order = sorted(means, key=lambda source: (-float(means[source].mean()), source))
    best = means[order[0]]
    seconds = {source: float(np.mean([one.seconds for one in gains if one.source == source])) for source in order}
    return [
        Standing(source, how.one(means[source]), _behind(best, means[source], how), seconds[source]) for source in order
    ]


def _behind(best: NDArray[np.float64], other: NDArray[np.float64], how: Resampling) -> Estimate:
    seeds = min(len(best), len(other))
    return how.one(best[:seeds] - other[:seeds])
