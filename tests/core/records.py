"""Records of an atlas as comparisons make them: little ones, whose answers are given."""

from collections.abc import Sequence
from typing import Any

from graft.core import atlas
from graft.core.atlas import Record

MADE = {"at": "2026-01-01T00:00:00+00:00", "by": "ann", "commit": "", "versions": {}}


def decides(source: str | None, target: str, seed: int, labels: int = 5, **more: Any) -> dict[str, Any]:
    """What decides a cell."""
    return {
        "source": {"name": source, "data": f"hash of {source}"} if source else None,
        "target": {"name": target, "data": f"hash of {target}"},
        "modality": {"name": "image"},
        "backbone": {"name": "convnet"},
        "pretrain": {"epochs": 1} if source else None,
        "finetune": {"steps": 10},
        "method": {"name": "full"} if source else None,
        "labels_per_class": labels,
        "seed": seed,
    } | more


def cell(
    source: str | None, target: str, seed: int, hits: Sequence[int], labels: int = 5, unseen: Sequence[int] = ()
) -> Record:
    """A cell with these answers to the rows of the seen test set."""
    sets = {"seen": atlas.packed(hits)} | ({"unseen": atlas.packed(unseen)} if unseen else {})
    return Record("cell", decides(source, target, seed, labels), {"sets": sets, "seconds": 2.0}, MADE)


def look(
    source: str, target: str, labels: int = 5, learned: float = 0.9, score: float = 0.1, far: float = 1.0
) -> Record:
    """What a source's features say: of a net that tells `learned` of its own pictures apart."""
    said = decides(source, target, 0, labels)
    measured = {"scores": {"logme": score, "linear_probe": 0.4 + score}, "distances": {"mmd": far}, "notes": []}
    fresh = {"scores": {"logme": 0.0, "linear_probe": 0.4}, "distances": {"mmd": 0.01}, "notes": []}
    facts = {
        "source": {"validation_accuracy": learned, "parameters": 10},
        "classes": {"source": 10, "target": 4},
        "rows": {"source": 1000, "target": 400},
        "features": {"transfer": measured, "scratch": fresh},
    }
    return Record(
        "look", {name: value for name, value in said.items() if name not in ("finetune", "method")}, facts, MADE
    )
