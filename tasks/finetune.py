"""finetune: every arm of the comparison learns the target from the same labels, with the same budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from graft.core import fit
from graft.core.budget import Budget
from graft.core.dataset import Split, draw_per_class, draw_validation
from graft.core.errors import BadInput, GateRefused
from graft.core.fit import TrainData
from graft.core.processes import Tell, Workers
from graft.core.sections import Settings
from tasks import stage
from tasks.adapters import arrays, console, files, models
from tasks.choices import Choices
from tasks.pretrain import ARTICLE, backbones
from tasks.workspace import ARMS, Workspace

History = list[dict[str, float]]


class Training(NamedTuple):
    """One training: which arm, from which seed, at which learning rate."""

    arm: str
    seed: int
    rate: float

    @property
    def file(self) -> str:
        return f"{self.arm}-{self.seed}-{self.rate}.keras"


Outcome = tuple[Training, History]


def finetune(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train transfer, scratch and article for every seed; write their classifiers, the curves and what was chosen.

    An arm tries every learning rate on its first seed and keeps the one with the best validation accuracy for all.

    Raises:
        BadInput: a class has fewer training pictures than `finetune.labels_per_class`.
        GateRefused: a training diverged at every learning rate.
    """
    rates, (first, *others) = settings.finetune.learning_rates, settings.evaluate.seeds
    tries = [Training(arm, first, rate) for arm in ARMS for rate in rates]
    n_rest = len(ARMS) * len(others)
    total = 100 * (len(tries) + n_rest)
    with files.folder_aside(workspace.finetuned) as folder, console.progress("finetune") as progress:
        bench = Bench(workspace, settings, folder)
        with Workers(_train_one, bench, max(len(tries), n_rest)) as workers:
            histories = workers.run(tries, lambda done, _: progress(done, total))
            tried = list(zip(tries, histories, strict=True))
            chosen = {arm: _best([one for one in tried if one[0].arm == arm]) for arm in ARMS}
            rest = [Training(arm, seed, chosen[arm].rate) for arm in ARMS for seed in others]
            histories = workers.run(rest, lambda done, _: progress(100 * len(tries) + done, total))
            outcomes = tried + list(zip(rest, histories, strict=True))
        kept = [one for one in outcomes if one[0].rate == chosen[one[0].arm].rate]
        for training, history in kept:
            if not history:
                raise GateRefused(f"{_shown(training)} diverged; lower finetune.learning_rates would do")
            (folder / training.file).rename(folder / workspace.classifier(training.arm, training.seed).name)
        for left in [one for one in outcomes if one not in kept]:
            (folder / left[0].file).unlink(missing_ok=True)
    _write_reports(workspace, settings, outcomes, kept)


@dataclass(frozen=True)
class Bench:
    """What all trainings share; each worker process opens it once and keeps its networks for the next training."""

    workspace: Workspace
    settings: Settings
    folder: Path

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
    def n_classes(self) -> int:
        return len(files.read_json(self.workspace.classes)["target"])

    @cached_property
    def nets(self) -> dict[str, Any]:
        return {}

    def fresh(self, name: str, seed: int) -> Any:
        """A new network of backbone `name` with random weights."""
        backbone = backbones(self.choices)[name]
        spec = self.choices.modality.module.spec(self.choices.modality.options)
        return backbone.module.build(backbone.options, spec, seed)

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

    def data(self, seed: int, tell: Tell) -> TrainData:
        """The labels this seed may see: `labels_per_class` to learn from and as many, at most, to choose by."""
        per_class = self.settings.finetune.per_class
        try:
            train = self.train.take(draw_per_class(self.train.labels, per_class, seed))
        except ValueError:
            raise BadInput(
                f"finetune.labels_per_class is {per_class}; a class has fewer training pictures: lower it, or say all"
            ) from None
        rows = draw_validation(self.validation.labels, self.n_classes, per_class, seed)
        validation = self.validation.take(rows)
        augment = self.choices.modality.module.AUGMENTS["standard"]
        return TrainData(train, validation, self.n_classes, augment, lambda done, total: tell(done / total))


def _train_one(bench: Bench, training: Training, tell: Tell) -> History:
    """The history of one training, its classifier in the folder; an empty history if it diverged."""
    section = bench.settings.finetune
    budget = Budget(section.steps, section.batch_size, training.rate, section.evaluations, training.seed)
    net, data = bench.net(training.arm, training.seed), bench.data(training.seed, tell)
    try:
        if training.arm == "scratch":
            model = fit.classifier(net, bench.n_classes, training.seed)
            history = fit.train(model, data, budget)
        else:
            method = bench.choices.method
            model, history = method.module.adapt(method.options, net, data, budget)
    except GateRefused:
        return []
    models.save(model, bench.folder / training.file)
    return history


def _best(tried: Sequence[Outcome]) -> Training:
    """The training with the best validation accuracy of those that did not diverge.

    Raises:
        GateRefused: all of them diverged.
    """
    sound = [one for one in tried if one[1]]
    if not sound:
        raise GateRefused(f"{_shown(tried[0][0])} diverged, and so did every other rate; lower finetune.learning_rates")
    return sound[fit.best_of([history for _, history in sound])][0]


def _shown(training: Training) -> str:
    return f"arm {training.arm}, seed {training.seed}, learning rate {training.rate}"


def _write_reports(workspace: Workspace, settings: Settings, outcomes: list[Outcome], kept: list[Outcome]) -> None:
    curve = [{**training._asdict(), **row} for training, history in outcomes for row in history]
    files.write_csv(
        workspace.curve("finetune"),
        [{"learning_rate" if key == "rate" else key: value for key, value in row.items()} for row in curve],
    )
    report = {}
    for arm in ARMS:
        mine = [one for one in kept if one[0].arm == arm]
        report[arm] = {
            "learning_rates_tried": list(settings.finetune.learning_rates),
            "learning_rate": mine[0][0].rate,
            "steps": settings.finetune.steps,
            "validation_accuracy": {str(t.seed): max(row["val_accuracy"] for row in h) for t, h in mine},
        }
    files.write_json(workspace.finetune_report, report)


if __name__ == "__main__":
    stage.main("finetune", finetune)
