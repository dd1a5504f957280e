"""export: the best transfer model and its variants as files for devices, each run on every test picture and compared
with Keras."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import attached, diagnosis, export_gate, fit, paired, proof
from graft.core.dataset import Split
from graft.core.errors import GateRefused
from graft.core.export_gate import Limits
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from graft.metrics import calibration
from tasks import conversion, footprint, report, stage, training
from tasks.adapters import arrays, console, files
from tasks.choices import Choices
from tasks.conversion import Made
from tasks.workspace import HELD_OUT, Workspace

DISAGREEMENTS = 12
CLIPPED = 16
"""Pictures whose activations are looked at where an integer file is refused."""


def export(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Write models/exported/ and reports/export.json.

    The seed with the best validation accuracy ships: the test rows have no say in it. A file that fails the gate is
    kept as NAME.refused for inspection, and publish leaves it out. A variant's file has to answer as the variant's own
    Keras model does; what it may lose of accuracy is counted from the whole net's.

    Raises:
        GateRefused: no file passes, or one of the whole net loses so much that all are in doubt.
    """
    seed = training.shipped_seed(files.read_json(workspace.finetune_report)["transfer"]["validation_accuracy"])
    classes = files.read_json(workspace.classes)["target"]
    held_out = [path for split in HELD_OUT if (path := workspace.held_out("target", split)).exists()]
    jobs = [conversion.Job(workspace, settings, seed, held_out, name) for name in ("", *choices.variants)]
    jobs = [job for job in jobs if not job.variant or job.model.exists()]
    with files.folder_aside(workspace.exported) as folder, console.progress("export") as progress:
        made = conversion.convert(jobs, lambda done, total: progress(done, 2 * total))
        test, results = arrays.read_all(held_out), dict[str, Any]()
        whole = Bench(test, made[0])
        benches = {job.variant: Bench(test, one, job.variant, whole) for job, one in zip(jobs, made, strict=True)}
        total = len(jobs) * len(choices.formats)
        for job in jobs:
            bench, texts = benches[job.variant], _texts(job, classes)
            for index, (plugin, bare) in enumerate(zip(choices.formats, bench.made.formats, strict=True)):
                content = plugin.module.attach(plugin.options, bare, texts)
                result = bench.judge(plugin, content, export_gate.limits(settings.export, index))
                named = {file_name(name, job.variant): data for name, data in content.items()}
                _write(folder, named, refused=not result["passed"])
                results |= {name: result | _identity(data) for name, data in named.items()}
                progress(100 * (total + len(results)), 200 * total)
            (folder / attached.LABELS).write_text(texts[attached.LABELS], encoding="utf-8")
    variants = {name: _variant(one, benches.get(name), settings) for name, one in choices.variants.items()}
    files.write_json(workspace.export_report, _told(seed, whole, results, variants, settings))
    report.write(workspace)
    if reason := export_gate.stop(results, whole.keras_accuracy, settings.export.hard_stop_points):
        raise GateRefused(f"{reason}; kept as {workspace.exported.name}/*.refused for inspection")


class Bench:
    """The test pictures, what Keras answered on them, and files that are compared with it.

    Attributes:
        variant: whose files they are; "" is the whole net.
        whole: the same of the whole net, whose accuracy is what a user may lose; of itself None.
    """

    def __init__(self, test: Split, made: Made, variant: str = "", whole: "Bench | None" = None) -> None:
        self.test, self.made, self.variant, self.whole = test, made, variant, whole
        self.reference = fit.softmax(made.logits / np.float32(made.temperature))
        self.right: NDArray[np.bool_] = self.reference.argmax(1) == test.labels
        self.keras_accuracy = float(self.right.mean())

    def judge(self, plugin: Plugin, content: dict[str, bytes], allowed: Limits) -> dict[str, Any]:
        """What is measured of a file, whether it passed, and if not, why and what most likely went wrong in it."""
        result = {"variant": self.variant} | self.prove(plugin, content)
        why = export_gate.refusals(result, (self.whole or self).keras_accuracy, allowed)
        in_file = export_gate.refusals(result, self.keras_accuracy, allowed)
        if in_file and (cause := self.cause(plugin, content)):
            why.append(f"likely cause: {cause}")
        return result | {"refused_because": why, "passed": not why}

    def prove(self, plugin: Plugin, content: dict[str, bytes]) -> dict[str, Any]:
        """All that is told of a file but its bytes and the gate's verdict."""
        run, facts = plugin.module.run(plugin.options, content), plugin.module.describe(plugin.options, content)
        answered = run(self.test.images)
        seen = asdict(proof.compare(self.test.labels, self.reference, answered))
        worst = proof.disagreements(self.test.labels, self.reference, answered, DISAGREEMENTS)
        again = proof.same_answers(run, self.test.images, answered, facts["many"])
        picture = np.asarray(self.test.images[:1])
        timing = proof.latency(run, picture) | {"threads": facts.pop("threads")}
        return {
            **facts,
            **seen,
            "same_answers": again,
            "latency_ms": timing,
            "peak_memory_mb": footprint.peak_mb(plugin, content, picture),
            "disagreements": [asdict(one) for one in worst],
        }

    def cause(self, plugin: Plugin, content: dict[str, bytes]) -> str:
        """What most likely went wrong in a file that was refused; "" if no usual fault explains it."""
        asked = np.asarray(self.test.images[self.made.rows])
        ranges = getattr(plugin.module, "cut_off", None)
        if ranges and (found := ranges(plugin.options, content, asked[:CLIPPED])):
            return f"{diagnosis.RANGE} ({found})"
        answered: NDArray[np.float32] = plugin.module.run(plugin.options, content)(asked)
        return diagnosis.likely_cause(answered, self.reference[self.made.rows], self.made.faulty)


def _told(
    seed: int, bench: Bench, results: dict[str, Any], variants: dict[str, Any], settings: Settings
) -> dict[str, Any]:
    logits = bench.made.logits
    return {
        "seed": seed,
        "pictures": len(bench.test),
        "keras": _keras(bench),
        "calibration": {
            "temperature": bench.made.temperature,
            "before": calibration.score(calibration.Options(), bench.test.labels, fit.softmax(logits)),
            "after": calibration.score(calibration.Options(), bench.test.labels, bench.reference),
        },
        "variants": variants,
        "runs": export_gate.choose(results, settings.export.prefer),
        "files": results,
    }


def _keras(bench: Bench) -> dict[str, Any]:
    accuracy_ci95 = proof.wilson(int(bench.right.sum()), len(bench.right))
    return {"accuracy": bench.keras_accuracy, "accuracy_ci95": accuracy_ci95, "parameters": bench.made.parameters}


def _variant(method: Plugin, bench: Bench | None, settings: Settings) -> dict[str, Any]:
    """How a variant was made, and what its Keras model has and loses; nothing of that if its training diverged."""
    how = {"method": method.name, "options": method.options.model_dump(mode="json"), "trained": bench is not None}
    if bench is None or bench.whole is None:
        return how
    lost = paired.compare(bench.whole.right, bench.right, settings.evaluate.bootstrap, settings.seed)
    return (
        how
        | _keras(bench)
        | {"temperature": bench.made.temperature, "drop_points": lost.points, "drop_ci95": lost.ci95}
    )


def _texts(job: conversion.Job, classes: list[str]) -> Mapping[str, str]:
    """What goes into every file: labels, and what it takes and answers, whence it comes and on which terms."""
    settings, seed = job.settings, job.seed
    modality, made_from = settings.data.modality, {"variant": job.variant} if job.variant else {}
    metadata = {
        "name": settings.data.target.name,
        "version": hashlib.sha256(job.model.read_bytes()).hexdigest()[:16],
        "licence": settings.export.licence or "not stated",
        "input": "one upright RGB picture, uint8 in [0, 255], (1, height, width, 3)",
        "modality": {"name": modality.name, **modality.options},
        "output": f"{len(classes)} probabilities, calibrated, in the order of {attached.LABELS}; "
        "an integer q stands for (q - zero point) * scale",
        "made_from": {"source": settings.data.source.name, "backbone": settings.pretrain.backbone.name, "seed": seed}
        | made_from,
    }
    return {
        attached.LABELS: "\n".join(classes) + "\n",
        attached.METADATA: json.dumps(metadata, indent=2, ensure_ascii=False) + "\n",
    }


def file_name(name: str, variant: str) -> str:
    """What a format's file `name` is called: model-int8.tflite, of a variant model-pruned-int8.tflite."""
    return f"model-{variant}{name.removeprefix('model')}" if variant else name


def _identity(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(folder: Path, content: dict[str, bytes], refused: bool) -> None:
    for name, data in content.items():
        (folder / (f"{name}.refused" if refused else name)).write_bytes(data)


if __name__ == "__main__":
    stage.main("export", export)
