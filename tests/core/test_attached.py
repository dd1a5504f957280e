"""Labels and terms ride behind a file's bytes: any zip reader finds them, and the bytes in front stay as they were."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from graft.core import attached
from graft.core.errors import BadInput

TEXTS = {"labels.txt": "rose\nköln\n芍药\n", "metadata.json": "{}\n"}


def test_what_was_attached_is_read_and_the_front_is_untouched() -> None:
    front = bytes(range(256)) * 9
    whole = attached.attach(front, TEXTS)
    assert whole.startswith(front) and attached.read(whole) == TEXTS
    assert attached.attach(front, TEXTS) == whole


def test_a_file_without_texts_has_none() -> None:
    assert attached.read(b"TFL3" * 100) == {}


def test_unzip_finds_the_labels(tmp_path: Path) -> None:
    if not (unzip := shutil.which("unzip")):
        pytest.skip("unzip is not installed")
    (tmp_path / "model.tflite").write_bytes(attached.attach(b"\x1c\0\0\0TFL3" * 50, TEXTS))
    done = subprocess.run([unzip, "-p", str(tmp_path / "model.tflite"), "labels.txt"], capture_output=True)
    assert done.stdout.decode() == TEXTS["labels.txt"]


def test_damaged_texts_are_an_error_and_never_half_read() -> None:
    whole = bytearray(attached.attach(b"front" * 20, TEXTS))
    whole[whole.index("köln".encode())] ^= 1
    with pytest.raises(BadInput, match="the texts inside the file are damaged"):
        attached.read(bytes(whole))


def test_texts_beyond_reason_are_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", b"\0" * (attached.MAX_BYTES + 1))
    with pytest.raises(BadInput, match="more than 10000000 bytes"):
        attached.read((tmp_path / "bomb").read_bytes())
