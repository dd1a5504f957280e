"""export: the best transfer model as files for devices, each run on every test picture and compared with Keras."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import dataset, fit, proof
from graft.core.calibration import temperature as temperature_of
from graft.core.dataset import Split
from graft.core.errors import GateRefused
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from graft.metrics import calibration
from tasks import report, stage, training
from tasks.adapters import arrays, console, files, models
from tasks.choices import Choices
from tasks.workspace import Workspace

REPRESENTATIVE = 200


def export(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write models/exported/ and reports/export.json.

    The seed with the best validation accuracy ships: the test rows have no say in it. A file that fails the gate is
    kept as NAME.refused for inspection.

    Raises:
        GateRefused: a file agrees too little with the model, loses too much accuracy or needs custom operators.
    """
    seed = training.shipped_seed(files.read_json(workspace.finetune_report)["transfer"]["validation_accuracy"])
    classes = files.read_json(workspace.classes)["target"]
    bare = models.load(workspace.classifier("transfer", seed))
    test = _test_rows(workspace)
    temperature = _temperature(workspace, settings, bare, len(classes), seed)
    model = models.calibrated(bare, temperature)
    logits = fit.predict(bare, test.images)
    reference = fit.softmax(logits / np.float32(temperature))
    keras_accuracy = float((reference.argmax(1) == test.labels).mean())
    samples = _representative(workspace, settings)
    results: dict[str, Any] = {}
    with files.folder_aside(workspace.exported) as folder, console.progress("export") as progress:
        for index, plugin in enumerate(choices.formats):
            content = plugin.module.convert(plugin.options, model, samples)
            result = _prove(plugin, content, test, reference)
            result["refused_because"] = refusals(result, keras_accuracy, settings)
            result["passed"] = not result["refused_because"]
            _write(folder, content, refused=bool(result["refused_because"]))
            results |= {name: result | _identity(data) for name, data in content.items()}
            progress(index + 1, len(choices.formats))
        (folder / "labels.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    files.write_json(
        workspace.export_report,
        {
            "seed": seed,
            "pictures": len(test),
            "keras": {"accuracy": keras_accuracy},
            "calibration": {
                "temperature": temperature,
                "before": calibration.score(calibration.Options(), test.labels, fit.softmax(logits)),
                "after": calibration.score(calibration.Options(), test.labels, reference),
            },
            "files": results,
        },
    )
    report.write(workspace)
    refused = [f"{name}: {'; '.join(one['refused_because'])}" for name, one in results.items() if not one["passed"]]
    if refused:
        raise GateRefused(f"{refused[0]}; kept as {workspace.exported.name}/*.refused for inspection")


def refusals(result: dict[str, Any], keras_accuracy: float, settings: Settings) -> list[str]:
    """Why the gate refuses a file, one line each; none if it passes."""
    limits, reasons = settings.export, []
    drop = 100.0 * (keras_accuracy - result["accuracy"])
    if result["agreement"] < limits.min_agreement:
        reasons.append(
            f"agrees with Keras on {result['agreement']:.1%} of pictures; export.min_agreement is "
            f"{limits.min_agreement:.1%}"
        )
    if drop > limits.max_accuracy_drop_points:
        reasons.append(
            f"loses {drop:.1f} points of accuracy; export.max_accuracy_drop_points is {limits.max_accuracy_drop_points}"
        )
    if not result["builtin_operators_only"]:
        reasons.append("needs operators that a plain runtime lacks")
    return reasons


def _temperature(workspace: Workspace, settings: Settings, model: Any, n_classes: int, seed: int) -> float:
    """Fitted on the validation rows that this seed's training saw: more labels than those, a user would not have."""
    validation = arrays.read(workspace.packed("target", "validation"))
    rows = dataset.draw_validation(validation.labels, n_classes, settings.finetune.per_class, seed)
    seen = validation.take(rows)
    return temperature_of(fit.predict(model, seen.images), seen.labels)


def _prove(plugin: Plugin, content: dict[str, bytes], test: Split, reference: Any) -> dict[str, Any]:
    run = plugin.module.run(plugin.options, content)
    seen = asdict(proof.compare(test.labels, reference, run(test.images)))
    facts = plugin.module.describe(plugin.options, content)
    timing = proof.latency(run, np.asarray(test.images[:1])) | {"threads": facts.pop("threads")}
    return {**facts, **seen, "latency_ms": timing}


def _identity(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(folder: Path, content: dict[str, bytes], refused: bool) -> None:
    for name, data in content.items():
        (folder / (f"{name}.refused" if refused else name)).write_bytes(data)


def _test_rows(workspace: Workspace) -> Split:
    """Every test picture of the target, seen groups first."""
    parts = [
        arrays.read(workspace.held_out("target", split))
        for split in ("test", "unseen")
        if workspace.held_out("target", split).exists()
    ]
    return Split(
        np.concatenate([np.asarray(part.images) for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _representative(workspace: Workspace, settings: Settings) -> Any:
    """Pictures from the target's training rows, drawn from the seed, that show the quantiser the ranges."""
    train = arrays.read(workspace.packed("target", "train"))
    count = min(REPRESENTATIVE, len(train))
    rows = np.sort(np.random.default_rng(settings.seed).choice(len(train), count, replace=False))
    return np.asarray(train.images[rows])


if __name__ == "__main__":
    stage.main("export", export)
