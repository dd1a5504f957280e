"""pretrain: the chosen backbone, and the article's, each learn the source."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from graft.core import cost, parallel, strategy, team
from graft.core.budget import Budget
from graft.core.dataset import Progress, Split
from graft.core.errors import GateRefused
from graft.core.fit import TrainData
from graft.core.folds import folds
from graft.core.loop import History
from graft.core.parallel import Way
from graft.core.plugins import Plugin, resolve
from graft.core.processes import Tell, Workers
from graft.core.sections import Choice, Pretrain, Settings
from graft.core.team import Team
from tasks import stage, streams, training
from tasks.adapters import arrays, board, console, files
from tasks.choices import Choices
from tasks.training import Kept
from tasks.workspace import Workspace

ARTICLE = "article"


class Training(NamedTuple):
    """One training: which backbone, at which learning rate; in which fold, if it only helps to choose."""

    backbone: str
    rate: float | None
    fold: int | None = None

    @property
    def name(self) -> str:
        rate = "" if self.rate is None else f"-{self.rate}"
        return f"{self.backbone}{rate}" + ("" if self.fold is None else f"-fold{self.fold}")


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Attributes:
        history: empty if it diverged; then `refused` says how.
    """

    parameters: int
    history: History
    refused: str = ""


@dataclass(frozen=True)
class Bench:
    """What the worker processes need to know.

    Attributes:
        together: whether they train each net together.
        streams: whether rows come from the store.
    """

    workspace: Workspace
    settings: Settings
    kept: Kept
    together: bool = False
    streams: bool = False

    @cached_property
    def way(self) -> Way:
        """How trainings go in this process."""
        section, by_rows = self.settings.pretrain, Choices.of(self.settings).learns_by_rows
        return strategy.way_of(self.settings.train, by_rows, section.batch_size, self.together)


Crew = Workers[Bench, Training, Outcome] | Team[Bench, Training, Outcome]


def pretrain(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train each backbone on the source; write models/pretrained/<backbone>.keras, the curves and what it cost.

    Of several learning rates each backbone keeps its best: by validation accuracy, or by cross-validation on the
    source's training rows. The source's test rows are not touched: evaluate reads them. After a kill, the trainings go
    on where they were. A process that TF_CONFIG makes a helper trains along and writes nothing.

    Raises:
        BadInput: a class has fewer training pictures than there are folds.
        GateRefused: a training diverged, at every learning rate if there are several.
    """
    names, section, from_store = list(backbones(choices)), settings.pretrain, settings.train.data == "store"
    decides = [settings.seed, settings.data.modality.model_dump(), section.model_dump(), settings.train.model_dump()]
    decides += [streams.features_of(workspace)] if from_store else []
    inputs = [] if from_store else _inputs(workspace, section)
    together, seat = team.wanted(settings.train, choices.learns_by_rows, os.environ), strategy.seat_of(os.environ)
    if together and seat and not seat.chief:
        nowhere = Kept(workspace.trainings / "helper")
        with console.progress("pretrain") as progress:
            _trained(Bench(workspace, settings, nowhere, together, from_store), names, progress)
        return
    with (
        training.kept(workspace, "pretrain", decides, inputs) as kept,
        files.folder_aside(workspace.pretrained) as folder,
        console.progress("pretrain") as progress,
    ):
        bench = Bench(workspace, settings, kept, together, from_store)
        tried, wanted, results = _trained(bench, names, progress)
        for one, outcome in zip(wanted, results, strict=True):
            if outcome.refused:
                raise GateRefused(f"backbone {one.backbone}: {outcome.refused}")
            shutil.copyfile(kept.model(one.name), folder / f"{one.backbone}.keras")
        spent = {name: cost.total([kept.cost(file) for file in _files(tried + wanted, name)]) for name in names}
    _write_reports(workspace, settings, wanted, results)
    files.write_json(workspace.cost("pretrain"), {name: cost.as_json(one) for name, one in spent.items()})


def _inputs(workspace: Workspace, section: Pretrain) -> list[Path]:
    inputs = [workspace.classes, *(workspace.packed("source", split) for split in ("train", "validation"))]
    return inputs + ([workspace.packed("target", "train")] if section.unlabelled == "target" else [])


def _trained(
    bench: Bench, names: Sequence[str], progress: Progress
) -> tuple[list[Training], list[Training], list[Outcome]]:
    """The trainings that chose learning rates, those that are kept, and what came of the latter."""
    tries = tries_of(bench.settings, names)
    total = len(tries) + len(names)
    with _crew(bench, max(len(names), len(tries))) as crew:
        tried = list(zip(tries, crew.run(tries, training.part(progress, 0, total)), strict=True))
        wanted = [Training(name, chosen(bench.settings, tried, name)) for name in names]
        results = crew.run(wanted, training.part(progress, len(tries), total))
    return tries, wanted, results


def _crew(bench: Bench, most_jobs: int) -> Crew:
    """Who trains: each training in one process, several side by side; or all processes one training together."""
    if bench.together:
        return Team(_pretrain_one, bench, bench.settings.train.workers, lambda text: console.tell("pretrain", text))
    return Workers(_pretrain_one, bench, most_jobs)


def _files(trainings: Sequence[Training], backbone: str) -> list[str]:
    """Of the backbone's trainings, each once."""
    return list(dict.fromkeys(one.name for one in trainings if one.backbone == backbone))


def backbones(choices: Choices) -> dict[str, Plugin]:
    """By name: the chosen backbone and the article's (one entry if they are the same)."""
    article = resolve("graft.backbones", Choice(name=ARTICLE), "the article's backbone")
    return {ARTICLE: article} | {choices.backbone.name: choices.backbone}


def tries_of(settings: Settings, names: Sequence[str]) -> list[Training]:
    """The trainings that choose the learning rate of each backbone; none where there is nothing to choose."""
    section = settings.pretrain
    if len(section.learning_rates) < 2:
        return []
    numbers: list[int | None] = [*range(section.folds)] or [None]
    return [Training(name, rate, fold) for name in names for rate in section.learning_rates for fold in numbers]


def chosen(settings: Settings, tried: Sequence[tuple[Training, Outcome]], name: str) -> float | None:
    """The best learning rate of the backbone; the only one, or None for the objective's own, where nothing was tried.

    Raises:
        GateRefused: all of them diverged.
    """
    mine = [(one, outcome) for one, outcome in tried if one.backbone == name]
    if not mine:
        return next(iter(settings.pretrain.learning_rates), None)
    rates = {
        rate: [outcome.history for one, outcome in mine if one.rate == rate] for rate in {one.rate for one, _ in mine}
    }
    best = training.best_rate({rate: rates[rate] for rate in settings.pretrain.learning_rates})
    if best is None:
        raise GateRefused(f"backbone {name} diverged at every rate; lower pretrain.learning_rates would do")
    return best


def _pretrain_one(bench: Bench, one: Training, tell: Tell) -> Outcome:
    if not bench.way.chief:
        return train_one(bench, one, tell)
    with bench.kept.metered(one.name):
        outcome = train_one(bench, one, tell)
    board.write(bench.workspace.board("pretrain", one.name), outcome.history)
    return outcome


def train_one(bench: Bench, one: Training, tell: Tell) -> Outcome:
    """What came of one training; the model is kept, by the chief where several processes train it together."""
    way = bench.way
    if done := way.agreed_on(bench.kept.finished(one.name) if way.chief else None):
        return Outcome(**done)
    try:
        with parallel.use(way):
            model, history = _learned(bench, one, tell)
    except GateRefused as error:
        return Outcome(0, [], str(error))
    outcome = Outcome(int(model.count_params()), history)
    if way.chief:
        bench.kept.finish(one.name, parallel.plain(model, way), asdict(outcome))
    return outcome


def _learned(bench: Bench, one: Training, tell: Tell) -> tuple[Any, History]:
    section, choices = bench.settings.pretrain, Choices.of(bench.settings)
    data = _data(bench, choices, one, tell)
    steps = max(1, len(data.train) * section.epochs // section.batch_size)
    budget = Budget(steps, section.batch_size, 1e-3, section.epochs, bench.settings.seed, section.training)
    backbone, options = backbones(choices)[one.backbone], choices.objective.options
    if one.rate is not None:
        options = options.model_copy(update={"learning_rate": one.rate})
    spec = choices.modality.module.spec(choices.modality.options)
    net = backbone.module.build(backbone.options, spec, bench.settings.seed)
    learned: tuple[Any, History] = choices.objective.module.pretrain(options, net, data, budget)
    return learned


def _data(bench: Bench, choices: Choices, one: Training, tell: Tell) -> TrainData:
    """The source's training and validation rows, or a fold of the former."""
    workspace, section = bench.workspace, bench.settings.pretrain
    varied = choices.modality.module.AUGMENTS
    rows = streams.opened if bench.streams else _packed
    train, classes = rows(workspace, "source", "train")
    validation, _ = rows(workspace, "source", "validation")
    if one.fold is not None:
        mine, held_out = folds(train.labels, train.units, section.folds, bench.settings.seed)[one.fold]
        train, validation = train.take(mine), train.take(held_out)
    of_target = section.unlabelled == "target"
    return TrainData(
        train=train,
        validation=validation,
        n_classes=len(classes),
        augment=varied[section.training.augment],
        strong=varied["strong"],
        unlabelled=rows(workspace, "target", "train")[0].images if of_target else None,
        progress=lambda done, total: tell(done / total),
        checkpoint=bench.kept.checkpoint(one.name),
    )


def _packed(workspace: Workspace, role: str, split: str) -> tuple[Split, list[str]]:
    return arrays.read(workspace.packed(role, split)), files.read_json(workspace.classes)[role]


def _write_reports(
    workspace: Workspace, settings: Settings, trained: Sequence[Training], outcomes: Sequence[Outcome]
) -> None:
    report: dict[str, Any] = {}
    curve: list[dict[str, Any]] = []
    for one, outcome in zip(trained, outcomes, strict=True):
        curve += [{"backbone": one.backbone, **row} for row in outcome.history]
        report[one.backbone] = {
            "parameters": outcome.parameters,
            "steps": int(outcome.history[-1]["step"]),
            "validation_accuracy": max(row["val_accuracy"] for row in outcome.history),
        }
        if settings.pretrain.learning_rates:
            tried = {"learning_rate": one.rate, "learning_rates_tried": list(settings.pretrain.learning_rates)}
            report[one.backbone] |= tried
    files.write_csv(workspace.curve("pretrain"), curve)
    files.write_json(workspace.pretrain_report, report)


if __name__ == "__main__":
    stage.main("pretrain", pretrain)
