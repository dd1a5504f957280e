"""A comparison in jobs that may be done anywhere: which are due now, given what is here already.

Asked again after each job that ended, it says which have become possible: a source is learned, then its cells are
trained at every rate, then the other seeds at the best. What a job made is put where `tasks.compare` looks for it,
which then has nothing left to train, and records the cells.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from graft.core.plugins import resolve
from graft.core.sections import Choice
from tasks import cells, domains, ingest, jobs, planned, works
from tasks.cells import SCRATCH, Bench
from tasks.domains import Domain
from tasks.jobs import Due, Job, Send
from tasks.planned import Plan

Pair = tuple[Domain | None, Domain]


def domains_due(ours: Plan) -> Iterator[Due]:
    """Every domain that is not packed yet and whose pictures are not on this machine alone; looks at each origin."""
    matrix = ours.matrix
    wanted = [("target", name, one.origin) for name, one in matrix.targets.items()]
    wanted += [("source", name, one) for name in matrix.needed(ours.declared) if (one := _origin(ours, name))]
    for role, name, origin in wanted:
        found = resolve("tasks.origins", origin, f"compare.yaml: {role}s.{name}.origin")
        if getattr(found.module, "ON_THIS_MACHINE", False):
            continue
        folder = domains.place_of(ours.workspace, ours.settings, name, origin, role)
        if not (folder / works.DOMAIN).exists():
            said = {"name": name, "role": role, "origin": origin.model_dump(mode="json"), "settings": _settings(ours)}
            seen = said | {"seen": ingest.fingerprint(found)}
            yield Due(Job("prepare", f"prepare {name}", {}, seen, jobs.code()), folder, works.DOMAIN)


def _origin(ours: Plan, source: str) -> Choice | None:
    return ours.declared.sources[source].origin


def due(ours: Plan, pairs: Sequence[tuple[Domain, Domain]], send: Send) -> Iterator[Due]:
    """Every job that can be done now and has not been."""
    targets = {target.folder: target for _, target in pairs}
    for target in targets.values():
        yield from _cells(ours, (SCRATCH, target), send)
    for source, target in pairs:
        if not planned.pending(ours, source, target):
            continue
        if not (planned.learned(ours, source, target) / works.FACTS).exists():
            yield _learn(ours, source, target, send)
            continue
        yield from _looks(ours, source, target, send)
        yield from _cells(ours, (source, target), send)


def _learn(ours: Plan, source: Domain, target: Domain, send: Send) -> Due:
    said = {"name": source.name, "settings": _settings(ours)}
    reads = {"source": send(source.folder), "target": send(target.folder)}
    job = Job("learn", f"learn {source.name}", reads, said, jobs.code())
    return Due(job, planned.learned(ours, source, target), works.FACTS)


def _looks(ours: Plan, source: Domain, target: Domain, send: Send) -> Iterator[Due]:
    for one in planned.unseen(ours, source, target):
        path = planned.look(ours, one)
        if not path.exists():
            glance = planned.glimpse(ours, source, target, one["labels_per_class"])
            said = {"settings": glance.settings.model_dump(mode="json", by_alias=True)}
            label = f"look at {source.name} > {target.name}, {one['labels_per_class']} labels"
            job = Job("look", label, _reads(ours, (source, target), send), said, jobs.code())
            yield Due(job, path.parent, path.name)


def _cells(ours: Plan, pair: Pair, send: Send) -> Iterator[Due]:
    lacking = planned.missing(ours, *pair)
    if not lacking:
        return
    bench, chosen = planned.bench(ours, *pair), planned.rates(ours, *pair)
    rows = {row: [int(one["seed"]) for one in lacking if planned.row(ours, one) == row] for row in _rows(ours, lacking)}
    for row, seeds in rows.items():
        tries = [] if row in chosen else planned.tries(ours, *row)
        untried = [one for one in tries if not bench.recorded(one)]
        for one in untried:
            yield _cell(ours, pair, bench, one._replace(asked=one.fold is None), True, send)
        if untried:
            continue
        tried = [(one, told) for one in tries if (told := bench.recorded(one))]
        rate = chosen.get(row) or planned.best(ours, row, tried)
        wanted = [cells.Job(*row, seed, rate, asked=True) for seed in seeds] if rate else []
        for one in wanted:
            if not bench.recorded(one):
                yield _cell(ours, pair, bench, one, False, send)


def _rows(ours: Plan, lacking: Sequence[dict[str, Any]]) -> list[planned.Row]:
    return list(dict.fromkeys(planned.row(ours, one) for one in lacking))


def _cell(ours: Plan, pair: Pair, bench: Bench, one: cells.Job, chooses: bool, send: Send) -> Due:
    source, target = pair
    methods = [method.model_dump(mode="json") for method in ours.matrix.methods]
    said = {"settings": _settings(ours), "methods": methods, "job": list(one), "chooses": chooses}
    method = "" if one.method is SCRATCH else f", {ours.matrix.methods[one.method].name}"
    fold = "" if one.fold is None else f", fold {one.fold}"
    label = f"{source.name if source else 'nothing'} > {target.name}{method}, {one.labels} labels, seed {one.seed}"
    job = Job("cell", f"{label}, rate {one.rate}{fold}", _reads(ours, pair, send), said, jobs.code())
    last = bench.record(one._replace(asked=not chooses))
    return Due(job, last.parent, last.name)


def _reads(ours: Plan, pair: Pair, send: Send) -> dict[str, str]:
    source, target = pair
    reads = {"target": send(target.folder)}
    if source:
        net = planned.learned(ours, source, target)
        reads |= {"source": send(source.folder), "net": send(net)}
    return reads


def _settings(ours: Plan) -> dict[str, Any]:
    return ours.settings.model_dump(mode="json", by_alias=True)
