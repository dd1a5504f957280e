"""A comparison as it is planned: what decides each of its parts, which are still to be done, and where they look."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core import atlas as records
from graft.core.matrix import Matrix
from graft.core.sections import Choice, Settings, Train
from tasks import atlas, cells, domains, training
from tasks.cells import SCRATCH, Job, Told
from tasks.choices import Choices
from tasks.domains import Domain
from tasks.workspace import HELD_OUT, Workspace

Row = tuple[int | None, int | str]
"""Of a comparison: which method, SCRATCH for none, and how many labels per class."""


@dataclass(frozen=True)
class Plan:
    """What is to be compared, checked before anything is done.

    Attributes:
        declared: all of compare.yaml, with nothing left to params.yaml.
        matrix: what of it is compared.
    """

    workspace: Workspace
    settings: Settings
    choices: Choices
    declared: Matrix
    matrix: Matrix

    @property
    def log(self) -> Path:
        """What libraries say to nobody while nets are trained."""
        return self.workspace.compared / "log"


def every(ours: Plan, source: Domain | None, target: Domain) -> list[dict[str, Any]]:
    """What decides each cell of one source on one target; without a source, of the scratch net."""
    return [
        cell(ours, source, target, method, labels, seed)
        for labels in ours.matrix.labels_per_class
        for method in (ours.matrix.methods if source else (None,))
        for seed in range(ours.matrix.seeds)
    ]


def missing(ours: Plan, source: Domain | None, target: Domain) -> list[dict[str, Any]]:
    """Those of them that the atlas lacks."""
    return [one for one in every(ours, source, target) if not atlas.has(ours.workspace, "cell", one)]


def pending(ours: Plan, source: Domain, target: Domain) -> bool:
    """Whether a cell or a look of the two has still to be measured."""
    return bool(missing(ours, source, target) or unseen(ours, source, target))


def cell(
    ours: Plan, source: Domain | None, target: Domain, method: Choice | None, labels: int | str, seed: int
) -> dict[str, Any]:
    """All that decides a cell."""
    settings = ours.settings
    finetune = settings.finetune.model_dump(mode="json", exclude={"method", "labels_per_class", "smaller"})
    return {
        "source": {"name": source.name, "data": source.hash("train", "validation")} if source else None,
        "target": {"name": target.name, "data": target.hash("train", "validation", *HELD_OUT)},
        "modality": settings.data.modality.model_dump(mode="json"),
        "backbone": settings.pretrain.backbone.model_dump(mode="json"),
        "pretrain": _pretraining(settings) if source else None,
        "finetune": finetune,
        "method": method.model_dump(mode="json") if method else None,
        "labels_per_class": labels,
        "seed": seed,
    }


def row(ours: Plan, decides: Mapping[str, Any]) -> Row:
    """Method, by its place in compare.yaml, and labels of a cell."""
    methods = [one.model_dump(mode="json") for one in ours.matrix.methods]
    return (SCRATCH if decides["method"] is None else methods.index(decides["method"])), decides["labels_per_class"]


def rates(ours: Plan, source: Domain | None, target: Domain) -> dict[Row, float]:
    """Learning rates that cells of the atlas were trained at: other seeds of a row keep to them."""
    found = {}
    for decides in every(ours, source, target):
        one = atlas.find(ours.workspace, "cell", decides)
        if one and "learning_rate" in one.facts:
            found[row(ours, decides)] = float(one.facts["learning_rate"])
    return found


def unseen(ours: Plan, source: Domain, target: Domain) -> list[dict[str, Any]]:
    """What decides those looks that the atlas lacks."""
    return [
        decides
        for labels in ours.matrix.labels_per_class
        if not atlas.has(ours.workspace, "look", decides := glance(ours, source, target, labels))
    ]


def glance(ours: Plan, source: Domain, target: Domain, labels: int | str) -> dict[str, Any]:
    """All that decides a look."""
    said = cell(ours, source, target, None, labels, 0)
    return {name: value for name, value in said.items() if name not in ("finetune", "method")}


def tries(ours: Plan, method: int | None, labels: int | str) -> list[Job]:
    """The trainings that choose a row's learning rate; none where there is nothing to choose."""
    section = ours.settings.finetune
    numbers: list[int | None] = [*range(section.folds)] or [None]
    if len(section.learning_rates) < 2:
        return []
    return [Job(method, labels, 0, rate, fold) for rate in section.learning_rates for fold in numbers]


def best(ours: Plan, row: Row, tried: Sequence[tuple[Job, Told]]) -> float | None:
    """The rate that did best; the only one; None if every one diverged."""
    rates = ours.settings.finetune.learning_rates
    if len(rates) < 2:
        return rates[0]
    mine = [(job, told) for job, told in tried if (job.method, job.labels) == row]
    return training.best_rate({rate: [told.history for job, told in mine if job.rate == rate] for rate in rates})


def learned(ours: Plan, source: Domain, target: Domain) -> Path:
    """Folder of the net that learned the source."""
    settings = ours.settings
    of_target = settings.pretrain.unlabelled == "target"
    said = [
        settings.data.modality.model_dump(mode="json"),
        _pretraining(settings),
        source.hash("train", "validation"),
        target.hash("train") if of_target else "",
    ]
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]
    return ours.workspace.compared / "nets" / key


def _pretraining(settings: Settings) -> dict[str, Any]:
    """What decides how a source is learned, beside the source."""
    hardware = {"train": settings.train.model_dump(mode="json")} if settings.train != Train() else {}
    return {"seed": settings.seed, **settings.pretrain.model_dump(mode="json"), **hardware}


def view(ours: Plan, source: Domain | None, target: Domain) -> Workspace:
    """A workspace that shows both domains where stages look for them; links, so that nothing is copied.

    The scratch net has no source; the target stands in its place and is not read.
    """
    other = source or target
    nets = learned(ours, other, target) / "nets"
    said = [other.folder.name, target.folder.name, nets.parent.name]
    root = ours.workspace.compared / "pairs" / hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]
    return domains.shown(root, other, target, nets)


def bench(ours: Plan, source: Domain | None, target: Domain) -> cells.Bench:
    """Where the cells of one source, or of the scratch net, on one target are trained."""
    decides = cell(ours, source, target, None, "all", 0)
    shared = {name: value for name, value in decides.items() if name not in ("method", "labels_per_class", "seed")}
    folder = ours.workspace.compared / "trainings" / records.key("cell", shared)[:24]
    return cells.Bench(view(ours, source, target), ours.settings, ours.matrix.methods, folder)


def look(ours: Plan, decides: Mapping[str, Any]) -> Path:
    """The file of what a look saw, until it is recorded."""
    return ours.workspace.compared / "looks" / records.key("look", decides)[:24] / "look.json"


def glimpse(ours: Plan, source: Domain, target: Domain, labels: int | str) -> cells.Glance:
    """What a look looks at."""
    section = ours.settings.finetune.model_copy(update={"labels_per_class": labels})
    seeds = ours.settings.evaluate.model_copy(update={"seeds": (0,)})
    settings = ours.settings.model_copy(update={"finetune": section, "evaluate": seeds})
    return cells.Glance(view(ours, source, target), settings)
