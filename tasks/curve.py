"""curve: accuracy over labels per class, each arm; what reuse is worth in labels, and how many more would do.

Off unless params.yaml asks for it: it trains every arm anew for each budget. Nothing is chosen by it, and nothing stops
because of it: where it cannot be measured the report says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import fit, learning_curve
from graft.core.errors import BadInput, GateRefused
from graft.core.evaluation import Resampling
from graft.core.processes import Tell, Workers
from graft.core.sections import Settings
from tasks import stage, training
from tasks.adapters import arrays, console, files, models
from tasks.choices import Choices
from tasks.finetune import Bench, Training, train_one
from tasks.training import Kept
from tasks.workspace import ARMS, ROLES, Workspace

SETS = {"seen": "test", "unseen": "unseen"}
WANTED = (0.8, 0.9, 0.95)
TIMES = 500


class Point(NamedTuple):
    """One training: of which arm, with how many labels per class, from which seed."""

    arm: str
    labels: int
    seed: int


Hits = dict[str, list[int]]
"""By set, a 0 or 1 for each test row."""


def curve(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train every arm with every number of labels; write reports/curve.json and the plot's data.

    Each arm keeps the learning rate that finetune chose for it. Budgets for which a class has too few training
    pictures are left out. After a kill, the trainings go on where they were.
    """
    rows: list[dict[str, Any]] = []
    told: dict[str, Any] = {"labels": []}
    if settings.curve.enabled:
        try:
            told, rows = _measured(workspace, settings)
        except (BadInput, GateRefused) as reason:
            told |= {"not_measured": str(reason)}
    files.write_csv(workspace.curve("curve"), rows)
    files.write_json(workspace.curve_report, told)


def _measured(workspace: Workspace, settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report, and the plot's rows.

    Raises:
        BadInput: fewer than 3 budgets are left.
        GateRefused: a training diverged.
    """
    seeds, labels = _seeds(settings), _budgets(workspace, settings)
    every = points(workspace, settings)
    with (
        training.kept(workspace, "curve", *_decides(workspace, settings)) as kept,
        console.progress("curve") as progress,
        Workers(_answer, _Bench(workspace, settings, kept), len(every)) as workers,
    ):
        said = dict(zip(every, workers.run(every, progress), strict=True))
    found = {
        name: {arm: [_stack(said, arm, n, seeds, name) for n in labels] for arm in ARMS}
        for name in SETS
        if said[every[0]].get(name)
    }
    report = {name: _read(arms, labels, settings) for name, arms in found.items()}
    told = {"labels": labels, "seeds": list(seeds), "labels_per_class": settings.finetune.labels_per_class}
    return told | {"sets": report}, _rows(report, labels)


def points(workspace: Workspace, settings: Settings) -> list[Point]:
    """Every training of the curve.

    Raises:
        BadInput: fewer than 3 budgets are left.
    """
    seeds = _seeds(settings)
    return [Point(arm, n, seed) for n in _budgets(workspace, settings) for arm in ARMS for seed in seeds]


def kept_of(workspace: Workspace, settings: Settings) -> Kept:
    """Where the stage looks for its trainings. All packed rows are read through for its name: ask once."""
    return Kept(training.kept_in(workspace, "curve", *_decides(workspace, settings)))


def kept_with(kept: Kept, labels: int) -> Kept:
    """Of `kept`, where the trainings with so many labels per class lie."""
    return Kept(kept.folder / str(labels))


def with_labels(settings: Settings, labels: int) -> Settings:
    """The settings of trainings with so many labels per class."""
    section = settings.finetune.model_copy(update={"labels_per_class": labels})
    return settings.model_copy(update={"finetune": section})


def answered(kept: Kept, one: Training) -> Path:
    """The file with what a training's net said of the test rows; its presence says that all is done."""
    return kept.folder / f"{one.name}.hits.json"


def _seeds(settings: Settings) -> tuple[int, ...]:
    return settings.evaluate.seeds[: settings.curve.seeds]


def _budgets(workspace: Workspace, settings: Settings) -> list[int]:
    """Those asked for, and the one of the comparison, as far as every class has so many training pictures."""
    counts = np.bincount(arrays.read(workspace.packed("target", "train")).labels)
    own = settings.finetune.per_class
    wanted = sorted({*settings.curve.labels, *([own] if own else [])})
    found = [n for n in wanted if n <= counts.min()]
    if len(found) < learning_curve.FEWEST:
        raise BadInput(
            f"curve.labels is {list(settings.curve.labels)} and the smallest class has {counts.min()} training "
            f"pictures; budgets left: {len(found)}, and {learning_curve.FEWEST} or more would do"
        )
    return found


def _decides(workspace: Workspace, settings: Settings) -> tuple[Any, list[Any]]:
    data, seeds = settings.data.modality.model_dump(), list(settings.evaluate.seeds)
    said = [data, settings.pretrain.backbone.model_dump(), settings.finetune.model_dump(exclude={"smaller"}), seeds]
    packed = [workspace.packed(role, split) for role in ROLES for split in ("train", "validation")]
    held_out = [path for split in SETS.values() if (path := workspace.held_out("target", split)).exists()]
    return said, [workspace.classes, workspace.pretrained, workspace.finetune_report, *packed, *held_out]


@dataclass(frozen=True)
class _Bench:
    """What the trainings share; each worker process opens it once."""

    workspace: Workspace
    settings: Settings
    kept: Kept

    @cached_property
    def rates(self) -> Mapping[str, Any]:
        return dict(files.read_json(self.workspace.finetune_report))

    @cached_property
    def of_budget(self) -> dict[int, Bench]:
        return {}

    def bench(self, labels: int) -> Bench:
        """That of finetune, with so many labels per class; all share their networks."""
        if labels not in self.of_budget:
            kept = kept_with(self.kept, labels)
            kept.folder.mkdir(exist_ok=True)
            made = Bench(self.workspace, with_labels(self.settings, labels), kept)
            made.__dict__["nets"] = next(iter(self.of_budget.values())).nets if self.of_budget else {}
            self.of_budget[labels] = made
        return self.of_budget[labels]


def _answer(bench: _Bench, point: Point, tell: Tell) -> Hits:
    """Train, unless that was done before the run was killed, and answer the test rows."""
    ours, one = bench.bench(point.labels), Training(point.arm, point.seed, bench.rates[point.arm]["learning_rate"])
    done = answered(ours.kept, one)
    if done.exists():
        return dict(files.read_json(done))
    if not train_one(ours, one, tell):
        raise GateRefused(
            f"arm {point.arm}, seed {point.seed}, {point.labels} labels per class diverged at the learning rate that "
            "finetune chose"
        )
    model, hits = models.load(ours.kept.model(one.name)), Hits()
    for name, split in SETS.items():
        if (place := bench.workspace.held_out("target", split)).exists():
            rows = arrays.read(place)
            hits[name] = (fit.predict(model, rows.images).argmax(axis=1) == rows.labels).astype(int).tolist()
    files.write_json(done, hits)
    ours.kept.model(one.name).unlink()
    return hits


def _stack(said: Mapping[Point, Hits], arm: str, labels: int, seeds: tuple[int, ...], name: str) -> NDArray[np.float64]:
    return np.array([said[Point(arm, labels, seed)][name] for seed in seeds], dtype=np.float64)


def _read(arms: Mapping[str, list[NDArray[np.float64]]], labels: list[int], settings: Settings) -> dict[str, Any]:
    """What one test set says: each arm's accuracies, its law and what it foretells, and what reuse is worth."""
    how, budgets = Resampling(settings.evaluate.bootstrap, settings.seed), np.array(labels, dtype=np.float64)
    drawn = {arm: learning_curve.draws(hits, TIMES, settings.seed) for arm, hits in arms.items()}
    laws = {arm: learning_curve.fit(budgets, one) for arm, one in drawn.items()}
    own = settings.finetune.per_class if settings.finetune.per_class in labels else labels[-1]
    report: dict[str, Any] = {}
    for arm, hits in arms.items():
        estimates = [how.one(one) for one in hits]
        law, now = laws[arm], estimates[labels.index(own)].mean
        report[arm] = {
            "accuracy": [{"mean": one.mean, "ci95": one.ci95} for one in estimates],
            "law": {"ceiling": float(law.ceiling[0]), "gap": float(law.gap[0]), "rate": float(law.rate[0])},
            "to_reach": [learning_curve.to_reach(one, law, labels[-1]) for one in WANTED if one > now],
            "check": learning_curve.check(budgets, drawn[arm]),
        }
    if own < labels[-1]:
        report["worth"] = learning_curve.worth(own, laws["transfer"], laws["scratch"], float(labels[-1] - own))
    return report


def _rows(report: Mapping[str, Any], labels: list[int]) -> list[dict[str, Any]]:
    """For DVC's plots."""
    return [
        {"set": name, "arm": arm, "labels": n, "accuracy": round(one["mean"], 4)}
        for name, told in report.items()
        for arm in ARMS
        for n, one in zip(labels, told[arm]["accuracy"], strict=True)
    ]


if __name__ == "__main__":
    stage.main("curve", curve)
