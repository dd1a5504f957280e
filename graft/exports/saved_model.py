"""SavedModel: TensorFlow's own folder for servers, as one zip; preprocessing and softmax are inside."""

import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from graft.core import attached
from graft.core.processes import usable_cores

RUNTIME = "tensorflow"
FILE = "model.saved_model.zip"
EXTRA = "assets.extra"
"""The folder that SavedModel leaves to whoever makes one."""

BATCH = 64


class Options(BaseModel):
    """Numbers are kept as the model has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    precision: Literal["float32"] = "float32"


def convert(options: Options, model: Any, samples: NDArray[np.uint8]) -> dict[str, bytes]:
    """The model as a zipped SavedModel, whose endpoint `serve` takes (batch, size, size, 3) uint8.

    Args:
        model: keras.Model, (batch, size, size, 3) float32 in [0, 255] to (batch, classes) logits.
        samples: not needed.
    """
    import keras

    picture = keras.Input(model.input_shape[1:], dtype="uint8", name="picture")
    logits = model(keras.ops.cast(picture, "float32"), training=False)
    whole = keras.Model(picture, keras.ops.softmax(logits))
    with tempfile.TemporaryDirectory() as folder:
        whole.export(folder, format="tf_saved_model", verbose=False)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {FILE: attached.attach(b"", {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})}


def attach(options: Options, files: dict[str, bytes], texts: Mapping[str, str]) -> dict[str, bytes]:
    """The files with `texts` inside, by name, in the folder assets.extra."""
    return {FILE: attached.attach(files[FILE], {f"{EXTRA}/{name}": text for name, text in texts.items()})}


def texts(options: Options, files: dict[str, bytes]) -> dict[str, str]:
    """What `attach` put inside."""
    with zipfile.ZipFile(io.BytesIO(files[FILE])) as archive:
        names = [name for name in archive.namelist() if name.startswith(f"{EXTRA}/")]
        return {name.removeprefix(f"{EXTRA}/"): archive.read(name).decode("utf-8") for name in names}


def run(options: Options, files: dict[str, bytes]) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function from raw pictures (n, size, size, 3) uint8 to probabilities (n, classes) float32, by TensorFlow."""
    loaded = _loaded(files)  # its variables live as long as it does

    def answer(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts = range(0, len(pictures), BATCH)
        return np.concatenate([loaded.serve(np.asarray(pictures[at : at + BATCH])).numpy() for at in starts])

    return answer


def describe(options: Options, files: dict[str, bytes]) -> dict[str, Any]:
    """What the file is: input and output, threads used here, and whether it needs no Python to run."""
    loaded = _loaded(files)
    signature = loaded.signatures["serving_default"]
    [entry], [exit_] = signature.structured_input_signature[1].values(), signature.structured_outputs.values()
    ops = {node.op for node in signature.graph.as_graph_def().node}
    return {
        "format": "saved_model",
        "precision": options.precision,
        "input": f"{_shape(entry)} {entry.dtype.name}",
        "output": f"{_shape(exit_)} {exit_.dtype.name}",
        "many": True,
        "threads": usable_cores(),
        "builtin_operators_only": not ops & {"PyFunc", "EagerPyFunc", "PyFuncStateless"},
    }


def _loaded(files: dict[str, bytes]) -> Any:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(io.BytesIO(files[FILE])) as archive:
            archive.extractall(folder)
        return tf.saved_model.load(folder)


def _shape(spec: Any) -> str:
    return "x".join("n" if edge is None else str(edge) for edge in spec.shape)
