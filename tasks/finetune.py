"""finetune: every arm of the comparison learns the target from the same labels, with the same budget."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graft.core import fit
from graft.core.budget import Budget
from graft.core.dataset import Split, draw_per_class
from graft.core.errors import BadInput, GraftError
from graft.core.fit import TrainData
from graft.core.settings import Settings
from tasks import stage
from tasks.adapters import arrays, console, files, models
from tasks.choices import Choices
from tasks.pretrain import ARTICLE, backbones
from tasks.workspace import ARMS, Workspace

History = list[dict[str, float]]


@dataclass(frozen=True)
class Bench:
    """What all trainings of this stage share."""

    workspace: Workspace
    settings: Settings
    choices: Choices
    train: Split
    validation: Split
    n_classes: int


def finetune(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train transfer, scratch and article for every seed; write their classifiers, the curves and what was chosen.

    An arm tries every learning rate on its first seed and keeps the one with the best validation accuracy for all.

    Raises:
        BadInput: a class has fewer training pictures than `finetune.labels_per_class`.
        GateRefused: a training diverged at every learning rate.
    """
    bench = Bench(
        workspace,
        settings,
        choices,
        arrays.read(workspace.packed("target", "train")),
        arrays.read(workspace.packed("target", "validation")),
        len(files.read_json(workspace.classes)["target"]),
    )
    curve: list[dict[str, Any]] = []
    report: dict[str, Any] = {}
    rates, seeds = settings.finetune.learning_rates, settings.evaluate.seeds
    total, done = len(ARMS) * (len(rates) + len(seeds) - 1), 0
    with files.folder_aside(workspace.finetuned) as folder, console.progress("finetune") as progress:
        for arm in ARMS:
            learn = _learner(arm, bench)
            chosen: float | None = None
            accuracies: dict[str, float] = {}
            for seed in seeds:
                tried: list[tuple[float, History]] = []
                for rate in rates if chosen is None else [chosen]:
                    before = done

                    def within(step: int, steps: int, before: int = before) -> None:
                        progress(before * 100 + round(100 * step / steps), total * 100)

                    model, history = _attempt(learn, rate, seed, within, last=not tried and rate == rates[-1])
                    done += 1
                    progress(done * 100, total * 100)
                    curve += [{"arm": arm, "seed": seed, "learning_rate": rate, **row} for row in history]
                    if history and fit.best_of([*tried, (rate, history)]) == len(tried):
                        models.save(model, folder / f"{arm}-{seed}.keras")
                    if history:
                        tried.append((rate, history))
                best = fit.best_of(tried)
                chosen = tried[best][0]
                accuracies[str(seed)] = max(row["val_accuracy"] for row in tried[best][1])
            report[arm] = {
                "learning_rates_tried": list(rates),
                "learning_rate": chosen,
                "steps": settings.finetune.steps,
                "validation_accuracy": accuracies,
            }
    files.write_csv(workspace.curve("finetune"), curve)
    files.write_json(workspace.finetune_report, report)


Learner = Callable[[float, int, Any], tuple[Any, History]]


def _attempt(learn: Learner, rate: float, seed: int, progress: Any, last: bool) -> tuple[Any, History]:
    """One training; one that diverges counts as tried and lost, unless no rate is left."""
    try:
        return learn(rate, seed, progress)
    except GraftError:
        if last:
            raise
        return None, []


def _learner(arm: str, bench: Bench) -> Learner:
    """A function (learning rate, seed, progress) -> (classifier, history) for one arm.

    All trainings of an arm reuse one network object, reset to the arm's starting weights each time.
    """
    name = ARTICLE if arm == "article" else bench.choices.backbone.name
    backbone = backbones(bench.choices)[name]
    spec = bench.choices.modality.module.spec(bench.choices.modality.options)
    net = backbone.module.build(backbone.options, spec, 0)
    start = None
    if arm != "scratch":
        pretrained = models.load(bench.workspace.pretrained / f"{name}.keras")
        start = pretrained.get_layer("backbone").get_weights()

    def learn(rate: float, seed: int, progress: Any) -> tuple[Any, History]:
        data, budget = _data(bench, seed, progress), _budget(bench, rate, seed)
        if start is None:
            net.set_weights(backbone.module.build(backbone.options, spec, 1000 + seed).get_weights())
            model = fit.classifier(net, bench.n_classes, seed)
            return model, fit.train(model, data, budget)
        net.set_weights(start)
        method = bench.choices.method
        result: tuple[Any, History] = method.module.adapt(method.options, net, data, budget)
        return result

    return learn


def _budget(bench: Bench, rate: float, seed: int) -> Budget:
    section = bench.settings.finetune
    return Budget(section.steps, section.batch_size, rate, section.evaluations, seed)


def _data(bench: Bench, seed: int, progress: Any) -> TrainData:
    """The labels this seed may see: `labels_per_class` to learn from and as many, at most, to choose by."""
    per_class = bench.settings.finetune.per_class
    try:
        train = bench.train.take(draw_per_class(bench.train.labels, per_class, seed))
    except ValueError:
        raise BadInput(
            f"finetune.labels_per_class is {per_class}; a class has fewer training pictures: lower it, or say all"
        ) from None
    fewest = min(int((bench.validation.labels == label).sum()) for label in range(bench.n_classes))
    kept = None if per_class is None else min(per_class, fewest)
    validation = bench.validation.take(draw_per_class(bench.validation.labels, kept, seed))
    return TrainData(train, validation, bench.n_classes, bench.choices.modality.module.augment, progress)


if __name__ == "__main__":
    stage.main("finetune", finetune)
