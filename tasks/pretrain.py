"""pretrain: the chosen backbone, and the article's, each learn the source."""

from typing import Any

from graft.core.budget import Budget
from graft.core.errors import GraftError
from graft.core.fit import TrainData
from graft.core.plugins import Plugin, resolve
from graft.core.settings import Choice, Settings
from tasks import stage
from tasks.adapters import arrays, console, files, models
from tasks.choices import Choices
from tasks.workspace import Workspace

ARTICLE = "article"


def pretrain(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Train each backbone on the source; write models/pretrained/<backbone>.keras and the curves.

    The source's test rows are not touched: evaluate reads them.

    Raises:
        GateRefused: a training diverged.
    """
    curve: list[dict[str, Any]] = []
    report: dict[str, Any] = {}
    with files.folder_aside(workspace.pretrained) as folder:
        for name, backbone in backbones(choices).items():
            model, history = _pretrain_one(name, backbone, workspace, settings, choices)
            models.save(model, folder / f"{name}.keras")
            curve += [{"backbone": name, **row} for row in history]
            report[name] = {
                "parameters": int(model.count_params()),
                "steps": int(history[-1]["step"]),
                "validation_accuracy": max(row["val_accuracy"] for row in history),
            }
    files.write_csv(workspace.curve("pretrain"), curve)
    files.write_json(workspace.pretrain_report, report)


def backbones(choices: Choices) -> dict[str, Plugin]:
    """By name: the chosen backbone and the article's (one entry if they are the same)."""
    article = resolve("graft.backbones", Choice(name=ARTICLE), "the article's backbone")
    return {choices.backbone.name: choices.backbone} | ({} if choices.backbone.name == ARTICLE else {ARTICLE: article})


def _pretrain_one(
    name: str, backbone: Plugin, workspace: Workspace, settings: Settings, choices: Choices
) -> tuple[Any, list[dict[str, float]]]:
    spec = choices.modality.module.spec(choices.modality.options)
    train = arrays.read(workspace.packed("source", "train"))
    section = settings.pretrain
    steps = max(1, len(train) * section.epochs // section.batch_size)
    budget = Budget(steps, section.batch_size, 1e-3, evaluations=section.epochs, seed=settings.seed)
    with console.progress(f"pretrain {name}") as progress:
        data = TrainData(
            train=train,
            validation=arrays.read(workspace.packed("source", "validation")),
            n_classes=len(files.read_json(workspace.classes)["source"]),
            augment=choices.modality.module.augment,
            progress=progress,
        )
        net = backbone.module.build(backbone.options, spec, settings.seed)
        try:
            model, history = choices.objective.module.pretrain(choices.objective.options, net, data, budget)
        except GraftError as error:
            raise type(error)(f"backbone {name}: {error}") from None
        return model, history


if __name__ == "__main__":
    stage.main("pretrain", pretrain)
