"""Keras models on disk: without optimizer state, whole or not at all, loaded in safe mode only."""

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

    if not path.is_file():
        raise BadInput(f"{path.name} is missing from {path.parent}; an earlier stage makes it: graft run")
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise BadInput(f"{path} has {path.stat().st_size} bytes; models here have at most {MAX_MODEL_BYTES}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise BadInput(f"{path} is no model that loads safely: {str(error).splitlines()[0]}") from None
