"""The results as the stages left them: rows and numbers for report, model card, Prefect's UI and the terminal."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.plugins import resolve
from graft.core.scores import confusion
from graft.core.sections import Settings
from tasks.adapters import files
from tasks.workspace import ARMS, ROLES, Workspace

SCORES = ("accuracy", "macro_recall", "macro_f1")


def rows(workspace: Workspace) -> list[tuple[str, ...]]:
    """The results table: arm, set, accuracy, macro recall and macro-F1 in percent with 95 % intervals."""
    evaluation = files.read_json(workspace.evaluation)
    table = []
    for arm in ARMS:
        for name, scores in evaluation[arm].items():
            if scores is not None:
                cells = [_percent(scores[score]["mean"], scores[score]["ci95"]) for score in SCORES]
                table.append((arm, name, *cells))
    return table


def costs(workspace: Workspace, settings: Settings) -> dict[str, dict[str, Any]]:
    """By arm, what its pretraining and its trainings on the target cost; empty where the stages left no word of it."""
    paths = [workspace.cost(stage) for stage in ("pretrain", "finetune")]
    if not all(path.exists() for path in paths):
        return {}
    pretraining, finetuning = (files.read_json(path) for path in paths)
    backbone = {"transfer": settings.pretrain.backbone.name, "article": "article"}
    return {
        arm: {"pretraining": pretraining.get(backbone.get(arm)), "finetuning": finetuning[arm]}
        for arm in ARMS
        if arm in finetuning
    }


def curves(workspace: Workspace, stage: str) -> list[dict[str, Any]]:
    """Training curves of `pretrain` or `finetune`: a row per evaluation; none if the stage left none."""
    return [numbers(row) for row in read_csv(workspace.curve(stage))]


def confused(workspace: Workspace, classes: list[str]) -> Any:
    """(classes, classes) counts of transfer on the seen test set, all seeds: rows true, columns predicted."""
    pairs = read_csv(workspace.confusion)
    index = {name: number for number, name in enumerate(classes)}
    actual = np.array([index[pair["actual"].removeprefix("'")] for pair in pairs])
    predicted = np.array([index[pair["predicted"].removeprefix("'")] for pair in pairs])
    return confusion(actual, predicted, len(classes))


def credits(settings: Settings) -> list[dict[str, str]]:
    """Artists and licences, where an origin names them."""
    named: dict[str, dict[str, str]] = {}
    for role in ROLES:
        choice = getattr(settings.data, role).origin
        module = resolve("tasks.origins", choice, f"data.{role}.origin").module
        for credit in getattr(module, "CREDITS", ()):
            named[credit.style] = {
                "title": credit.title,
                "artist": credit.artist,
                "licence": credit.licence,
                "version": credit.version,
            }
    return list(named.values())


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, str]) -> dict[str, Any]:
    """The row with its numeric cells as numbers; class names and arms stay text."""
    texts = ("arm", "class", "label", "domain", "backbone")
    return {key: value if key in texts else float(value) for key, value in row.items() if value != ""}


def _percent(mean: float, ci95: list[float]) -> str:
    return f"{100 * mean:.1f} [{100 * ci95[0]:.1f}, {100 * ci95[1]:.1f}]"
