"""What a file is, by content; and where the picture in it ends."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.core import containers


def encoded(format_: str, size: int = 40, **options: Any) -> bytes:
    pixels = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


SAVED = {
    "baseline": ("JPEG", {}),
    "progressive": ("JPEG", {"progressive": True}),
    "with restarts": ("JPEG", {"restart_marker_blocks": 2}),
    "with a comment that holds an end marker": ("JPEG", {"comment": b"\xff\xd9\xff\xd9"}),
    "png": ("PNG", {}),
    "compressed png": ("PNG", {"optimize": True}),
}


@pytest.mark.parametrize("how", SAVED)
@pytest.mark.parametrize("behind", [b"", b"x", b"PK\3\4 rest \xff\xd9", bytes(2000), b"IEND\xae\x42\x60\x82"])
def test_the_end_of_a_picture_is_found_whatever_lies_behind(how: str, behind: bytes) -> None:
    format_, options = SAVED[how]
    for size in (8, 33, 90):
        data = encoded(format_, size, **options)
        assert containers.end(data + behind) == len(data)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF", "ICO", "PDF"])
def test_a_kind_is_told_by_content(format_: str) -> None:
    assert containers.kind(encoded(format_)) == format_


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xda\0\1"]
)
def test_what_has_no_end_ends_with_its_last_byte(data: bytes) -> None:
    assert containers.end(data) == len(data)


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_no_mutant_is_read_beyond_its_end(format_: str) -> None:
    sound, generator = encoded(format_), np.random.default_rng(0)
    for _ in range(300):
        mutant = bytearray(sound[: generator.integers(2, len(sound))])
        for _ in range(4):
            mutant[generator.integers(len(mutant))] = generator.integers(256)
        assert 0 < containers.end(bytes(mutant)) <= len(mutant)
