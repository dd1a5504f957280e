"""compare: which source helps which target, with which method and how many labels; every cell goes into the atlas."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from graft.core import atlas as records
from graft.core import matrix as matrices
from graft.core.atlas import Record
from graft.core.dataset import Progress, draw_per_class
from graft.core.errors import BadInput
from graft.core.matrix import Labels, Matrix
from graft.core.plugins import resolve
from graft.core.processes import Workers
from graft.core.sections import Choice, Settings
from tasks import atlas, cells, domains, training
from tasks.adapters import files
from tasks.cells import SCRATCH, Job, Told
from tasks.choices import Choices
from tasks.domains import Domain
from tasks.workspace import HELD_OUT, Workspace

Domains = Mapping[str, Domain]
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


class Narrowed(NamedTuple):
    """What of compare.yaml is meant; all of a kind of which nothing is named."""

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    labels: tuple[Labels, ...] = ()


ALL = Narrowed()


def plan(workspace: Workspace, settings: Settings, narrowed: Narrowed = ALL) -> Plan:
    """The comparison of compare.yaml.

    Raises:
        BadInput: compare.yaml, params.yaml, an origin or a method will not do.
        UsageError: what is named is not in compare.yaml.
    """
    matrix = matrices.load(workspace.matrix).filled(settings)
    for index, method in enumerate(matrix.methods):
        resolve("graft.methods", method, f"compare.yaml: methods[{index}]")
    for kind, found in (("sources", matrix.sources), ("targets", matrix.targets)):
        for name, one in found.items():
            if one.origin:
                resolve("tasks.origins", one.origin, f"compare.yaml: {kind}.{name}.origin")
    workspace.compared.mkdir(parents=True, exist_ok=True)
    return Plan(workspace, settings, Choices.of(settings), matrix, matrix.only(*narrowed))


def prepare(ours: Plan, name: str, role: str, progress: Progress) -> Domain:
    """A target, or a source with an origin of its own, fetched, gated and packed. Raises as `domains.prepare` does."""
    one = (ours.declared.sources if role == "source" else ours.declared.targets)[name]
    assert one.origin is not None
    found = domains.prepare(ours.workspace, ours.settings, name, one.origin, role, progress)
    if role == "target":
        _enough(ours, found)
    return found


def mixed(ours: Plan, name: str, sources: Domains) -> Domain:
    """A source that is a mix of others."""
    parts = {part: (sources[part], weight) for part, weight in ours.matrix.sources[name].mix.items()}
    return domains.mix(ours.workspace, name, parts, ours.settings.seed)


def _enough(ours: Plan, target: Domain) -> None:
    labels = target.split("train").labels
    for wanted in ours.matrix.labels_per_class:
        try:
            draw_per_class(labels, None if wanted == "all" else int(wanted), 0)
        except ValueError:
            fewest = min(int((labels == label).sum()) for label in range(len(target.classes)))
            raise BadInput(
                f"compare.yaml: labels_per_class has {wanted}; a class of {target.name} has {fewest} training pictures"
            ) from None


def pretrain(ours: Plan, pairs: Sequence[tuple[Domain, Domain]], progress: Progress) -> None:
    """Let a net learn each source that has none yet and is needed; several side by side.

    Raises:
        GateRefused: one diverged at every rate.
    """
    lacking = {}
    for source, target in pairs:
        folder = _learned(ours, source, target)
        if not (folder / "facts.json").exists() and (missing(ours, source, target) or _unseen(ours, source, target)):
            lacking[folder] = cells.Learned(source.name, _view(ours, source, target), ours.settings, folder)
    for folder in lacking:
        (folder / "nets").mkdir(parents=True, exist_ok=True)
    if lacking:
        with Workers(cells.learn, None, len(lacking), ours.log) as workers:
            workers.run(list(lacking.values()), progress)


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


def cell(
    ours: Plan, source: Domain | None, target: Domain, method: Choice | None, labels: int | str, seed: int
) -> dict[str, Any]:
    """All that decides a cell."""
    settings = ours.settings
    finetune = settings.finetune.model_dump(mode="json", exclude={"method", "labels_per_class"})
    return {
        "source": {"name": source.name, "data": source.hash("train", "validation")} if source else None,
        "target": {"name": target.name, "data": target.hash("train", "validation", *HELD_OUT)},
        "modality": settings.data.modality.model_dump(mode="json"),
        "backbone": settings.pretrain.backbone.model_dump(mode="json"),
        "pretrain": {"seed": settings.seed, **settings.pretrain.model_dump(mode="json")} if source else None,
        "finetune": finetune,
        "method": method.model_dump(mode="json") if method else None,
        "labels_per_class": labels,
        "seed": seed,
    }


def train(ours: Plan, source: Domain | None, target: Domain, progress: Progress) -> int:
    """Train and record every cell that the atlas lacks of one source (or the scratch net) on one target; how many.

    As `tasks.finetune` does: every learning rate on the first seed, by validation or folds; the best one for all. What
    was trained before a kill is not trained again.
    """
    lacking = missing(ours, source, target)
    if not lacking:
        return 0
    due = {(_row(ours, one), int(one["seed"])): one for one in lacking}
    shared = {name: value for name, value in lacking[0].items() if name not in ("method", "labels_per_class", "seed")}
    folder = ours.workspace.compared / "trainings" / records.key("cell", shared)[:24]
    bench = cells.Bench(_view(ours, source, target), ours.settings, ours.matrix.methods, folder)
    told = _trained(ours, bench, list(due), _rates(ours, source, target), progress)
    made = atlas.made(ours.workspace)
    for place, one in due.items():
        atlas.keep(ours.workspace, Record("cell", one, _facts(*told.get(place, (None, None))), made))
    shutil.rmtree(folder)
    return len(lacking)


def _trained(
    ours: Plan,
    bench: cells.Bench,
    due: Sequence[tuple[Row, int]],
    chosen: Mapping[Row, float],
    progress: Progress,
) -> dict[tuple[Row, int], tuple[Job, Told]]:
    """What came of each training that is due, by row and seed; without those of rows that diverged at every rate.

    Args:
        chosen: rates of rows of which another seed was measured before.
    """
    rows = list(dict.fromkeys(row for row, _ in due))
    tries = [job for row in rows if row not in chosen for job in _tries(ours, *row)]
    with Workers(cells.train, bench, len(tries) + len(due), ours.log) as workers:
        total = len(tries) + len(due)
        tried = list(zip(tries, workers.run(tries, training.part(progress, 0, total)), strict=True))
        rates = {row: chosen.get(row) or _best(ours, row, tried) for row in rows}
        finals = [Job(*row, seed, rate, asked=True) for row, seed in due if (rate := rates[row])]
        told = workers.run(finals, training.part(progress, len(tries), total))
    return {((job.method, job.labels), job.seed): (job, one) for job, one in zip(finals, told, strict=True)}


def _row(ours: Plan, decides: Mapping[str, Any]) -> Row:
    """Method, by its place in compare.yaml, and labels of a cell."""
    methods = [one.model_dump(mode="json") for one in ours.matrix.methods]
    return (SCRATCH if decides["method"] is None else methods.index(decides["method"])), decides["labels_per_class"]


def _rates(ours: Plan, source: Domain | None, target: Domain) -> dict[Row, float]:
    """Learning rates that cells of the atlas were trained at: other seeds of a row keep to them."""
    found = {}
    for decides in every(ours, source, target):
        one = atlas.find(ours.workspace, "cell", decides)
        if one and "learning_rate" in one.facts:
            found[_row(ours, decides)] = float(one.facts["learning_rate"])
    return found


def look(ours: Plan, source: Domain, target: Domain, progress: Progress) -> int:
    """Record what the source's features say of the target, with each number of labels; how many were lacking."""
    lacking = _unseen(ours, source, target)
    if not lacking:
        return 0
    view = _view(ours, source, target)
    glances = []
    for one in lacking:
        section = ours.settings.finetune.model_copy(update={"labels_per_class": one["labels_per_class"]})
        seeds = ours.settings.evaluate.model_copy(update={"seeds": (0,)})
        glances.append(cells.Glance(view, ours.settings.model_copy(update={"finetune": section, "evaluate": seeds})))
    with Workers(cells.look, None, len(glances), ours.log) as workers:
        found = workers.run(glances, progress)
    made, learned = atlas.made(ours.workspace), _learned(ours, source, target)
    facts = {
        "source": files.read_json(learned / "facts.json"),
        "classes": {"source": len(source.classes), "target": len(target.classes)},
        "rows": {"source": len(source.split("train")), "target": len(target.split("train"))},
    }
    for one, said in zip(lacking, found, strict=True):
        atlas.keep(ours.workspace, Record("look", one, facts | {"features": said}, made))
    return len(lacking)


def _unseen(ours: Plan, source: Domain, target: Domain) -> list[dict[str, Any]]:
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


def _tries(ours: Plan, method: int | None, labels: int | str) -> list[Job]:
    section = ours.settings.finetune
    numbers: list[int | None] = [*range(section.folds)] or [None]
    if len(section.learning_rates) < 2:
        return []
    return [Job(method, labels, 0, rate, fold) for rate in section.learning_rates for fold in numbers]


def _best(ours: Plan, row: Row, tried: Sequence[tuple[Job, Told]]) -> float | None:
    """The rate that did best; the only one; None if every one diverged."""
    rates = ours.settings.finetune.learning_rates
    if len(rates) < 2:
        return rates[0]
    mine = [(job, told) for job, told in tried if (job.method, job.labels) == row]
    return training.best_rate({rate: [told.history for job, told in mine if job.rate == rate] for rate in rates})


def _facts(job: Job | None, told: Told | None) -> dict[str, Any]:
    """What a cell holds; no sets if the training diverged."""
    if job is None or told is None or not told.history:
        return {"diverged": True, "sets": {}, "seconds": told.seconds if told else 0.0}
    return {
        "learning_rate": job.rate,
        "validation_accuracy": max(row["val_accuracy"] for row in told.history),
        "seconds": round(told.seconds, 2),
        "sets": {name: records.packed(hits) for name, hits in told.hits.items()},
    }


def _learned(ours: Plan, source: Domain, target: Domain) -> Path:
    """Folder of the net that learned the source."""
    settings = ours.settings
    of_target = settings.pretrain.unlabelled == "target"
    said = [
        settings.seed,
        settings.data.modality.model_dump(mode="json"),
        settings.pretrain.model_dump(mode="json"),
        source.hash("train", "validation"),
        target.hash("train") if of_target else "",
    ]
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:24]
    return ours.workspace.compared / "nets" / key


def _view(ours: Plan, source: Domain | None, target: Domain) -> Workspace:
    """A workspace that shows both domains where stages look for them; links, so that nothing is copied.

    The scratch net has no source; the target stands in its place and is not read.
    """
    other = source or target
    said = [other.folder.name, target.folder.name, _learned(ours, other, target).name]
    root = ours.workspace.compared / "pairs" / hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]
    view = Workspace(root)
    if not view.classes.exists():
        for place, real in (
            (view.features / "source", other.folder),
            (view.features / "target", target.folder),
            (view.pretrained, _learned(ours, other, target) / "nets"),
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(os.path.relpath(real, place.parent))  # a workspace may be moved
        files.write_json(view.classes, {"source": list(other.classes), "target": list(target.classes)})
    return view
