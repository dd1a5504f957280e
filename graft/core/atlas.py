"""The transfer atlas: what reuse gained, cell by cell, and what the features said beforehand.

A cell is one training: which source (none for the scratch net), which target, method, labels per class and seed; its
answers to every test row are kept, so that any two cells of one target compare row by row. A look is what scores and
distances say of a source's features before anything is fine-tuned. Both are known by the hash of what decides them.
"""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core.bootstrap import Estimate
from graft.core.errors import BadInput
from graft.core.evaluation import Resampling

KINDS = ("cell", "look")
SETS = ("seen", "unseen")
FORMAT = "graft-atlas/1"

Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A cell or a look.

    Attributes:
        kind: one of KINDS.
        decides: all that decides the facts: domains by name and content, settings, seed.
        facts: what was measured.
        made: who, when, from which commit, with which versions; decides nothing.
    """

    kind: str
    decides: Numbers
    facts: Numbers
    made: Numbers

    @property
    def key(self) -> str:
        """The same for whatever decides the same."""
        return key(self.kind, self.decides)

    @property
    def as_json(self) -> dict[str, Any]:
        """To be written; `of` reads it."""
        said = {"decides": dict(self.decides), "facts": dict(self.facts), "made": dict(self.made)}
        return {"format": FORMAT, "kind": self.kind, **said}


def of(value: Mapping[str, Any], where: str) -> Record:
    """The record that `as_json` spelt.

    Raises:
        BadInput: it is none.
    """
    parts = [value.get(name) for name in ("decides", "facts", "made")]
    if (
        value.get("format") != FORMAT
        or value.get("kind") not in KINDS
        or not all(isinstance(one, dict) for one in parts)
    ):
        raise BadInput(f"{where} is no record of the atlas in the format {FORMAT}; a newer graft may read it")
    return Record(str(value["kind"]), *(one or {} for one in parts))


def key(kind: str, decides: Numbers) -> str:
    """Hash of what decides a record: 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps([kind, decides], sort_keys=True, allow_nan=False).encode()).hexdigest()


def packed(hits: Sequence[int]) -> dict[str, Any]:
    """Whether each row was answered rightly (0 or 1), in few bytes."""
    bits = np.packbits(np.asarray(hits, np.uint8))
    return {"rows": len(hits), "hits": base64.b64encode(bits.tobytes()).decode(), "accuracy": float(np.mean(hits))}


def unpacked(told: Numbers) -> NDArray[np.float64]:
    """(rows,) of 0 and 1, from what `packed` made.

    Raises:
        BadInput: it is damaged.
    """
    try:
        bits = np.frombuffer(base64.b64decode(told["hits"], validate=True), np.uint8)
        found = np.unpackbits(bits, count=int(told["rows"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"a cell of the atlas is damaged ({error})") from None
    return found.astype(np.float64)


@dataclass(frozen=True)
class Gain:
    """What one source gained on one target, with one method and number of labels, over the same net from nothing.

    Attributes:
        decides: what its first cell is decided by; the others differ by their seed.
        accuracy, scratch, gain: by set; shares in [0, 1], gains in points; intervals of 95 %.
        seeds: of which it is the mean.
        seconds: of processor time that one training took, the reused net's.
    """

    source: str
    target: str
    method: str
    labels: int | str
    decides: Numbers
    seeds: tuple[int, ...]
    accuracy: Mapping[str, Estimate]
    scratch: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]
    per_seed: Mapping[str, tuple[float, ...]]
    seconds: float


def gains(records: Iterable[Record], how: Resampling) -> list[Gain]:
    """Of every source that stands beside the scratch net: same target, labels, settings and seeds, row by row."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for one in records:
        if one.kind == "cell":
            groups[_group(one.decides)].append(one)
    return [
        _gain(cells, groups[other], how)
        for cells in groups.values()
        if cells[0].decides["source"] and (other := _group(scratch_of(cells[0].decides))) in groups
    ]


def scratch_of(decides: Numbers) -> dict[str, Any]:
    """What decides the scratch cell that a cell is compared with."""
    return {**decides, "source": None, "method": None, "pretrain": None}


def _group(decides: Numbers) -> str:
    return json.dumps({name: value for name, value in decides.items() if name != "seed"}, sort_keys=True)


def _gain(cells: Sequence[Record], scratch: Sequence[Record], how: Resampling) -> Gain:
    ours, theirs = ({int(one.decides["seed"]): one for one in some} for some in (cells, scratch))
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    decides = cells[0].decides
    accuracy, plain, gain, per_seed = {}, {}, {}, {}
    for set_ in SETS if seeds else ():
        if set_ not in ours[seeds[0]].facts["sets"]:
            continue
        mine, other = (
            np.stack([unpacked(some[seed].facts["sets"][set_]) for seed in seeds]) for some in (ours, theirs)
        )
        difference = 100.0 * (mine - other)
        accuracy[set_], plain[set_], gain[set_] = how.one(mine), how.one(other), how.one(difference)
        per_seed[set_] = tuple(float(value) for value in difference.mean(axis=1))
    return Gain(
        source=str(decides["source"]["name"]),
        target=str(decides["target"]["name"]),
        method=str(decides["method"]["name"]),
        labels=decides["labels_per_class"],
        decides=decides,
        seeds=seeds,
        accuracy=accuracy,
        scratch=plain,
        gain=gain,
        per_seed=per_seed,
        seconds=float(np.mean([one.facts["seconds"] for one in cells])),
    )
