"""evaluate: the test rows, read once; every arm on seen and unseen groups; what reuse gained, with its interval."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import bootstrap, fit
from graft.core.sections import Settings
from graft.metrics import classification
from tasks import stage, transferability
from tasks.adapters import arrays, console, files, models
from tasks.adapters.files import written_aside
from tasks.choices import Choices
from tasks.workspace import ARMS, Workspace

SETS = {"seen": "test", "unseen": "unseen"}
SCORES = ("accuracy", "macro_recall", "macro_f1")

Answers = dict[str, NDArray[np.float32]]
"""By arm: probabilities (seeds, rows, classes) float32."""


def evaluate(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write reports/evaluation.json, reports/transferability.json, every prediction, and the plots' data.

    Without a second test set (an origin without groups) `unseen` is null everywhere.
    """
    classes = files.read_json(workspace.classes)["target"]
    tried = files.read_json(workspace.finetune_report)
    report: dict[str, Any] = {arm: {} for arm in ARMS} | {"gain": {}}
    predictions: list[dict[str, Any]] = []
    n_test: dict[str, int] = {}
    with console.progress("evaluate") as progress:
        for index, (name, split) in enumerate(SETS.items()):
            if not workspace.packed("target", split).exists():
                report["gain"][name] = None
                report |= {arm: report[arm] | {name: None} for arm in ARMS}
                continue
            labels, answers = _answers(workspace, settings, split, progress, index)
            n_test[name] = len(labels)
            for arm in ARMS:
                report[arm][name] = _arm_scores(answers[arm], labels, settings)
            report["gain"][name] = _gain(answers, labels, settings)
            predictions += _rows(name, labels, answers, settings)
            if name == "seen":
                _write_plots(workspace, labels, answers, classes)
    report |= {
        "source": _source_accuracy(workspace, choices),
        "labels_per_class": settings.finetune.labels_per_class,
        "seeds": list(settings.evaluate.seeds),
        "steps": settings.finetune.steps,
        "learning_rates_tried": {arm: tried[arm]["learning_rates_tried"] for arm in ARMS},
        "learning_rate": {arm: tried[arm]["learning_rate"] for arm in ARMS},
        "n_test": n_test,
        "n_classes": len(classes),
    }
    _write_predictions(workspace, predictions)
    transferability.write(workspace, settings, choices)
    files.write_json(workspace.evaluation, report)


def _answers(
    workspace: Workspace, settings: Settings, split: str, progress: Any, part: int
) -> tuple[NDArray[np.int64], Answers]:
    rows = arrays.read(workspace.packed("target", split))
    seeds, answers = settings.evaluate.seeds, {}
    total = len(SETS) * len(ARMS)
    for index, arm in enumerate(ARMS):
        logits = [fit.predict(models.load(workspace.classifier(arm, seed)), rows.images) for seed in seeds]
        answers[arm] = np.stack([fit.softmax(one) for one in logits])
        progress(part * len(ARMS) + index + 1, total)
    return rows.labels, answers


def _arm_scores(probabilities: NDArray[np.float32], labels: NDArray[np.int64], settings: Settings) -> dict[str, Any]:
    predicted, n_classes = probabilities.argmax(axis=2), probabilities.shape[2]
    tables = [classification.from_confusion(classification.confusion(labels, one, n_classes)) for one in predicted]
    scores: dict[str, Any] = {}
    for score in SCORES:

        def statistic(seeds: NDArray[np.int64], rows: NDArray[np.int64], score: str = score) -> float:
            values = [
                classification.from_confusion(classification.confusion(labels[rows], predicted[seed][rows], n_classes))[
                    score
                ]
                for seed in seeds
            ]
            return float(np.mean(values))

        estimate = _interval(statistic, len(predicted), len(labels), settings)
        scores[score] = {
            "mean": estimate.mean,
            "ci95": estimate.ci95,
            "per_seed": [table[score] for table in tables],
        }
    return scores


def _gain(answers: Answers, labels: NDArray[np.int64], settings: Settings) -> dict[str, Any]:
    """Accuracy of transfer minus scratch in percentage points: paired by row and by seed."""
    hits = {arm: (answers[arm].argmax(axis=2) == labels).astype(np.float64) for arm in ("transfer", "scratch")}
    difference = 100.0 * (hits["transfer"] - hits["scratch"])
    n_seeds, n_rows = difference.shape

    def statistic(seeds: NDArray[np.int64], rows: NDArray[np.int64]) -> float:
        return float(difference[np.ix_(seeds, rows)].mean())

    estimate = _interval(statistic, n_seeds, n_rows, settings)
    return {
        "points": estimate.mean,
        "ci95": estimate.ci95,
        "per_seed": [float(value) for value in difference.mean(axis=1)],
    }


def _interval(statistic: Any, n_seeds: int, n_rows: int, settings: Settings) -> bootstrap.Estimate:
    return bootstrap.interval(statistic, n_seeds, n_rows, settings.evaluate.bootstrap, settings.seed)


def _source_accuracy(workspace: Workspace, choices: Choices) -> dict[str, Any]:
    """Accuracy of the pretrained source classifier on the source's own test rows."""
    model = models.load(workspace.pretrained / f"{choices.backbone.name}.keras")
    accuracy: dict[str, float | None] = {}
    for name, split in SETS.items():
        if workspace.packed("source", split).exists():
            rows = arrays.read(workspace.packed("source", split))
            accuracy[name] = float(np.mean(fit.predict(model, rows.images).argmax(axis=1) == rows.labels))
        else:
            accuracy[name] = None
    return {"accuracy": accuracy}


def _rows(name: str, labels: NDArray[np.int64], answers: Answers, settings: Settings) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm,
            "seed": seed,
            "set": name,
            "row": row,
            "label": int(label),
            "predicted": int(probabilities[row].argmax()),
            "probability": float(probabilities[row].max()),
        }
        for arm in ARMS
        for seed, probabilities in zip(settings.evaluate.seeds, answers[arm], strict=True)
        for row, label in enumerate(labels)
    ]


def _write_predictions(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_aside(workspace.predictions) as aside:
        pq.write_table(pa.Table.from_pylist(rows), aside, compression="zstd")


def _write_plots(workspace: Workspace, labels: NDArray[np.int64], answers: Answers, classes: list[str]) -> None:
    """Confusion of the transfer arm and recall per class, over all seeds, on seen groups."""
    predicted = answers["transfer"].argmax(axis=2)
    files.write_csv(
        workspace.confusion,
        [
            {"actual": classes[label], "predicted": classes[guess]}
            for one in predicted
            for label, guess in zip(labels, one, strict=True)
        ],
    )
    recalls = []
    for arm in ARMS:
        guesses = answers[arm].argmax(axis=2)
        for index, name in enumerate(classes):
            hits = guesses[:, labels == index] == index
            recalls.append({"class": name, "arm": arm, "recall": round(float(hits.mean()), 4)})
    files.write_csv(workspace.per_class, recalls)


if __name__ == "__main__":
    stage.main("evaluate", evaluate)
