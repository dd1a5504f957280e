"""compare: which source helps which target, with which method and how many labels; every cell goes into the atlas."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graft.core import atlas as records
from graft.core import matrix as matrices
from graft.core.atlas import Record
from graft.core.dataset import Progress, draw_per_class
from graft.core.errors import BadInput
from graft.core.matrix import Labels
from graft.core.plugins import resolve
from graft.core.processes import Workers
from graft.core.sections import Settings
from tasks import atlas, cells, domains, planned, training
from tasks.adapters import files
from tasks.cells import Job, Told
from tasks.choices import Choices
from tasks.domains import Domain
from tasks.planned import Plan, Row
from tasks.workspace import Workspace

Domains = Mapping[str, Domain]


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
        folder = planned.learned(ours, source, target)
        if not (folder / "facts.json").exists() and planned.pending(ours, source, target):
            lacking[folder] = cells.Learned(source.name, planned.view(ours, source, target), ours.settings, folder)
    for folder in lacking:
        (folder / "nets").mkdir(parents=True, exist_ok=True)
    if lacking:
        with Workers(cells.learn, None, len(lacking), ours.log) as workers:
            workers.run(list(lacking.values()), progress)


def train(ours: Plan, source: Domain | None, target: Domain, progress: Progress) -> int:
    """Train and record every cell that the atlas lacks of one source (or the scratch net) on one target; how many.

    As `tasks.finetune` does: every learning rate on the first seed, by validation or folds; the best one for all. What
    was trained before a kill is not trained again.
    """
    lacking = planned.missing(ours, source, target)
    if not lacking:
        return 0
    due = {(planned.row(ours, one), int(one["seed"])): one for one in lacking}
    bench = planned.bench(ours, source, target)
    told = _trained(ours, bench, list(due), planned.rates(ours, source, target), progress)
    made = atlas.made(ours.workspace)
    for place, one in due.items():
        atlas.keep(ours.workspace, Record("cell", one, _facts(*told.get(place, (None, None))), made))
    shutil.rmtree(bench.folder, ignore_errors=True)  # not there if every training was done elsewhere and kept
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
    tries = [job for row in rows if row not in chosen for job in planned.tries(ours, *row)]
    total = len(tries) + len(due)
    tried = list(zip(tries, _done(ours, bench, tries, training.part(progress, 0, total)), strict=True))
    rates = {row: chosen.get(row) or planned.best(ours, row, tried) for row in rows}
    finals = [Job(*row, seed, rate, asked=True) for row, seed in due if (rate := rates[row])]
    told = _done(ours, bench, finals, training.part(progress, len(tries), total))
    return {((job.method, job.labels), job.seed): (job, one) for job, one in zip(finals, told, strict=True)}


def _done(ours: Plan, bench: cells.Bench, jobs: Sequence[Job], progress: Progress) -> list[Told]:
    """What came of each job; those that have not ended are done now, side by side."""
    lacking = [job for job in jobs if not bench.recorded(job)]
    if lacking:
        with Workers(cells.train, bench, len(lacking), ours.log) as workers:
            workers.run(lacking, progress)
    return [told for job in jobs if (told := bench.recorded(job))]


def look(ours: Plan, source: Domain, target: Domain, progress: Progress) -> int:
    """Record what the source's features say of the target, with each number of labels; how many were lacking."""
    lacking = planned.unseen(ours, source, target)
    if not lacking:
        return 0
    due = [one for one in lacking if not planned.look(ours, one).exists()]
    if due:
        glances = [planned.glimpse(ours, source, target, one["labels_per_class"]) for one in due]
        with Workers(cells.look, None, len(glances), ours.log) as workers:
            for one, said in zip(due, workers.run(glances, progress), strict=True):
                files.write_json(planned.look(ours, one), said)
    made, learned = atlas.made(ours.workspace), planned.learned(ours, source, target)
    facts = {
        "source": files.read_json(learned / "facts.json"),
        "classes": {"source": len(source.classes), "target": len(target.classes)},
        "rows": {"source": len(source.split("train")), "target": len(target.split("train"))},
    }
    for one in lacking:
        seen = planned.look(ours, one)
        atlas.keep(ours.workspace, Record("look", one, facts | {"features": files.read_json(seen)}, made))
        shutil.rmtree(seen.parent)
    return len(lacking)


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
