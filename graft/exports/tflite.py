"""TFLite: raw uint8 picture in, probabilities out; preprocessing and softmax are inside the file."""

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from graft.core import attached, fit, four_bits, gptq, halves, integers, litert, rounded, vectors
from graft.core.errors import BadInput
from graft.core.extras import Extra

RUNTIME = "ai_edge_litert.interpreter"
THREADS = 1
AT_END = 0.03
"""Share of a layer's values at the end of their range from which on the range is too narrow."""

RECTIFIED = 6.0
"""Where a ReLU6 ends (Krizhevsky 2010): many values stand there by rights."""

READY = {"int8": integers.rewritten, "dynamic": integers.evened, "int4": integers.evened}
"""What a model becomes before its weights become integers."""

BITS = {
    "float16": {"Conv2D": gptq.HALF, "DepthwiseConv2D": gptq.HALF, "Dense": gptq.HALF},
    "dynamic": {"Conv2D": 8, "Dense": 8},
    "int8": rounded.EIGHT,
    "int4": rounded.EIGHT | {"Conv2D": 4},
}
"""Of a weight, by class of the layers whose weights make up for one another."""

FINISHED = {"float16": halves.halved, "int4": four_bits.quantised}
"""What makes the file of one of float32, where TensorFlow's converter does not."""


class Options(BaseModel):
    """How numbers are kept in the file.

    Attributes:
        precision: of weights and activations. float16 keeps weights in half the bytes; dynamic keeps weights as int8
            and reckons each picture's activation ranges while it runs; int4 does so with weights of 4 bits (see
            `four_bits`); int8 keeps everything as integers, input and output included, with ranges read off
            representative pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    precision: Literal["float32", "float16", "dynamic", "int8", "int4"] = "float32"


def needs(options: Options) -> Extra | None:
    """What has to be installed beside graft itself."""
    return four_bits.NEEDS if options.precision == "int4" else None


def file_name(options: Options) -> str:
    """Name of the file that `convert` makes."""
    return f"model-{options.precision}.tflite"


def convert(options: Options, model: Any, samples: NDArray[np.uint8]) -> dict[str, bytes]:
    """The model as a TFLite file.

    Below float32 the weights of a layer make up for one another (see `rounded`). int8 quantises weights and activations
    after training (Jacob et al. 2018), weights for each channel apart (Krishnamoorthi 2018), with ranges read off
    `samples`, and then once more with what is left of rounding in the logits taken off (see `integers.corrected`).

    Args:
        model: keras.Model, (batch, size, size, 3) float32 in [0, 255] to (batch, classes) logits.
        samples: (n, size, size, 3) uint8, representative pictures from the training rows.

    Returns:
        File name to content. Input (1, size, size, 3) uint8, output (1, classes) float32 probabilities; of int8, uint8
        that stand for them, see `litert.as_float`.

    Raises:
        BadInput: the model has operations that TFLite has no built-in operator for; the text names them. Or int4's
            package is not installed.
    """
    content = _converted(options, model, samples)
    content = FINISHED.get(options.precision, bytes)(content)
    return {file_name(options): vectors.shared(content) if options.precision in READY else content}


def _converted(options: Options, model: Any, samples: NDArray[np.uint8]) -> bytes:
    if options.precision not in BITS:
        return _written(options, model, samples)
    ready = READY[options.precision](model, samples) if options.precision in READY else model
    settled = rounded.settled(ready, samples, BITS[options.precision])
    if options.precision != "int8":
        return _written(options, settled, samples)
    content = _written(options, settled, samples)
    better = integers.corrected(settled, fit.predict(ready, samples), _logits(content, samples))
    return content if better is settled else _written(options, better, samples)


def _written(options: Options, model: Any, samples: NDArray[np.uint8]) -> bytes:
    """By TensorFlow's own converter, which leaves those at float32 that are `FINISHED` by others."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    converter = tf.lite.TFLiteConverter.from_keras_model(_with_raw_ends(options, model))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if options.precision in ("dynamic", "int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if options.precision == "int8":
        shown = [_all_bytes(samples), *samples]
        converter.representative_dataset = lambda: ([one[None].astype(np.float32)] for one in shown)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # Keras prints every captured variable
            return bytes(converter.convert())
    except ConverterError as error:
        lacking = re.findall(r"(?:Custom|Flex|TF Select) ops: (.*)", str(error)) or str(error).splitlines()[:1]
        raise BadInput(
            f"{file_name(options)} cannot be made of built-in operators alone: {', '.join(lacking)} has none; another "
            "backbone would do, or format saved_model"
        ) from None


def attach(options: Options, files: dict[str, bytes], texts: Mapping[str, str]) -> dict[str, bytes]:
    """The files with `texts` inside, by name; see `attached`."""
    return {name: attached.attach(content, texts) for name, content in files.items()}


def texts(options: Options, files: dict[str, bytes]) -> dict[str, str]:
    """What `attach` put inside."""
    return attached.read(files[file_name(options)])


def run(options: Options, files: dict[str, bytes]) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from raw pictures (n, size, size, 3) uint8 to probabilities (n, classes) float32.

    The file is run by LiteRT on one thread, a picture at a time, as a phone would.
    """
    interpreter = _interpreter(options, files)
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def answer(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = []
        for picture in pictures:
            interpreter.set_tensor(entry["index"], picture[None])
            interpreter.invoke()
            answers.append(interpreter.get_tensor(exit_["index"])[0].copy())
        return litert.as_float(np.stack(answers), exit_)

    return answer


def describe(options: Options, files: dict[str, bytes]) -> dict[str, Any]:
    """What the file is: input and output, threads used here, and whether all its operators are built in.

    `many` says whether it takes several pictures at once.
    """
    interpreter = _interpreter(options, files)
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    return {
        "format": "tflite",
        "precision": options.precision,
        "input": f"{_shape(entry)} {entry['dtype'].__name__}",
        "output": f"{_shape(exit_)} {exit_['dtype'].__name__}",
        "many": False,
        "threads": THREADS,
        "builtin_operators_only": not custom_operators(interpreter),
    }


def cut_off(options: Options, files: dict[str, bytes], pictures: NDArray[np.uint8]) -> str:
    """What is wrong with the ranges of an integer file, in a few words; "" if nothing is.

    A range that is too narrow shows: more than a few of some layer's values on `pictures` stand at its end.
    """
    interpreter = _transparent(files[file_name(options)])
    entry = interpreter.get_input_details()[0]
    scale, zero = entry["quantization"]
    if scale and abs(scale - 1.0) > 1e-3 or zero:
        return f"in the file a picture's 255 stands for {255 * scale - zero * scale:.1f}"
    layers = _integer_layers(interpreter)
    ends = np.zeros(len(layers))
    for picture in pictures:
        interpreter.set_tensor(entry["index"], picture[None])
        interpreter.invoke()
        ends += [_share_at_end(interpreter.get_tensor(one["index"]), one) for one in layers]
    worst = float(ends.max(initial=0.0)) / len(pictures)
    return f"{worst:.0%} of a layer's values are cut off at the end of their range" if worst > AT_END else ""


def custom_operators(interpreter: Any) -> list[str]:
    """Names of operators that a plain LiteRT runtime lacks: custom ones and those of TensorFlow itself."""
    # the runtime's own delegate shows up beside the file's operators and is no part of the file
    names = {op["op_name"] for op in interpreter._get_ops_details()} - {"DELEGATE"}
    return sorted(name for name in names if name.startswith(("Flex", "Custom")) or name == "CUSTOM")


def _interpreter(options: Options, files: dict[str, bytes]) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=files[file_name(options)], num_threads=THREADS)
    interpreter.allocate_tensors()
    return interpreter


def _transparent(content: bytes) -> Any:
    """An interpreter in which all tensors can be looked at; XNNPACK would keep none."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=content, experimental_preserve_all_tensors=True, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    return interpreter


def _logits(content: bytes, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, classes) what an integer file gives to its softmax, as the real numbers that it stands for."""
    interpreter = _transparent(content)
    entry = interpreter.get_input_details()[0]
    last = next(op for op in reversed(interpreter._get_ops_details()) if op["op_name"] == "SOFTMAX")
    detail = next(one for one in interpreter.get_tensor_details() if one["index"] == last["inputs"][0])
    found = []
    for picture in pictures:
        interpreter.set_tensor(entry["index"], picture[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(detail["index"])[0].copy())
    return litert.as_float(np.stack(found), detail)


def _integer_layers(interpreter: Any) -> list[dict[str, Any]]:
    """Tensors that come out of a layer as integers. A softmax ends at 1 by rights and input pictures at 255."""
    reckons = [op for op in interpreter._get_ops_details() if op["op_name"] not in ("SOFTMAX", "QUANTIZE")]
    made = {int(index) for op in reckons for index in op["outputs"]}
    tensors = [one for one in interpreter.get_tensor_details() if one["index"] in made]
    return [one for one in tensors if one["dtype"] in (np.int8, np.uint8) and one["quantization"][0]]


def _share_at_end(values: NDArray[Any], detail: dict[str, Any]) -> float:
    """Share of values at the top of the range, or at its bottom: unless that is where a rectifier ends, at 6 or 0."""
    limits, (scale, zero) = np.iinfo(values.dtype), detail["quantization"]
    natural = abs((limits.max - zero) * scale - RECTIFIED) < scale
    top = 0.0 if natural else float((values == limits.max).mean())
    return max(top, float((values == limits.min).mean()) if zero != limits.min else 0.0)


def _with_raw_ends(options: Options, model: Any) -> Any:
    """`model` from raw picture to probabilities. Integer conversion makes the input uint8 itself."""
    import keras

    dtype = "float32" if options.precision == "int8" else "uint8"
    picture = keras.Input(batch_shape=(1, *model.input_shape[1:]), dtype=dtype, name="picture")
    logits = model(keras.ops.cast(picture, "float32"), training=False)
    return keras.Model(picture, keras.ops.softmax(logits))


def _all_bytes(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first sample with one black and one white pixel.

    The input's range is read off the samples, too: were it not 0 to 255, the file would take raw bytes for others.
    """
    first: NDArray[np.uint8] = samples[0].copy()
    first[0, 0], first[-1, -1] = 0, 255
    return first


def _shape(detail: dict[str, Any]) -> str:
    return "x".join(str(int(edge)) for edge in detail["shape"])
