"""evaluate: the test rows, read once; every arm on seen and unseen groups; what reuse gained, with its interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import dataset, evaluation, fit
from graft.core.calibration import temperature
from graft.core.dataset import Progress
from graft.core.evaluation import Resampling
from graft.core.scores import Answers
from graft.core.sections import Settings
from tasks import stage, transferability, why
from tasks.adapters import arrays, console, files, manifest, models
from tasks.adapters.files import written_aside
from tasks.choices import Choices
from tasks.gate import rules
from tasks.workspace import ARMS, Workspace

SETS = {"seen": "test", "unseen": "unseen"}

Logits = NDArray[np.float32]
"""(seeds, rows, classes)."""


def evaluate(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write reports/evaluation.json, reports/transferability.json, every prediction, and the plots' data.

    Probabilities are calibrated as those of the file that ships: by a temperature for each model, from the validation
    rows that it was chosen by. Without a second test set (an origin without groups) `unseen` is null everywhere.
    """
    classes = files.read_json(workspace.classes)["target"]
    tried = files.read_json(workspace.finetune_report)
    with console.progress("evaluate") as progress:
        judged = _judged(workspace, settings, progress)
    how = Resampling(settings.evaluate.bootstrap, settings.seed)
    report: dict[str, Any] = {arm: {name: None for name in SETS} for arm in ARMS} | {"gain": dict.fromkeys(SETS)}
    for name, one in judged.items():
        for arm in ARMS:
            report[arm][name] = _arm_report(one, arm, how)
        report["gain"][name] = evaluation.gain(one.arms["transfer"], one.arms["scratch"], how)
    report |= {
        "comparisons": evaluation.comparisons(
            {name: one.arms for name, one in judged.items()}, {name: one.votes for name, one in judged.items()}, how
        ),
        "other_kind": _other_kind(workspace, settings, judged),
        "source": _source_accuracy(workspace, choices),
        "labels_per_class": settings.finetune.labels_per_class,
        "seeds": list(settings.evaluate.seeds),
        "steps": settings.finetune.steps,
        "top_k": settings.evaluate.top_k,
        "learning_rates_tried": {arm: tried[arm]["learning_rates_tried"] for arm in ARMS},
        "learning_rate": {arm: tried[arm]["learning_rate"] for arm in ARMS},
        "temperature": {arm: list(judged["seen"].temperatures[arm]) for arm in ARMS},
        "n_test": {name: len(one.labels) for name, one in judged.items()},
        "n_classes": len(classes),
    }
    _write_predictions(workspace, [row for name, one in judged.items() for row in _rows(name, one, settings)])
    _write_plots(workspace, judged["seen"], classes)
    rows = arrays.read(workspace.held_out("target", SETS["seen"]))
    why.write(workspace, settings, choices, rows, judged["seen"].probabilities["transfer"])
    transferability.write(workspace, settings, choices)
    files.write_json(workspace.evaluation, report)


@dataclass(frozen=True)
class Judged:
    """One test set and what every arm's models said of it.

    Attributes:
        labels: (n,) int64.
        groups: of each row; "" where the data name none.
        logits: by arm.
        temperatures: by arm, one per seed.
        known: by arm, each seed's answers to the validation rows that it was chosen by.
        top_k: how many of the most probable classes count for top_k_accuracy.
    """

    labels: NDArray[np.int64]
    groups: list[str]
    logits: Mapping[str, Logits]
    temperatures: Mapping[str, tuple[float, ...]]
    known: Mapping[str, list[Answers]]
    top_k: int

    @cached_property
    def probabilities(self) -> dict[str, NDArray[np.float32]]:
        return {arm: _softened(logits, self.temperatures[arm]) for arm, logits in self.logits.items()}

    @cached_property
    def arms(self) -> dict[str, list[Answers]]:
        """By arm, each seed's answers."""
        return {
            arm: [Answers.of(self.labels, one, self.top_k) for one in each] for arm, each in self.probabilities.items()
        }

    @cached_property
    def votes(self) -> dict[str, Answers]:
        """By arm, what its seeds say together."""
        return {arm: Answers.of(self.labels, each.mean(axis=0)) for arm, each in self.probabilities.items()}


def _judged(workspace: Workspace, settings: Settings, progress: Progress) -> dict[str, Judged]:
    """By test set, what all arms' models say of it, and of the validation rows that each was chosen by."""
    sets = {name: split for name, split in SETS.items() if workspace.held_out("target", split).exists()}
    rows = {name: arrays.read(workspace.held_out("target", split)) for name, split in sets.items()}
    nets, seeds = models.Loader(), settings.evaluate.seeds
    said: dict[str, dict[str, list[NDArray[np.float32]]]] = {name: {arm: [] for arm in ARMS} for name in sets}
    temperatures: dict[str, list[float]] = {arm: [] for arm in ARMS}
    known: dict[str, list[Answers]] = {arm: [] for arm in ARMS}
    for done, (arm, seed) in enumerate(product(ARMS, seeds), start=1):
        net = nets.load(workspace.classifier(arm, seed))
        for name, split in rows.items():
            said[name][arm].append(fit.predict(net, split.images))
        by = _validation(workspace, settings, seed)
        logits = fit.predict(net, by.images)
        warmth = temperature(logits, by.labels)
        temperatures[arm].append(warmth)
        known[arm].append(Answers.of(by.labels, fit.softmax(logits / np.float32(warmth))))
        progress(done, len(ARMS) * len(seeds))
    return {
        name: Judged(
            labels=rows[name].labels,
            groups=_groups(workspace, split),
            logits={arm: np.stack(each) for arm, each in said[name].items()},
            temperatures={arm: tuple(each) for arm, each in temperatures.items()},
            known=known,
            top_k=settings.evaluate.top_k,
        )
        for name, split in sets.items()
    }


def _softened(logits: Logits, temperatures: tuple[float, ...]) -> NDArray[np.float32]:
    each = zip(logits, temperatures, strict=True)
    return np.stack([fit.softmax(one / np.float32(warmth)) for one, warmth in each])


def _validation(workspace: Workspace, settings: Settings, seed: int) -> dataset.Split:
    """The validation rows that this seed's training saw: more labels than those, a user would not have."""
    rows = arrays.read(workspace.packed("target", "validation"))
    per_class, n_classes = settings.finetune.per_class, len(files.read_json(workspace.classes)["target"])
    return rows.take(dataset.draw_validation(rows.labels, n_classes, per_class, seed))


def _groups(workspace: Workspace, split: str) -> list[str]:
    """Of each packed row, in their order; see extract."""
    left_out = {(one.domain, one.path) for one in rules.read(workspace.rejected)}
    rows = manifest.read(workspace.manifest, "target", split)
    return [row.group for row in rows if (row.domain, row.path) not in left_out]


def _arm_report(one: Judged, arm: str, how: Resampling) -> dict[str, Any]:
    raw = [Answers.of(one.labels, fit.softmax(logits)).scores() for logits in one.logits[arm]]
    return {
        **evaluation.arm_scores(one.arms[arm], how),
        "uncalibrated": {
            name: float(np.mean([scores[name] for scores in raw]))
            for name in ("log_loss", "brier", "expected_calibration_error")
        },
        "groups": evaluation.groups(one.arms[arm], one.groups, how),
        "abstention": evaluation.abstention(one.arms[arm], one.known[arm]),
    }


def _other_kind(workspace: Workspace, settings: Settings, judged: Mapping[str, Judged]) -> dict[str, Any]:
    """Does transfer notice what it was not made for? The source's test pictures, and the target's unseen groups."""
    arm, seen = "transfer", judged["seen"]
    found = {}
    if workspace.held_out("source", "test").exists():
        others = arrays.read(workspace.held_out("source", "test")).images
        sure, nets = [], models.Loader()
        for seed, warmth in zip(settings.evaluate.seeds, seen.temperatures[arm], strict=True):
            logits = fit.predict(nets.load(workspace.classifier(arm, seed)), others)
            sure.append(fit.softmax(logits / np.float32(warmth)).max(axis=1).astype(np.float64))
        found[settings.data.source.name] = evaluation.other_kind(seen.arms[arm], sure)
    if "unseen" in judged:
        sure = [one.confidence for one in judged["unseen"].arms[arm]]
        found["unseen"] = evaluation.other_kind(seen.arms[arm], sure)
    return found


def _source_accuracy(workspace: Workspace, choices: Choices) -> dict[str, Any]:
    """Accuracy of the pretrained source classifier on the source's own test rows."""
    model = models.load(workspace.pretrained / f"{choices.backbone.name}.keras")
    accuracy: dict[str, float | None] = {}
    for name, split in SETS.items():
        if workspace.held_out("source", split).exists():
            rows = arrays.read(workspace.held_out("source", split))
            accuracy[name] = float(np.mean(fit.predict(model, rows.images).argmax(axis=1) == rows.labels))
        else:
            accuracy[name] = None
    return {"accuracy": accuracy}


def _rows(name: str, one: Judged, settings: Settings) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm,
            "seed": seed,
            "set": name,
            "row": row,
            "group": one.groups[row],
            "label": int(label),
            "predicted": int(said.predicted[row]),
            "probability": float(said.confidence[row]),
        }
        for arm in ARMS
        for seed, said in zip(settings.evaluate.seeds, one.arms[arm], strict=True)
        for row, label in enumerate(one.labels)
    ]


def _write_predictions(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_aside(workspace.predictions) as aside:
        pq.write_table(pa.Table.from_pylist(rows), aside, compression="zstd")


def _write_plots(workspace: Workspace, seen: Judged, classes: list[str]) -> None:
    """Confusion of the transfer arm and scores per class, over all seeds, on seen groups."""
    files.write_csv(
        workspace.confusion,
        [
            {"actual": classes[label], "predicted": classes[guess]}
            for one in seen.arms["transfer"]
            for label, guess in zip(one.labels, one.predicted, strict=True)
        ],
    )
    files.write_csv(
        workspace.per_class,
        [
            {"class": name, "arm": arm} | {score: round(value, 4) for score, value in scores.items()}
            for arm in ARMS
            for name, scores in zip(classes, evaluation.per_class(seen.arms[arm]), strict=True)
        ],
    )


if __name__ == "__main__":
    stage.main("evaluate", evaluate)
