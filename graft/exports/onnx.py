"""ONNX: raw uint8 pictures in, float32 probabilities out; preprocessing and softmax are inside the file."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from graft.core import integers, rounded
from graft.core.errors import BadInput
from graft.core.extras import Extra, lacking

RUNTIME = "onnxruntime"
THREADS = 1
NEEDS = Extra("onnx", ("onnx", "onnxruntime", "tf2onnx"))
BATCH = 64


class Options(BaseModel):
    """How numbers are kept in the file.

    Attributes:
        precision: int8 keeps weights and activations as integers between a float32 start and end (QDQ nodes).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    precision: Literal["float32", "int8"] = "float32"


def needs(options: Options) -> Extra:
    """What has to be installed."""
    return NEEDS


def file_name(options: Options) -> str:
    """Name of the file that `convert` makes."""
    return f"model-{options.precision}.onnx"


def convert(options: Options, model: Any, samples: NDArray[np.uint8]) -> dict[str, bytes]:
    """The model as an ONNX file, by tf2onnx.

    int8 quantises after training (Jacob et al. 2018), weights for each channel apart and one making up for another (see
    `rounded`), with ranges read off `samples`.

    Args:
        model: keras.Model, (batch, size, size, 3) float32 in [0, 255] to (batch, classes) logits.
        samples: (n, size, size, 3) uint8, representative pictures from the training rows.

    Returns:
        File name to content. Input (batch, size, size, 3) uint8, output (batch, classes) float32 probabilities.

    Raises:
        BadInput: the packages of the extra `onnx` are not installed.
    """
    _check_installed()
    import keras

    model = _settled(model, samples) if options.precision == "int8" else model
    picture = keras.Input(model.input_shape[1:], dtype="uint8", name="picture")
    logits = model(keras.ops.cast(picture, "float32"), training=False)
    whole = keras.Model(picture, keras.ops.softmax(logits))
    whole(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports only what was called
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)  # Keras patches tf2onnx
            whole.export(path, format="onnx", verbose=False)
        if options.precision == "int8":
            path = _quantised(path, samples)
        return {file_name(options): path.read_bytes()}


def attach(options: Options, files: dict[str, bytes], texts: Mapping[str, str]) -> dict[str, bytes]:
    """The files with `texts` inside, by name: ONNX's own metadata properties."""
    import onnx

    model = onnx.load_from_string(files[file_name(options)])
    onnx.helper.set_model_props(model, dict(texts))
    return {file_name(options): model.SerializeToString(deterministic=True)}


def texts(options: Options, files: dict[str, bytes]) -> dict[str, str]:
    """What `attach` put inside."""
    return dict(_session(options, files).get_modelmeta().custom_metadata_map)


def run(options: Options, files: dict[str, bytes]) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from raw pictures (n, size, size, 3) uint8 to probabilities (n, classes) float32.

    The file is run by ONNX Runtime on one thread, many pictures at once.
    """
    session = _session(options, files)
    name = session.get_inputs()[0].name

    def answer(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts = range(0, len(pictures), BATCH)
        parts = [session.run(None, {name: np.asarray(pictures[at : at + BATCH])})[0] for at in starts]
        return np.concatenate(parts).astype(np.float32)

    return answer


def describe(options: Options, files: dict[str, bytes]) -> dict[str, Any]:
    """What the file is: input and output, threads used here, and whether all its operators are ONNX's own."""
    import onnx

    session, model = _session(options, files), onnx.load_from_string(files[file_name(options)])
    entry, exit_ = session.get_inputs()[0], session.get_outputs()[0]
    return {
        "format": "onnx",
        "precision": options.precision,
        "input": f"{_shape(entry.shape)} {_dtype(entry.type)}",
        "output": f"{_shape(exit_.shape)} {_dtype(exit_.type)}",
        "many": True,
        "threads": THREADS,
        "builtin_operators_only": {node.domain for node in model.graph.node} <= {"", "ai.onnx"},
    }


def _settled(model: Any, samples: NDArray[np.uint8]) -> Any:
    return rounded.settled(integers.rewritten(model, samples), samples, rounded.EIGHT)


def _quantised(path: Path, samples: NDArray[np.uint8]) -> Path:
    from onnxruntime import quantization

    class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[Any] = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            row = next(self._rows, None)
            return None if row is None else {"picture": row[None]}

    small = path.with_name("int8.onnx")
    with _quiet():
        quantization.quantize_static(path, small, Samples(), per_channel=True)
    return small


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime says at every turn that a model might be prepared first, which changes no answer."""
    import logging

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _session(options: Options, files: dict[str, bytes]) -> Any:
    _check_installed()
    import onnxruntime

    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = THREADS
    return onnxruntime.InferenceSession(files[file_name(options)], how, providers=["CPUExecutionProvider"])


def _check_installed() -> None:
    if lack := lacking(NEEDS):
        raise BadInput(f"export.formats names onnx, which {lack}")


def _shape(edges: list[Any]) -> str:
    return "x".join(str(edge) if isinstance(edge, int) else "n" for edge in edges)


def _dtype(name: str) -> str:
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32"}.get(inner, inner)
