"""finetune: every arm of the comparison learns the target from the same labels, with the same budget."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import compact, cost, fit, nets, views
from graft.core.budget import Budget
from graft.core.dataset import Split, draw_per_class, draw_validation
from graft.core.errors import BadInput, GateRefused
from graft.core.fit import TrainData
from graft.core.folds import folds
from graft.core.loop import History
from graft.core.plugins import Plugin
from graft.core.processes import Tell, Workers
from graft.core.sections import Settings
from tasks import stage, training
from tasks.adapters import arrays, board, console, files, models
from tasks.choices import Choices
from tasks.pretrain import ARTICLE, backbones
from tasks.training import Kept
from tasks.workspace import ARMS, ROLES, Workspace


class Training(NamedTuple):
    """One training: which arm, from which seed, at which learning rate; in which fold, if it only helps to choose; of
    which variant, if it is none of the arm itself."""

    arm: str
    seed: int
    rate: float
    fold: int | None = None
    variant: str = ""

    @property
    def name(self) -> str:
        fold = "" if self.fold is None else f"-fold{self.fold}"
        return f"{self.arm}-{self.seed}-{self.rate}{fold}{self.variant and f'-{self.variant}'}"


Outcome = tuple[Training, History]


def finetune(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train transfer, scratch and article for every seed, then the variants of the one that ships; write their
    classifiers, the curves, what was chosen and what it cost.

    An arm tries every learning rate on its first seed and keeps the best for all: by validation accuracy, or by
    cross-validation on the training rows. A variant has the labels, seed and rate of the net that ships; one that
    diverges is left out. After a kill, the trainings go on where they were.

    Raises:
        BadInput: a class has fewer training pictures than `finetune.labels_per_class` or than there are folds.
        GateRefused: a training diverged at every learning rate.
    """
    tries, seeds = tries_of(settings), settings.evaluate.seeds
    most = max(len(tries), len(ARMS) * len(seeds), len(choices.variants))
    with (
        training.kept(workspace, "finetune", *decides(workspace, settings)) as kept,
        files.folder_aside(workspace.finetuned) as folder,
        console.progress("finetune") as progress,
        Workers(_train_and_log, Bench(workspace, settings, kept), most) as workers,
    ):
        total = len(tries) + len(ARMS) * len(seeds) + len(choices.variants)
        tried = list(zip(tries, workers.run(tries, training.part(progress, 0, total)), strict=True))
        chosen = {arm: best([one for one in tried if one[0].arm == arm]) for arm in ARMS}
        wanted = [Training(arm, seed, chosen[arm]) for arm in ARMS for seed in seeds]
        final = list(zip(wanted, workers.run(wanted, training.part(progress, len(tries), total)), strict=True))
        for one, history in final:
            if not history:
                raise GateRefused(f"{_shown(one)} diverged; lower finetune.learning_rates would do")
            shutil.copyfile(kept.model(one.name), folder / workspace.classifier(one.arm, one.seed).name)
        also = variants_of(final, choices)
        smaller = list(zip(also, workers.run(also, training.part(progress, total - len(also), total)), strict=True))
        for one, history in smaller:
            if history:
                shutil.copyfile(kept.model(one.name), folder / workspace.variant(one.variant).name)
        spent = {arm: cost.total([kept.cost(name) for name in _names(tries + wanted, arm)]) for arm in ARMS}
        spent |= {f"transfer, {one.variant}": kept.cost(one.name) for one in also}
    others = [one for one in tried if one[0].fold is None and one[0] not in wanted]
    _write_reports(workspace, settings, others + final, final, smaller)
    files.write_json(workspace.cost("finetune"), {arm: cost.as_json(one) for arm, one in spent.items()})


def variants_of(final: Sequence[Outcome], choices: Choices) -> list[Training]:
    """The trainings of what the net that ships is made smaller by.

    Args:
        final: the arms' trainings that are kept, none of which diverged.
    """
    seed = training.shipped_seed(_accuracies(final, "transfer"))
    rate = next(one.rate for one, _ in final if one.arm == "transfer")
    return [Training("transfer", seed, rate, variant=name) for name in choices.variants]


def _names(trainings: Sequence[Training], arm: str) -> list[str]:
    """Of the arm's trainings, each once: the one that was tried first may be one of those kept."""
    return list(dict.fromkeys(one.name for one in trainings if one.arm == arm))


def tries_of(settings: Settings) -> list[Training]:
    """The trainings that choose each arm's learning rate."""
    section, first = settings.finetune, settings.evaluate.seeds[0]
    numbers: list[int | None] = [*range(section.folds)] or [None]
    return [Training(arm, first, rate, fold) for arm in ARMS for rate in section.learning_rates for fold in numbers]


def decides(workspace: Workspace, settings: Settings) -> tuple[Any, list[Path]]:
    """All that decides the stage's trainings: settings, and files and folders that they read."""
    data, seeds = settings.data.modality.model_dump(), list(settings.evaluate.seeds)
    said = [data, settings.pretrain.backbone.model_dump(), settings.finetune.model_dump(), seeds]
    return said, [workspace.classes, *inputs(workspace)]


def inputs(workspace: Workspace) -> dict[Path, str]:
    """Folders that the stage's trainings read, and a name for each."""
    packed = {workspace.packed(role, split): f"{role}_{split}" for role in ROLES for split in ("train", "validation")}
    return {workspace.pretrained: "pretrained"} | packed


@dataclass(frozen=True)
class Bench:
    """What all trainings share; each worker process opens it once and keeps its networks for the next training."""

    workspace: Workspace
    settings: Settings
    kept: Kept

    @cached_property
    def choices(self) -> Choices:
        return Choices.of(self.settings)

    @cached_property
    def train(self) -> Split:
        return arrays.read(self.workspace.packed("target", "train"))

    @cached_property
    def validation(self) -> Split:
        return arrays.read(self.workspace.packed("target", "validation"))

    @cached_property
    def source(self) -> Split:
        return arrays.read(self.workspace.packed("source", "train"))

    @cached_property
    def n_classes(self) -> int:
        return len(files.read_json(self.workspace.classes)["target"])

    @cached_property
    def nets(self) -> dict[str, Any]:
        return {}

    def fresh(self, name: str, seed: int) -> Any:
        """A new network of backbone `name` with random weights."""
        spec = self.choices.modality.module.spec(self.choices.modality.options)
        return nets.from_nothing(backbones(self.choices)[name], spec, seed)

    def net(self, arm: str, seed: int) -> Any:
        """The arm's network at its starting weights; always the same object, so that it is traced once."""
        name = ARTICLE if arm == "article" else self.choices.backbone.name
        if name not in self.nets:
            self.nets[name] = self.fresh(name, 0)
        if arm == "scratch":
            start = self.fresh(name, 1000 + seed)
        else:
            start = models.load(self.workspace.pretrained / f"{name}.keras").get_layer("backbone")
        self.nets[name].set_weights(start.get_weights())
        return self.nets[name]

    def data(self, one: Training, tell: Tell) -> TrainData:
        """The labels this training may see: `labels_per_class` to learn from and as many, at most, to choose by."""
        section, varied = self.settings.finetune, self.choices.modality.module.AUGMENTS
        per_class, seed = section.per_class, one.seed
        try:
            drawn = draw_per_class(self.train.labels, per_class, seed)
        except ValueError:
            raise BadInput(
                f"finetune.labels_per_class is {per_class}; a class has fewer training pictures: lower it, or say all"
            ) from None
        train = self.train.take(drawn)
        validation = self.validation.take(draw_validation(self.validation.labels, self.n_classes, per_class, seed))
        if one.fold is not None:
            mine, held_out = folds(train.labels, train.units, section.folds, seed)[one.fold]
            train, validation = train.take(mine), train.take(held_out)
        return TrainData(
            train,
            validation,
            self.n_classes,
            varied[section.training.augment],
            lambda done, total: tell(done / total),
            strong=varied["strong"],
            unlabelled=self._unlabelled(drawn, seed) if self._uses_unlabelled(one) else None,
            source=self.source,
            checkpoint=self.kept.checkpoint(one.name),
        )

    def method(self, one: Training) -> Plugin:
        """What trains it, of an arm that is pretrained."""
        return self.choices.variants[one.variant] if one.variant else self.choices.method

    def _uses_unlabelled(self, one: Training) -> bool:
        return one.arm != "scratch" and getattr(self.method(one).module, "USES_UNLABELLED", False)

    def _unlabelled(self, drawn: NDArray[np.int64], seed: int) -> NDArray[np.uint8] | None:
        """Training pictures whose labels this seed does not see."""
        section = self.settings.finetune
        rest = np.setdiff1d(np.arange(len(self.train)), drawn)
        if section.unlabelled == "none" or not len(rest):
            return None
        picked = np.random.default_rng(seed).permutation(rest)[: section.max_unlabelled]
        return np.asarray(self.train.images[np.sort(picked)])


def _train_and_log(bench: Bench, one: Training, tell: Tell) -> History:
    with bench.kept.metered(one.name):
        history = train_one(bench, one, tell)
    board.write(bench.workspace.board("finetune", one.name), history)
    return history


def train_one(bench: Bench, one: Training, tell: Tell) -> History:
    """The history of one training, its classifier kept; an empty history if it diverged."""
    done: History | None = bench.kept.finished(one.name)
    if done:
        return done
    section = bench.settings.finetune
    budget = Budget(section.steps, section.batch_size, one.rate, section.evaluations, one.seed, section.training)
    net, data = bench.net(one.arm, one.seed), bench.data(one, tell)
    try:
        if one.arm == "scratch":
            model = fit.classifier(net, bench.n_classes, one.seed)
            history = fit.train(model, data, budget)
        else:
            method = bench.method(one)
            model, history = method.module.adapt(method.options, net, data, budget)
    except GateRefused:
        return []
    bench.kept.finish(one.name, _finished(bench, model), history)
    return history


def _finished(bench: Bench, model: Any) -> Any:
    """What ships: without channels that the group lasso silenced, and asked about several views if it is to be."""
    section = bench.settings.finetune
    if section.training.group_lasso:
        model = compact.compacted(model)
    return views.averaged(model, bench.choices.modality.module.VIEWS[: section.views])


def best(tried: Sequence[Outcome]) -> float:
    """The learning rate with the best validation accuracy, over the folds on average, of those that did not diverge.

    Raises:
        GateRefused: all of them diverged.
    """
    rates = {one.rate: [history for other, history in tried if other.rate == one.rate] for one, _ in tried}
    best = training.best_rate(rates)
    if best is None:
        raise GateRefused(f"{_shown(tried[0][0])} diverged, and so did every other rate; lower finetune.learning_rates")
    return best


def _shown(one: Training) -> str:
    return f"arm {one.arm}, seed {one.seed}, learning rate {one.rate}"


def _accuracies(kept: Sequence[Outcome], arm: str) -> dict[str, float]:
    """By seed, the best validation accuracy of the arm's training."""
    return {str(one.seed): _accuracy(history) for one, history in kept if one.arm == arm}


def _accuracy(history: History) -> float:
    return max(row["val_accuracy"] for row in history)


def _write_reports(
    workspace: Workspace, settings: Settings, outcomes: list[Outcome], kept: list[Outcome], smaller: list[Outcome]
) -> None:
    curve = [
        {"arm": one.arm, "seed": one.seed, "learning_rate": one.rate, **row}
        for one, history in outcomes
        for row in history
    ]
    files.write_csv(workspace.curve("finetune"), curve)
    report: dict[str, dict[str, Any]] = {}
    for arm in ARMS:
        mine = [one for one in kept if one[0].arm == arm]
        report[arm] = {
            "learning_rates_tried": list(settings.finetune.learning_rates),
            "learning_rate": mine[0][0].rate,
            "steps": settings.finetune.steps,
            "validation_accuracy": _accuracies(mine, arm),
        }
    if smaller:
        told = {one.variant: _accuracy(history) if history else None for one, history in smaller}
        report["transfer"]["variants"] = told
    files.write_json(workspace.finetune_report, report)


if __name__ == "__main__":
    stage.main("finetune", finetune)
