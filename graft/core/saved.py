"""Classifiers from files that somebody hands over: small enough, the one that was named, and free of code."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput, one_line
from graft.core.names import is_safe

MAX_BYTES = 500_000_000


def classifier(name: str, sha256: str, n_classes: int, setting: str) -> Any:
    """The Keras model in the file `name`: pictures (batch, height, width, channels) to (batch, n_classes) logits.

    Args:
        name: relative to the current folder (stages run in the workspace) and inside it, a .keras file.
        sha256: of the file, in hexadecimal.
        setting: where the name stands ("finetune.method.teacher"), for the error's text.

    Raises:
        BadInput: there is no such file, it is too large, another one, no model that loads safely, or of other classes.
    """
    import keras

    path = Path(name)
    if not is_safe(name) or path.suffix != ".keras" or not path.resolve().is_relative_to(Path.cwd().resolve()):
        raise BadInput(f"{setting} is {one_line(name)!r}; the path of a .keras file below the workspace would do")
    if not path.is_file():
        raise BadInput(f"{setting}: there is no file {one_line(name)}")
    with path.open("rb") as stream:
        size = path.stat().st_size
        found = hashlib.file_digest(stream, "sha256").hexdigest() if size <= MAX_BYTES else ""
    if size > MAX_BYTES or _unpacked(path) > MAX_BYTES:
        raise BadInput(f"{setting}: {name} has more than {MAX_BYTES} bytes, or would have, unpacked")
    if found != sha256:
        raise BadInput(f"{setting}: {name} has sha256 {found}; {setting}_sha256 is {sha256}")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        told = one_line(str(error).strip().partition("\n")[0], 200)
        raise BadInput(f"{setting}: {name} is no model that loads safely: {told}") from None
    if getattr(model, "output_shape", None) != (None, n_classes):
        raise BadInput(
            f"{setting}: {name} answers {getattr(model, 'output_shape', None)}; {(None, n_classes)} would do"
        )
    return model


def _unpacked(path: Path) -> int:
    """Bytes of all that a .keras file holds; 0 if it is none (loading it says so)."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
