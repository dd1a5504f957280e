"""What each exported file keeps of the model, weighs and takes: python -m benchmarks.files WORKSPACE...

In each WORKSPACE `graft run` has ended. Its shipped model and the variants of it (finetune.smaller) are converted to
every format below and each file answers every test picture, seen and unseen, as in the stage export. Then all that can
answer one picture take turns: each file on one thread and on as many as there are cores, Keras called as a function,
and the same inside `tf.function`. A turn's figure is the median of its calls, the one reported the median of the turns.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import record
from graft.core import settings as settings_file
from graft.core.processes import usable_cores
from tasks import conversion, stage, training
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.export import Bench, file_name
from tasks.workspace import HELD_OUT, Workspace

FORMATS = [
    *({"name": "tflite", "precision": one} for one in ("float32", "float16", "dynamic", "int8", "int4")),
    *({"name": "onnx", "precision": one} for one in ("float32", "int8")),
]
TURNS, CALLS, WARM_UP = 9, 50, 20
BARS = {
    "int8_drop_points": 1.0,
    "int8_agreement": 0.98,
    "float16_agreement": 1.0,
    "int8_of_float32_bytes": 0.28,
    "onnx_max_probability_difference": 1e-5,
    "int8_times_faster_than_tensorflow": 5.0,
    "variant_times_fewer_bytes_than_float16": 3.0,
}
WITHIN_POINTS = 1.0
"""What a variant's file may lose of the whole net's accuracy to count."""
KEPT = (
    "variant",
    "bytes",
    "accuracy",
    "accuracy_ci95",
    "agreement",
    "max_probability_difference",
    "worst_class_drop_points",
    "builtin_operators_only",
    "peak_memory_mb",
)

Ask = Callable[[], object]
"""One answer to one picture."""


def main(roots: list[Path]) -> None:
    """Both tables of every workspace, and which bars they meet."""
    results = {}
    for root in roots:
        workspace = Workspace(root.resolve())
        stage.keep_to_itself(workspace)
        settings = settings_file.load(workspace.params)
        results[f"{settings.data.target.name}, {settings.pretrain.backbone.name}"] = _measured(workspace)
    packages = ("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "tf2onnx", "ai-edge-quantizer", "numpy")
    record.write("files", packages, [0], {"bars": BARS, "models": results})


def _measured(workspace: Workspace) -> dict[str, Any]:
    said = settings_file.load(workspace.params)
    wanted = said.model_dump(by_alias=True) | {"export": said.export.model_dump() | {"formats": FORMATS}}
    settings = type(said).model_validate(wanted)
    seed = training.shipped_seed(files.read_json(workspace.finetune_report)["transfer"]["validation_accuracy"])
    held_out = [path for split in HELD_OUT if (path := workspace.held_out("target", split)).exists()]
    jobs = [conversion.Job(workspace, settings, seed, held_out, name) for name in ("", *settings.finetune.variants)]
    jobs = [job for job in jobs if job.model.exists()]
    test, made = arrays.read_all(held_out), conversion.convert(jobs, lambda done, total: None)
    benches = {job.variant: Bench(test, one, job.variant) for job, one in zip(jobs, made, strict=True)}
    table, contents = dict[str, Any](), dict[str, bytes]()
    for variant, bench in benches.items():
        for plugin, content in zip(Choices.of(settings).formats, bench.made.formats, strict=True):
            [(name, data)] = content.items()
            facts = bench.prove(plugin, content) | {"variant": variant, "bytes": len(data)}
            table[file_name(name, variant)] = {key: facts[key] for key in KEPT if key in facts}
            contents[file_name(name, variant)] = data
    model = models.calibrated(models.load(jobs[0].model), made[0].temperature)
    found = {
        "pictures": len(test),
        "keras_accuracy": benches[""].keras_accuracy,
        "variants": {
            name: {"keras_accuracy": bench.keras_accuracy, "parameters": bench.made.parameters}
            for name, bench in benches.items()
            if name
        },
        "files": table,
        "one_picture_ms": _milliseconds(contents, model, np.asarray(test.images[:1])),
    }
    print(_shown(found))
    return found | {"against_bars": _against_bars(found)}


def _shown(found: dict[str, Any]) -> str:
    """Nets by precision, as a Markdown table: bytes, accuracy, agreement with the net's own Keras model, time."""
    rows = [
        f"| {one['variant'] or 'whole'} | `{name}` | {one['bytes']:,} | {100 * one['accuracy']:.2f} | "
        f"{100 * one['agreement']:.2f} | {_fewest(found['one_picture_ms'], name):.2f} |"
        for name, one in found["files"].items()
    ]
    return "\n".join(["| net | file | bytes | accuracy % | agreement % | ms |", "|---|---|---|---|---|---|", *rows])


def _fewest(spent: dict[str, float], name: str) -> float:
    """Milliseconds of a file on the number of threads that suits it best."""
    return min(ms for asked, ms in spent.items() if f" {name}, " in asked)


def _milliseconds(contents: dict[str, bytes], model: Any, picture: Any) -> dict[str, float]:
    """The median of the turns of each, in milliseconds for one picture."""
    asked = _litert(contents, picture) | _onnx(contents, picture) | _tensorflow(model, picture)
    turns: dict[str, list[float]] = {name: [] for name in asked}
    for ask in asked.values():
        for _ in range(WARM_UP):
            ask()
    for _ in range(TURNS):
        for name, ask in asked.items():
            turns[name].append(median(_seconds(ask) for _ in range(CALLS)) * 1000)
    return {name: round(median(each), 3) for name, each in turns.items()}


def _seconds(ask: Ask) -> float:
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started


def _litert(contents: dict[str, bytes], picture: Any) -> dict[str, Ask]:
    from ai_edge_litert.interpreter import Interpreter

    def asker(content: bytes, threads: int) -> Ask:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
        entry, exit_ = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

        def ask() -> object:
            interpreter.set_tensor(entry, picture)
            interpreter.invoke()
            return interpreter.get_tensor(exit_)

        return ask

    return {
        f"litert {name}, {threads} threads": asker(content, threads)
        for name, content in contents.items()
        if name.endswith(".tflite")
        for threads in sorted({1, usable_cores()})
    }


def _onnx(contents: dict[str, bytes], picture: Any) -> dict[str, Ask]:
    import onnxruntime

    def asker(content: bytes, threads: int) -> Ask:
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(content, how, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(None, {name: picture})

    return {
        f"onnxruntime {name}, {threads} threads": asker(content, threads)
        for name, content in contents.items()
        if name.endswith(".onnx")
        for threads in sorted({1, usable_cores()})
    }


def _tensorflow(model: Any, picture: Any) -> dict[str, Ask]:
    """The same answer by Keras: raw picture in, probabilities out; on as many threads as TensorFlow takes."""
    import keras
    import tensorflow as tf

    def answer(pictures: Any) -> Any:
        return keras.ops.softmax(model(keras.ops.cast(pictures, "float32"), training=False))

    traced, compiled = tf.function(answer), tf.function(answer, jit_compile=True)
    held = tf.constant(picture)
    return {
        "keras model(x)": lambda: answer(picture).numpy(),
        "tf.function": lambda: traced(held).numpy(),
        "tf.function, compiled by XLA": lambda: compiled(held).numpy(),
    }


def _against_bars(found: dict[str, Any]) -> dict[str, float]:
    """The figures that BARS speak of."""
    table, spent = found["files"], found["one_picture_ms"]
    int8 = _fewest(spent, "model-int8.tflite")
    of_tensorflow = min(spent[name] for name in spent if name.startswith(("keras", "tf.")))
    return {
        "int8_drop_points": round(100 * (found["keras_accuracy"] - table["model-int8.tflite"]["accuracy"]), 3),
        "int8_agreement": table["model-int8.tflite"]["agreement"],
        "float16_agreement": table["model-float16.tflite"]["agreement"],
        "int8_of_float32_bytes": round(table["model-int8.tflite"]["bytes"] / table["model-float32.tflite"]["bytes"], 3),
        "onnx_max_probability_difference": table["model-float32.onnx"]["max_probability_difference"],
        "int8_times_faster_than_tensorflow": round(of_tensorflow / int8, 1),
        **_smallest(found),
    }


def _smallest(found: dict[str, Any]) -> dict[str, float]:
    """By how much the smallest TFLite file of a variant that loses no more than WITHIN_POINTS is smaller."""
    least, table = found["keras_accuracy"] - WITHIN_POINTS / 100, found["files"]
    sizes = [
        one["bytes"]
        for name, one in table.items()
        if one["variant"] and name.endswith(".tflite") and one["accuracy"] >= least
    ]
    fewer = round(table["model-float16.tflite"]["bytes"] / min(sizes), 2) if sizes else 1.0
    return {"variant_times_fewer_bytes_than_float16": fewer} if found["variants"] else {}


if __name__ == "__main__":
    main([Path(one) for one in sys.argv[1:]] or [Path.cwd()])
