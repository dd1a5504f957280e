"""export: the best transfer model as files for devices, each run on every test picture and compared with Keras."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import attached, diagnosis, export_gate, fit, proof
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
    kept as NAME.refused for inspection, and publish leaves it out.

    Raises:
        GateRefused: no file passes, or one loses so much that all are in doubt.
    """
    seed = training.shipped_seed(files.read_json(workspace.finetune_report)["transfer"]["validation_accuracy"])
    classes = files.read_json(workspace.classes)["target"]
    held_out = [path for split in HELD_OUT if (path := workspace.held_out("target", split)).exists()]
    texts = _texts(workspace, settings, classes, seed)
    with files.folder_aside(workspace.exported) as folder, console.progress("export") as progress:
        job = conversion.Job(workspace, settings, seed, held_out)
        made = conversion.convert(job, lambda done, total: progress(done, 2 * total))
        test = arrays.read_all(held_out)
        bench = Bench(test, made)
        results: dict[str, Any] = {}
        for index, (plugin, bare) in enumerate(zip(choices.formats, made.formats, strict=True)):
            content = plugin.module.attach(plugin.options, bare, texts)
            result = bench.judge(plugin, content, export_gate.limits(settings.export, index))
            _write(folder, content, refused=not result["passed"])
            results |= {name: result | _identity(data) for name, data in content.items()}
            progress(100 * (len(made.formats) + index + 1), 200 * len(made.formats))
        (folder / attached.LABELS).write_text(texts[attached.LABELS], encoding="utf-8")
    files.write_json(workspace.export_report, _told(seed, bench, results, settings))
    report.write(workspace)
    if reason := export_gate.stop(results, bench.keras_accuracy, settings.export.hard_stop_points):
        raise GateRefused(f"{reason}; kept as {workspace.exported.name}/*.refused for inspection")


class Bench:
    """The test pictures, what Keras answered on them, and files that are compared with it."""

    def __init__(self, test: Split, made: Made) -> None:
        self.test, self.made = test, made
        self.reference = fit.softmax(made.logits / np.float32(made.temperature))
        self.keras_accuracy = float((self.reference.argmax(1) == test.labels).mean())

    def judge(self, plugin: Plugin, content: dict[str, bytes], allowed: Limits) -> dict[str, Any]:
        """What is measured of a file, whether it passed, and if not, why and what most likely went wrong in it."""
        result = self.prove(plugin, content)
        why = export_gate.refusals(result, self.keras_accuracy, allowed)
        if why and (cause := self.cause(plugin, content)):
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


def _told(seed: int, bench: Bench, results: dict[str, Any], settings: Settings) -> dict[str, Any]:
    logits = bench.made.logits
    return {
        "seed": seed,
        "pictures": len(bench.test),
        "keras": {"accuracy": bench.keras_accuracy},
        "calibration": {
            "temperature": bench.made.temperature,
            "before": calibration.score(calibration.Options(), bench.test.labels, fit.softmax(logits)),
            "after": calibration.score(calibration.Options(), bench.test.labels, bench.reference),
        },
        "runs": export_gate.choose(results, settings.export.prefer),
        "files": results,
    }


def _texts(workspace: Workspace, settings: Settings, classes: list[str], seed: int) -> Mapping[str, str]:
    """What goes into every file: labels, and what it takes and answers, whence it comes and on which terms."""
    modality = settings.data.modality
    metadata = {
        "name": settings.data.target.name,
        "version": hashlib.sha256(workspace.classifier("transfer", seed).read_bytes()).hexdigest()[:16],
        "licence": settings.export.licence or "not stated",
        "input": "one upright RGB picture, uint8 in [0, 255], (1, height, width, 3)",
        "modality": {"name": modality.name, **modality.options},
        "output": f"{len(classes)} probabilities, calibrated, in the order of {attached.LABELS}; "
        "an integer q stands for (q - zero point) * scale",
        "made_from": {"source": settings.data.source.name, "backbone": settings.pretrain.backbone.name, "seed": seed},
    }
    return {
        attached.LABELS: "\n".join(classes) + "\n",
        attached.METADATA: json.dumps(metadata, indent=2, ensure_ascii=False) + "\n",
    }


def _identity(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(folder: Path, content: dict[str, bytes], refused: bool) -> None:
    for name, data in content.items():
        (folder / (f"{name}.refused" if refused else name)).write_bytes(data)


if __name__ == "__main__":
    stage.main("export", export)
