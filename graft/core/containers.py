"""What kind of file some bytes are, and where the picture in them ends: by content, never by name."""

import struct
import zlib

SIGNATURES = (
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"GIF8", 0, "GIF"),
    (b"WEBP", 8, "WebP"),
    (b"BM", 0, "BMP"),
    (b"II*\0", 0, "TIFF"),
    (b"MM\0*", 0, "TIFF"),
    (b"ftyp", 4, "HEIF, AVIF or a film"),
    (b"%PDF", 0, "PDF"),
    (b"%!PS", 0, "PostScript"),
    (b"\0\0\1\0", 0, "ICO"),
    (b"PK\3\4", 0, "ZIP"),
    (b"<svg", 0, "SVG"),
    (b"<?xml", 0, "XML or SVG"),
    (b"<!DOCTYPE", 0, "HTML"),
    (b"<html", 0, "HTML"),
)

ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""The passes of an interlaced PNG: first row and step, first column and step."""
PIECE = 1_000_000


def kind(data: bytes) -> str:
    """JPEG, PNG, GIF, ...; "" if the first bytes are nobody's."""
    return next((name for magic, at, name in SIGNATURES if data[at : at + len(magic)] == magic), "")


def end(data: bytes) -> int:
    """Where the JPEG or PNG at the start of `data` ends, in bytes; its length if that cannot be told.

    What lies behind is no part of the picture: another file glued to it (a polyglot), or rubbish.
    """
    reader = {"JPEG": _jpeg_end, "PNG": _png_end}.get(kind(data))
    return reader(data) if reader else len(data)


def damage(data: bytes) -> str:
    """Why the PNG at the start of `data` is not whole: cut off, changed since it was written, rows missing; or "".

    Pillow does not look at the checksums over the pixels, and leaves those black that are not there. A JPEG has no
    checksums.
    """
    if kind(data) != "PNG":
        return ""
    at, whole, packed = 8, memoryview(data), []
    palette_missing = data[25] == 3  # by its colour type
    while at + 12 <= len(data):
        name, last = data[at + 4 : at + 8], at + 8 + int.from_bytes(data[at : at + 4], "big")
        needed = not name[0] & 0x20  # by its first letter's case
        if needed and zlib.crc32(whole[at + 4 : last]) != int.from_bytes(data[last : last + 4], "big"):
            return f"the checksum of {name!r} is wrong"
        palette_missing = palette_missing and name != b"PLTE"
        if name == b"IDAT":
            packed.append(whole[at + 8 : last])
        if name == b"IEND" and palette_missing:
            return "it has no palette"
        if name == b"IEND":
            return "" if _unpacks(packed, _png_size(data)) else "it has fewer pixels than it says"
        at = last + 4
    return "it is cut off"


def _png_size(data: bytes) -> int:
    """How many bytes its pixels unpack to."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 0)
    size = 0
    for top, down, left, right in ADAM7 if interlaced else ((0, 1, 0, 1),):
        rows, columns = -((top - height) // down), -((left - width) // right)
        size += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    return size


def _unpacks(packed: list[memoryview], size: int) -> bool:
    """Whether they hold `size` bytes or more; no more than a piece of them is in memory."""
    unpacker = zlib.decompressobj()
    try:
        for part in packed:
            rest: bytes | memoryview = part
            while rest and size > 0:
                size -= len(unpacker.decompress(rest, PIECE))
                rest = unpacker.unconsumed_tail
    except zlib.error:
        return False
    return size <= 0


def _png_end(data: bytes) -> int:
    at = 8
    while at + 12 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + length
        if name == b"IEND":
            return min(at, len(data))
    return len(data)


def _jpeg_end(data: bytes) -> int:
    at = 2
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:  # padding
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA:
                at = _after_scan(data, at)
    return len(data)


def _after_scan(data: bytes, at: int) -> int:
    """The next marker that ends the entropy-coded data from `at` on: in those, FF stands before 0 or a restart."""
    while (at := data.find(b"\xff", at)) >= 0:
        following = data[at + 1] if at + 1 < len(data) else 0
        if following != 0 and not 0xD0 <= following <= 0xD7 and following != 0xFF:
            return at
        at += 1
    return len(data)
