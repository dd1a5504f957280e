"""Texts that travel inside a model file: a zip archive behind its bytes, as TFLite Metadata has its associated files.

Who runs the file never looks at it; `unzip -p model.tflite labels.txt` and every zip library do.
"""

import io
import zipfile
from collections.abc import Mapping

from graft.core.errors import BadInput

LABELS, METADATA = "labels.txt", "metadata.json"
"""Labels in the order of the output, a line each; and what the file is, takes and answers, and on which terms."""

MAX_BYTES = 10_000_000
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first day of zip: the same texts give the same bytes


def attach(content: bytes, members: Mapping[str, str | bytes]) -> bytes:
    """`content` with `members` (file name to bytes, or to text that becomes UTF-8) in a zip archive behind it.

    Where there is an archive already, they join it.
    """
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, member in members.items():
            data = member if isinstance(member, bytes) else member.encode("utf-8")
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), data)
    return buffer.getvalue()


def read(content: bytes) -> dict[str, str]:
    """The texts behind a file; empty if there are none.

    Raises:
        BadInput: what is there is damaged, too large or no text.
    """
    buffer = io.BytesIO(content)
    if not zipfile.is_zipfile(buffer):
        return {}
    try:
        with zipfile.ZipFile(buffer) as archive:
            if sum(one.file_size for one in archive.infolist()) > MAX_BYTES:
                raise BadInput(f"the texts inside the file have more than {MAX_BYTES} bytes")
            return {one.filename: archive.read(one).decode("utf-8") for one in archive.infolist()}
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError) as error:
        raise BadInput(f"the texts inside the file are damaged: {error}") from None
