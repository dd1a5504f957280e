"""Bad input of every kind that we could think of, as real bytes, each with the verdict that the data gate owes it.

A kind is a function whose name says what it makes. `SEVERITIES` says what the settings of a fresh clone make of a rule.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageSequence

Pixels = NDArray[np.uint8]

SEVERITIES = {
    **dict.fromkeys(("unreadable", "unsafe_file", "label_conflict", "few_images", "class_names"), "stop"),
    **dict.fromkeys(("missing_split", "labels_per_class", "one_class"), "stop"),
    **dict.fromkeys(("format", "too_large", "animated", "mode", "too_small", "aspect"), "reject"),
    **dict.fromkeys(("exact_duplicate", "split_leak", "domain_leak"), "reject"),
    **dict.fromkeys(("suffix", "trailing_bytes", "dark", "light", "blurred", "low_information"), "warn"),
    **dict.fromkeys(("near_duplicate", "near_label_conflict", "imbalance"), "warn"),
    **dict.fromkeys(("drift_classes", "drift_brightness", "drift_features"), "warn"),
}


class Sample(NamedTuple):
    """A file.

    Attributes:
        pixels: (height, width, 3), what the gate should see if it takes the file; None if it should not.
        within: how far the seen pixels may be off, on average, of 255.
    """

    data: bytes
    pixels: Pixels | None = None
    within: float = 0.0


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        broken: exactly the rules that it breaks; nothing else is asked of what cannot be read.
        suffix: of its name.
        either: it may also break nothing: both answers are right.
    """

    name: str
    make: Callable[[], Sample]
    broken: frozenset[str]
    suffix: str
    either: bool


KINDS: dict[str, Kind] = {}


def kind(*broken: str, suffix: str = ".png", either: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Registers a function without arguments that returns bytes or a Sample."""

    def register(make: Callable[[], Any]) -> Any:
        def sample() -> Sample:
            made = make()
            return made if isinstance(made, Sample) else Sample(made)

        name = make.__name__
        KINDS[name] = Kind(name, sample, frozenset(broken), suffix, either)
        return make

    return register


# What files are made of


def scene(name: str, width: int = 64, height: int = 48) -> Pixels:
    """A sharp, colourful picture that looks like no other: it depends on `name` alone."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    blocks = generator.integers(20, 236, (6, 8, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
    grain = generator.integers(-12, 13, (height, width, 3))
    return np.clip(blocks[rows][:, columns] + grain, 0, 255).astype(np.uint8)


def saved(pixels: Pixels | Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def rgb(data: bytes) -> Pixels:
    """What Pillow makes of a sound file, no EXIF looked at."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, packed: bytes, *more: bytes, interlace: int = 0) -> bytes:
    """A PNG with `packed` as its compressed pixels and `more` chunks before them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zeros(n: int) -> bytes:
    """What zlib makes of `n` zero bytes, for any `n` in no time: one block again and again, and the sum it has."""
    size = 1_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    rest = last.compress(bytes(n % size)) + last.flush()
    return b"\x78\xda" + block * (n // size) + rest + struct.pack(">I", (n % 65521) << 16 | 1)


def orientation(value: bytes, type_: int = 3, count: int = 1) -> bytes:
    """EXIF that holds nothing but an orientation, `value` as it stands in the file."""
    return b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12" + struct.pack(">HI", type_, count) + value.ljust(4, b"\0") + bytes(4)


def flipped(data: bytes, at: int) -> bytes:
    """One bit changed."""
    return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("run.sh", "echo hello")
    return buffer.getvalue()


# Files that are cut off, changed or empty


@kind("unreadable")
def empty() -> bytes:
    return b""


def _cut(name: str, format_: str, where: Callable[[bytes], int]) -> None:
    def make() -> bytes:
        data = saved(scene(name), format_)
        return data[: where(data)]

    make.__name__ = name
    kind("unreadable", suffix=".jpg" if format_ == "JPEG" else ".png")(make)


_cut("jpeg_cut_in_its_header", "JPEG", lambda data: 100)
_cut("jpeg_cut_before_its_pixels", "JPEG", lambda data: data.index(b"\xff\xda"))
_cut("jpeg_cut_in_the_middle", "JPEG", lambda data: len(data) // 2)
_cut("jpeg_cut_shortly_before_its_end", "JPEG", lambda data: len(data) - 20)
_cut("jpeg_without_its_end", "JPEG", lambda data: len(data) - 2)
_cut("png_cut_after_its_signature", "PNG", lambda data: 8)
_cut("png_cut_in_its_header", "PNG", lambda data: 20)
_cut("png_cut_in_the_middle", "PNG", lambda data: len(data) // 2)
_cut("png_cut_after_its_pixels", "PNG", lambda data: len(data) - 12)
_cut("png_without_its_last_byte", "PNG", lambda data: len(data) - 1)


@kind("unreadable")
def png_with_a_bit_flipped_in_its_pixels() -> bytes:
    data = saved(scene("flip"))
    return flipped(data, len(data) // 2)


@kind("unreadable")
def png_with_a_bit_flipped_where_zlib_does_not_notice() -> bytes:
    """Stored, not compressed: unpacks to other pixels."""
    pixels = scene("stored")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    data = png(64, 48, 8, 2, zlib.compress(rows, 0))
    return flipped(data, data.index(b"IDAT") + 5000)


@kind("unreadable")
def png_with_a_bit_flipped_in_its_header() -> bytes:
    return flipped(saved(scene("header")), 18)


@kind("unreadable", suffix=".jpg", either=True)
def jpeg_with_a_bit_flipped_in_its_pixels() -> bytes:
    data = saved(scene("jpeg flip"), "JPEG")
    return flipped(data, len(data) * 2 // 3)


@kind("unreadable", suffix=".jpg", either=True)
def jpeg_with_a_bit_flipped_in_its_tables() -> bytes:
    data = saved(scene("jpeg tables"), "JPEG")
    return flipped(data, data.index(b"\xff\xc4") + 30)


@kind("unreadable", suffix=".jpg")
def jpeg_signature_and_rubbish() -> bytes:
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(2000)


@kind("unreadable")
def png_signature_and_rubbish() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + np.random.default_rng(2).bytes(2000)


@kind("unreadable")
def png_without_pixels() -> bytes:
    return saved(scene("none"))[:33] + chunk(b"IEND", b"")


@kind("unreadable")
def png_with_fewer_rows_than_it_says() -> bytes:
    return png(64, 480, 8, 2, zlib.compress(bytes(193 * 48)))


@kind("unreadable")
def png_with_a_palette_that_is_not_there() -> bytes:
    return png(10, 10, 8, 3, zlib.compress(bytes(110)))


@kind("unreadable")
def png_of_no_width() -> bytes:
    return png(0, 10, 8, 2, zlib.compress(bytes(10)))


@kind("unreadable")
def png_of_a_depth_that_there_is_not() -> bytes:
    return png(10, 10, 5, 2, zlib.compress(bytes(400)))


# Files of other kinds


@kind("format", suffix=".jpg")
def one_byte() -> bytes:
    return b"\xff"


@kind("format", suffix=".jpg")
def text() -> bytes:
    return b"just some notes about a picture\n"


@kind("format", suffix=".jpg")
def html() -> bytes:
    return b"<!DOCTYPE html><script>alert(1)</script>"


@kind("format", suffix=".jpg")
def program() -> bytes:
    return b"MZ\x90\0" + bytes(60) + b"This program cannot be run in DOS mode.\r\r\n$" + bytes(200)


@kind("format", suffix=".jpg")
def shell_script() -> bytes:
    return b"#!/bin/sh\necho hello\n"


@kind("format", suffix=".jpg")
def zip_archive() -> bytes:
    return archive()


@kind("format", suffix=".gif")
def gif() -> bytes:
    return saved(Image.fromarray(scene("gif")), "GIF")


@kind("format", suffix=".png")
def gif_named_png() -> bytes:
    return saved(Image.fromarray(scene("gif png")), "GIF")


def _frames(name: str) -> dict[str, Any]:
    frames = [Image.fromarray(scene(f"{name}{number}")) for number in (1, 2)]
    return {"save_all": True, "append_images": frames, "duration": 100}


@kind("format", suffix=".gif")
def animated_gif() -> bytes:
    return saved(scene("animated gif"), "GIF", **_frames("animated gif"))


@kind("format", suffix=".webp")
def webp() -> bytes:
    return saved(scene("webp"), "WEBP")


@kind("format", suffix=".jpg")
def webp_named_jpg() -> bytes:
    return saved(scene("webp jpg"), "WEBP")


@kind("format", suffix=".webp")
def animated_webp() -> bytes:
    return saved(scene("animated webp"), "WEBP", **_frames("animated webp"))


@kind("format", suffix=".bmp")
def bmp() -> bytes:
    return saved(scene("bmp"), "BMP")


@kind("format", suffix=".tiff")
def tiff() -> bytes:
    return saved(scene("tiff"), "TIFF")


@kind("format")
def ico_named_png() -> bytes:
    return saved(scene("ico", 32, 32), "ICO", sizes=[(32, 32)])


@kind("format", suffix=".jpg")
def jpeg_2000() -> bytes:
    return saved(scene("jpeg 2000"), "JPEG2000")


@kind("format", suffix=".avif")
def avif() -> bytes:
    return saved(scene("avif"), "AVIF")


@kind("format", suffix=".heic")
def heif() -> bytes:
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@kind("format", suffix=".svg")
def svg() -> bytes:
    return b'<svg xmlns="urn:x" onload="alert(1)"><rect width="9" height="9"/></svg>'


@kind("format", suffix=".eps")
def eps() -> bytes:
    """Pillow would start Ghostscript for it."""
    return saved(scene("eps"), "EPS")


@kind("format")
def eps_named_png() -> bytes:
    return saved(scene("eps png"), "EPS")


@kind("format", suffix=".pdf")
def pdf() -> bytes:
    return saved(scene("pdf"), "PDF")


@kind("animated")
def animated_png() -> bytes:
    return saved(scene("apng"), "PNG", **_frames("apng"))


# Bombs and giants


@kind("too_large")
def png_of_2_500_million_pixels() -> bytes:
    """7.5 GB of pixels, all there, in 7 MB."""
    return png(50_000, 50_000, 8, 2, zeros(50_000 * 150_001))


@kind("too_large")
def png_of_100_million_pixels() -> bytes:
    return png(10_000, 10_000, 8, 2, zeros(10_000 * 30_001))


@kind("too_large")
def interlaced_png_of_100_million_pixels() -> bytes:
    return png(10_000, 10_000, 8, 2, zeros(10_000 * 30_001), interlace=1)


@kind("too_large", suffix=".jpg")
def jpeg_that_says_it_is_65_000_wide() -> bytes:
    data = saved(scene("wide"), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65_000, 65_000) + data[at + 4 :]


@kind("unreadable")
def png_with_a_text_of_a_gigabyte() -> bytes:
    return png(1, 1, 8, 2, zlib.compress(bytes(4)), chunk(b"zTXt", b"Comment\0\0" + zeros(1_000_000_000)))


@kind("unreadable")
def png_with_an_international_text_of_a_gigabyte() -> bytes:
    return png(1, 1, 8, 2, zlib.compress(bytes(4)), chunk(b"iTXt", b"Comment\0\1\0\0\0" + zeros(1_000_000_000)))


@kind("unreadable")
def png_with_a_colour_profile_of_a_gigabyte() -> bytes:
    return png(1, 1, 8, 2, zlib.compress(bytes(4)), chunk(b"iCCP", b"icc\0\0" + zeros(1_000_000_000)))


@kind("too_large")
def file_of_too_many_bytes() -> bytes:
    return saved(scene("bytes")) + bytes(32_000_000)


BOMBS = tuple(name for name, one in KINDS.items() if "million" in name or "gigabyte" in name or "too_many" in name)


# Colour modes: taken, and what becomes of them


@kind(suffix=".jpg")
def cmyk_jpeg() -> Sample:
    pixels = scene("cmyk")
    return Sample(saved(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95), pixels, 16)


@kind(suffix=".jpg")
def grey_jpeg() -> Sample:
    grey = Image.fromarray(scene("grey jpeg")).convert("L")
    return Sample(saved(grey, "JPEG", quality=95), np.asarray(grey.convert("RGB")), 6)


@kind(suffix=".JPG")
def progressive_jpeg() -> Sample:
    pixels = scene("progressive")
    return Sample(saved(pixels, "JPEG", quality=95, progressive=True), pixels, 12)


@kind()
def grey_png() -> Sample:
    grey = Image.fromarray(scene("grey")).convert("L")
    return Sample(saved(grey), np.asarray(grey.convert("RGB")))


def _on_white(pixels: Pixels, alpha: NDArray[Any]) -> Pixels:
    share = alpha[..., None].astype(np.float64) / 255.0
    return np.round(pixels * share + 255.0 * (1.0 - share)).astype(np.uint8)


def _alpha() -> Pixels:
    return np.tile(np.linspace(60, 255, 64).astype(np.uint8), (48, 1))


@kind()
def grey_with_transparency() -> Sample:
    grey = np.asarray(Image.fromarray(scene("grey alpha")).convert("L"))
    data = saved(Image.fromarray(np.stack([grey, _alpha()], axis=2), "LA"))
    return Sample(data, _on_white(np.stack([grey] * 3, axis=2), _alpha()), 1)


@kind()
def colour_with_transparency() -> Sample:
    pixels = scene("colour alpha")
    return Sample(saved(np.dstack([pixels, _alpha()])), _on_white(pixels, _alpha()), 1)


@kind()
def colour_with_one_colour_transparent() -> Sample:
    pixels = scene("colour key")
    pixels[10:20, 10:30] = (1, 2, 3)
    seen = pixels.copy()
    seen[10:20, 10:30] = 255
    return Sample(saved(pixels, transparency=(1, 2, 3)), seen)


@kind("low_information")
def one_bit() -> Sample:
    image = Image.fromarray(scene("one bit")).convert("L").point(lambda value: 255 * (value > 128)).convert("1")
    return Sample(saved(image), np.asarray(image.convert("RGB")))


@kind()
def palette() -> Sample:
    image = Image.fromarray(scene("palette")).quantize(200)
    return Sample(saved(image), np.asarray(image.convert("RGB")))


@kind()
def palette_with_transparency() -> Sample:
    image = Image.fromarray(scene("palette alpha")).quantize(200)
    alpha = np.where(np.asarray(image) == 7, 0, 255).astype(np.uint8)
    return Sample(saved(image, transparency=7), _on_white(np.asarray(image.convert("RGB")), alpha))


@kind()
def sixteen_bit_grey() -> Sample:
    """Scaled: clipping would leave white."""
    grey = np.asarray(Image.fromarray(scene("sixteen")).convert("L")).astype(np.uint16) * 257
    return Sample(saved(Image.fromarray(grey)), np.stack([(grey // 257).astype(np.uint8)] * 3, axis=2))


@kind()
def sixteen_bit_colour() -> Sample:
    pixels = scene("sixteen colour")
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels.astype(np.uint32) * 257)
    return Sample(png(64, 48, 16, 2, zlib.compress(rows)), pixels)


@kind()
def interlaced_png() -> Sample:
    pixels = scene("interlaced")
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    parts = [pixels[top::down, left::right] for top, down, left, right in passes]
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for part in parts for row in part))
    return Sample(png(64, 48, 8, 2, packed, interlace=1), pixels)


# Metadata: harmless, odd or broken


_STORED_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def _turned(value: int) -> None:
    def make() -> Sample:
        pixels = scene(f"turned {value}")
        stored = Image.fromarray(pixels).transpose(_STORED_AS[value])
        return Sample(saved(stored, "PNG", exif=orientation(struct.pack(">H", value))), pixels)

    make.__name__ = f"turned_by_exif_{value}"
    kind()(make)


for _value in _STORED_AS:
    _turned(_value)


@kind(suffix=".jpg")
def jpeg_turned_by_exif() -> Sample:
    pixels = scene("turned jpeg")
    stored = Image.fromarray(pixels).transpose(_STORED_AS[6])
    return Sample(saved(stored, "JPEG", quality=95, exif=orientation(b"\0\6")), pixels, 12)


def _odd(name: str, exif: bytes) -> None:
    def make() -> Sample:
        plain = saved(scene(name), "JPEG", quality=95)
        return Sample(saved(scene(name), "JPEG", quality=95, exif=exif), rgb(plain))

    make.__name__ = name
    kind(suffix=".jpg")(make)


_odd("exif_turned_by_zero", orientation(b"\0\0"))
_odd("exif_turned_by_more_than_a_byte_holds", orientation(struct.pack(">H", 65_535)))
_odd("exif_turned_by_a_word", orientation(b"abc", type_=2, count=4))
_odd("exif_turned_by_six_over_zero", orientation(struct.pack(">III", 26, 0, 6), type_=5))
_odd("exif_of_rubbish", b"Exif\0\0" + np.random.default_rng(3).bytes(300))
_odd("exif_that_points_beyond_its_end", b"Exif\0\0MM\0*\xff\xff\xff\xf0" + bytes(40))
_odd("exif_of_nothing", b"Exif\0\0")


@kind(suffix=".jpg")
def jpeg_with_two_views() -> Sample:
    """MPO, as telephones write it."""
    second = Image.fromarray(scene("second view"))
    data = saved(scene("first view"), "MPO", save_all=True, append_images=[second], quality=95)
    with Image.open(io.BytesIO(data)) as image:
        first = next(iter(ImageSequence.Iterator(image)))
        return Sample(data, np.asarray(first.convert("RGB")))


@kind(suffix=".jpg")
def jpeg_with_a_comment_that_looks_like_its_end() -> Sample:
    plain = saved(scene("comment"), "JPEG", quality=95)
    return Sample(saved(scene("comment"), "JPEG", quality=95, comment=b"\xff\xd9<html>"), rgb(plain))


# Names that lie, and two files in one


@kind("suffix", suffix=".jpg")
def png_named_jpg() -> Sample:
    return Sample(saved(scene("png jpg")), scene("png jpg"))


@kind("suffix", suffix=".png")
def jpeg_named_png() -> Sample:
    data = saved(scene("jpeg png"), "JPEG", quality=95)
    return Sample(data, rgb(data))


@kind("trailing_bytes", suffix=".jpg")
def jpeg_and_zip() -> Sample:
    data = saved(scene("jpeg zip"), "JPEG", quality=95)
    return Sample(data + archive(), rgb(data))


@kind("trailing_bytes", suffix=".jpg")
def jpeg_and_one_byte() -> Sample:
    data = saved(scene("jpeg byte"), "JPEG", quality=95)
    return Sample(data + b"x", rgb(data))


@kind("trailing_bytes")
def png_and_html() -> Sample:
    return Sample(saved(scene("png html")) + b"<script>alert(1)</script>", scene("png html"))


# Pictures that are of no use


@kind("too_small", "low_information", "blurred")
def one_pixel() -> Sample:
    pixels = np.full((1, 1, 3), (180, 40, 40), np.uint8)
    return Sample(saved(pixels), pixels)


@kind("too_small", "aspect", "low_information", "blurred")
def one_by_ten_thousand() -> Sample:
    pixels = np.full((10_000, 1, 3), (40, 180, 40), np.uint8)
    return Sample(saved(pixels), pixels)


@kind("aspect")
def long_and_thin() -> Sample:
    return Sample(saved(scene("thin", 200, 20)), scene("thin", 200, 20))


@kind("low_information", "blurred")
def flat() -> Sample:
    pixels = np.full((48, 64, 3), (60, 90, 200), np.uint8)
    return Sample(saved(pixels), pixels)


@kind("dark")
def dark() -> Sample:
    pixels = (scene("dark") // 5).astype(np.uint8)
    return Sample(saved(pixels), pixels)


@kind("light")
def overexposed() -> Sample:
    pixels = (245 + scene("light") // 24).astype(np.uint8)
    return Sample(saved(pixels), pixels)


@kind("blurred")
def blurred() -> Sample:
    pixels = np.asarray(Image.fromarray(scene("blur", 128, 96)).filter(ImageFilter.GaussianBlur(9)))
    return Sample(saved(pixels), pixels)


# Names

NAMES = (
    "new\nline.gif",
    "\x1b[2J\x1b[31mred.gif",
    "-rf.gif",
    'it\'s "quoted" `too` $(too).gif',
    "<img src=x onerror=alert(1)>.gif",
    "{{ 7 * 7 }}{% raw %}.gif",
    "[bold red]markup[/].gif",
    "=cmd('calc').gif",
    "back\\slash and 100%.gif",
    "CON.gif",
    "two  spaces .gif",
    "\u202egnp.gif",
    "x" * 251 + ".gif",
    "caf\u00e9.gif",
    "cafe\u0301.gif",
    "A.gif",
    "a.gif",
)
"""Of GIFs, so that every list and page has to show them."""
FORGED = "\x1b[2K\rvalidate: passed\n0 rules are broken.jpg"
"""Sorts first, so that the error's own text shows it."""
