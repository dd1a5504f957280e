"""Pictures of what a stage did: the report's own figures, each as an SVG file that stands alone."""

from typing import Any

from graft.core import drawing, figures
from graft.core.report import worst
from tasks import results
from tasks.adapters import files
from tasks.workspace import ARMS, Workspace


def learning(workspace: Workspace, stage: str) -> str:
    """Accuracy on validation rows while `pretrain` or `finetune` trained; "" if there is nothing to draw."""
    rows = results.curves(workspace, stage)
    if stage == "finetune":
        kept = {arm: one["learning_rate"] for arm, one in files.read_json(workspace.finetune_report).items()}
        rows = [row for row in rows if row["learning_rate"] == kept.get(row["arm"])]
    named = [{"arm": row.get("backbone", "")} | row for row in rows]
    return _alone(figures.curves(named, "val_accuracy", "accuracy on validation rows, %", 100))


def confusion(workspace: Workspace) -> str:
    """Which class transfer took for which, on the seen test set; "" if there is nothing to draw."""
    classes = files.read_json(workspace.classes)["target"]
    counts = results.confused(workspace, classes)
    return _alone(figures.confusion(*worst(counts, classes)) if counts.sum() else None)


def labels(workspace: Workspace) -> str:
    """Accuracy over labels per class on the seen test set; "" if that was not measured."""
    found = files.read_json(workspace.curve_report)
    told = found.get("sets", {}).get("seen")
    return _alone(figures.labels_curve("seen", found["labels"], {arm: told[arm] for arm in ARMS}) if told else None)


def _alone(chart: Any) -> str:
    return drawing.alone(chart) if chart else ""
