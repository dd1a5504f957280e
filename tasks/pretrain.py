"""pretrain: the chosen backbone, and the article's, each learn the source."""

import shutil
from dataclasses import dataclass

from graft.core.budget import Budget
from graft.core.errors import GateRefused
from graft.core.fit import TrainData
from graft.core.plugins import Plugin, resolve
from graft.core.processes import Tell, Workers
from graft.core.sections import Choice, Settings
from tasks import stage, training
from tasks.adapters import arrays, console, files
from tasks.choices import Choices
from tasks.training import Kept
from tasks.workspace import Workspace

ARTICLE = "article"


@dataclass(frozen=True)
class Bench:
    """What the worker processes need to know."""

    workspace: Workspace
    settings: Settings
    kept: Kept


def pretrain(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train each backbone on the source; write models/pretrained/<backbone>.keras and the curves.

    The source's test rows are not touched: evaluate reads them. After a kill, the trainings go on where they were.

    Raises:
        GateRefused: a training diverged.
    """
    names = list(backbones(choices))
    decides = [settings.seed, settings.data.modality.model_dump(), settings.pretrain.model_dump()]
    inputs = [workspace.classes, *(workspace.packed("source", split) for split in ("train", "validation"))]
    with (
        training.kept(workspace, "pretrain", decides, inputs) as kept,
        files.folder_aside(workspace.pretrained) as folder,
        console.progress("pretrain") as progress,
    ):
        with Workers(_pretrain_one, Bench(workspace, settings, kept), len(names)) as workers:
            results = workers.run(names, progress)
        for name in names:
            shutil.copyfile(kept.model(name), folder / f"{name}.keras")
    report, curve = {}, []
    for name, (parameters, history) in zip(names, results, strict=True):
        curve += [{"backbone": name, **row} for row in history]
        report[name] = {
            "parameters": parameters,
            "steps": int(history[-1]["step"]),
            "validation_accuracy": max(row["val_accuracy"] for row in history),
        }
    files.write_csv(workspace.curve("pretrain"), curve)
    files.write_json(workspace.pretrain_report, report)


def backbones(choices: Choices) -> dict[str, Plugin]:
    """By name: the chosen backbone and the article's (one entry if they are the same)."""
    article = resolve("graft.backbones", Choice(name=ARTICLE), "the article's backbone")
    return {ARTICLE: article} | {choices.backbone.name: choices.backbone}


def _pretrain_one(bench: Bench, name: str, tell: Tell) -> tuple[int, list[dict[str, float]]]:
    """Number of parameters and history; the model is kept."""
    if done := bench.kept.finished(name):
        return done["parameters"], done["history"]
    workspace, section = bench.workspace, bench.settings.pretrain
    choices = Choices.of(bench.settings)
    varied = choices.modality.module.AUGMENTS
    train = arrays.read(workspace.packed("source", "train"))
    data = TrainData(
        train=train,
        validation=arrays.read(workspace.packed("source", "validation")),
        n_classes=len(files.read_json(workspace.classes)["source"]),
        augment=varied[section.training.augment],
        strong=varied["strong"],
        progress=lambda done, total: tell(done / total),
        checkpoint=bench.kept.checkpoint(name),
    )
    steps = max(1, len(train) * section.epochs // section.batch_size)
    budget = Budget(steps, section.batch_size, 1e-3, section.epochs, bench.settings.seed, section.training)
    backbone = backbones(choices)[name]
    spec = choices.modality.module.spec(choices.modality.options)
    net = backbone.module.build(backbone.options, spec, bench.settings.seed)
    try:
        model, history = choices.objective.module.pretrain(choices.objective.options, net, data, budget)
    except GateRefused as error:
        raise GateRefused(f"backbone {name}: {error}") from None
    parameters = int(model.count_params())
    bench.kept.finish(name, model, {"parameters": parameters, "history": history})
    return parameters, history


if __name__ == "__main__":
    stage.main("pretrain", pretrain)
