"""Keras models on disk: without optimizer state, whole or not at all, loaded in safe mode only."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput

MAX_MODEL_BYTES = 500_000_000


def save(model: Any, path: Path) -> None:
    """Write `model` without its optimizer."""
    import keras

    from tasks.adapters.files import written_aside

    bare = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # uncompiled: a third of the bytes
    with written_aside(path) as aside:
        keras_path = aside.with_name(aside.name + ".keras")  # Keras insists on the suffix
        bare.save(keras_path)
        keras_path.rename(aside)


def calibrated(model: Any, temperature: float) -> Any:
    """`model` with its logits divided by `temperature`."""
    import keras

    return keras.Model(model.inputs[0], model.outputs[0] / temperature, name=model.name)


def load(path: Path) -> Any:
    """The model in `path`, uncompiled.

    Raises:
        BadInput: it is missing, too large or no Keras model.
    """
    import keras

    with _explained(path):
        return keras.saving.load_model(path, compile=False, safe_mode=True)


class Loader:
    """Models one after the other. Where the next one differs in its weights alone, its network is not built again."""

    def __init__(self) -> None:
        self._model: Any = None
        self._config = b""

    def load(self, path: Path) -> Any:
        """As `load`. What was returned before may be what this returns, with other weights in it."""
        with _explained(path):
            config = _config(path)
            model, self._model = self._model, None  # weights of which some were read are no model
            if model is not None and config == self._config:
                model.load_weights(path)
            else:
                model = load(path)
        self._model, self._config = model, config
        return model


def _config(path: Path) -> bytes:
    """What the file says of the network."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("config.json")
        if info.file_size > MAX_MODEL_BYTES:
            raise ValueError(f"config.json has {info.file_size} bytes")
        return archive.read(info)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What is wrong with the file, before it is read and when it is."""
    if not path.is_file():
        raise BadInput(f"{path.name} is missing from {path.parent}; an earlier stage makes it: graft run")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise BadInput(f"{path} has {path.stat().st_size} bytes; models here have at most {MAX_MODEL_BYTES}")
    try:
        yield
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is no model that loads safely: {str(error).splitlines()[0]}") from None
