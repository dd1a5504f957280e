"""What rounding costs a file, made by graft and by the converters alone: python -m benchmarks.rounding WORKSPACE

In WORKSPACE `graft run` has ended. The transfer arm's net of every seed becomes a file of each precision below float32,
once by `graft.exports.tflite` and once by TensorFlow's converter (int4: AI Edge Quantizer), used as it is documented,
both shown the same 200 representative pictures, in several draws. Each file answers every test picture, seen and
unseen; counted are the share on which it names the class that Keras names, and how far its probabilities are off.
"""

import contextlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from graft.core import fit, four_bits
from graft.core import settings as settings_file
from graft.exports import tflite
from tasks import stage
from tasks.adapters import arrays, console, files, models
from tasks.conversion import REPRESENTATIVE
from tasks.workspace import HELD_OUT, Workspace

OPTIONS = (
    tflite.Options(precision="float16"),
    tflite.Options(precision="dynamic"),
    tflite.Options(precision="int8"),
    tflite.Options(precision="int4"),
)
DRAWS = (0, 1)

Convert = Callable[[tflite.Options, Any, NDArray[np.uint8]], dict[str, bytes]]


def alone(options: tflite.Options, model: Any, samples: NDArray[np.uint8]) -> dict[str, bytes]:
    """The file that the usual tools make of `model`, from raw pictures to probabilities."""
    import keras
    import tensorflow as tf

    whole_numbers = options.precision == "int8"
    shape, dtype = (1, *model.input_shape[1:]), "float32" if whole_numbers else "uint8"
    picture = keras.Input(batch_shape=shape, dtype=dtype)
    logits = model(keras.ops.cast(picture, "float32"), training=False)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(picture, keras.ops.softmax(logits)))
    if options.precision != "int4":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if options.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if whole_numbers:
        ends = np.zeros(shape[1:], np.uint8)
        ends[0] = 255  # or the range of the input would be that of the samples
        converter.representative_dataset = lambda: ([one[None].astype(np.float32)] for one in (ends, *samples))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with contextlib.redirect_stdout(io.StringIO()):
        content = bytes(converter.convert())
    return {tflite.file_name(options): four_bits.quantised(content) if options.precision == "int4" else content}


WAYS: dict[str, Convert] = {"graft": tflite.convert, "alone": alone}


def main(root: Path) -> None:
    """Every seed, draw and precision; write benchmarks/results/rounding.json and print a table."""
    workspace = Workspace(root.resolve())
    stage.keep_to_itself(workspace)
    settings = settings_file.load(workspace.params)
    temperatures = files.read_json(workspace.evaluation)["temperature"]["transfer"]
    test = arrays.read_all([path for one in HELD_OUT if (path := workspace.held_out("target", one)).exists()])
    train, rows = arrays.read(workspace.packed("target", "train")), list[dict[str, Any]]()
    with console.progress("rounding") as progress:
        for seed, temperature in enumerate(temperatures):
            model = models.calibrated(models.load(workspace.classifier("transfer", seed)), temperature)
            expected = fit.softmax(fit.predict(model, test.images))
            for draw in DRAWS:
                chosen = np.random.default_rng(draw).choice(len(train), min(REPRESENTATIVE, len(train)), replace=False)
                samples = np.asarray(train.images[np.sort(chosen)])
                for options in OPTIONS:
                    rows += [
                        {"seed": seed, "draw": draw, "precision": options.precision, "way": way}
                        | _measured(options, convert, model, samples, test.images, expected)
                        for way, convert in WAYS.items()
                    ]
                    progress(len(rows), len(temperatures) * len(DRAWS) * len(OPTIONS) * len(WAYS))
    name = f"{settings.data.target.name}, {settings.pretrain.backbone.name}"
    table: dict[str, Any] = {
        one: {way: _mean(rows, one, way) for way in WAYS} for one in (options.precision for options in OPTIONS)
    }
    packages = ("tensorflow", "keras", "ai-edge-litert", "ai-edge-quantizer", "numpy")
    results = {"model": name, "pictures": len(test), "draws": list(DRAWS), "mean": table, "files": rows}
    record.write("rounding", packages, list(range(len(temperatures))), results)
    print(_shown(table))


def _measured(
    options: tflite.Options,
    convert: Convert,
    model: Any,
    samples: NDArray[np.uint8],
    pictures: NDArray[np.uint8],
    expected: NDArray[np.float32],
) -> dict[str, float]:
    started = time.process_time()
    made = convert(options, model, samples)
    seconds = time.process_time() - started
    off = tflite.run(options, made)(pictures) - expected
    agrees = (off + expected).argmax(axis=1) == expected.argmax(axis=1)
    return {
        "bytes": len(made[tflite.file_name(options)]),
        "agreement": round(float(agrees.mean()), 5),
        "rmse": round(float(np.sqrt((off**2).mean())), 6),
        "max_probability_difference": round(float(np.abs(off).max()), 5),
        "cpu_seconds": round(seconds, 1),
    }


def _mean(rows: list[dict[str, Any]], precision: str, way: str) -> dict[str, float]:
    mine = [one for one in rows if one["precision"] == precision and one["way"] == way]
    mean = {key: float(np.mean([one[key] for one in mine])) for key in ("bytes", "agreement", "rmse", "cpu_seconds")}
    return mean | {"least_agreement": min(one["agreement"] for one in mine)}


def _shown(table: dict[str, dict[str, dict[str, float]]]) -> str:
    """Precisions and ways as a Markdown table: bytes, agreement (the least of all), root mean square error, seconds."""
    rows = [
        f"| {precision} | {way} | {one['bytes']:,.0f} | {100 * one['agreement']:.2f} "
        f"({100 * one['least_agreement']:.2f}) | {1000 * one['rmse']:.2f} | {one['cpu_seconds']:.1f} |"
        for precision, ways in table.items()
        for way, one in ways.items()
    ]
    head = [
        "| precision | way | bytes | agreement % (least) | error, thousandths | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(head + rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
