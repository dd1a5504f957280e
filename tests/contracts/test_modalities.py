"""What every modality promises, and how the pictures' own traps end."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from graft.core import plugins
from graft.core.errors import BadInput
from graft.core.plugins import Plugin
from graft.core.sections import Choice
from graft.modalities import image

OPTIONS = image.Options(size_px=32)


@pytest.fixture(params=plugins.names("graft.modalities"))
def modality(request: pytest.FixtureRequest) -> Plugin:
    return plugins.resolve("graft.modalities", Choice(name=request.param, size_px=32), "modality")


def encoded(picture: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def corner() -> Image.Image:
    """Black, but for a white quarter at the upper left."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16] = 255
    return Image.fromarray(pixels)


def test_decode_meets_the_spec_eagerly_and_in_tf_data(modality: Plugin) -> None:
    import tensorflow as tf

    data = encoded(corner().resize((50, 40)), "JPEG")
    eager = modality.module.decode(data, modality.options)
    assert eager.shape == modality.module.spec(modality.options).shape and eager.dtype == np.uint8

    def decode(one: Any) -> Any:
        return tf.numpy_function(lambda raw: modality.module.decode(raw, modality.options), [one], tf.uint8)

    (piped,) = tf.data.Dataset.from_tensors(data).map(decode)
    np.testing.assert_array_equal(piped.numpy(), eager)


@pytest.mark.parametrize("policy", ["standard", "weak", "strong", "none"])
def test_variation_is_decided_by_the_seed_and_stays_in_range_in_tf_data(modality: Plugin, policy: str) -> None:
    import tensorflow as tf

    augment = modality.module.AUGMENTS[policy]

    images = tf.random.stateless_uniform((6, 32, 32, 3), (1, 2), 0.0, 255.0)
    eager = augment(images, tf.constant([1, 2])).numpy()
    piped = next(iter(tf.data.Dataset.from_tensors(images).map(lambda x: augment(x, tf.constant([1, 2]))))).numpy()
    other = augment(images, tf.constant([1, 3])).numpy()
    np.testing.assert_allclose(piped, eager, atol=1e-2)
    assert eager.shape == images.shape and eager.min() >= 0 and eager.max() <= 255
    assert np.allclose(eager, other) == np.allclose(eager, images.numpy()) == (policy == "none")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_png_mode_becomes_the_same_rgb(mode: str) -> None:
    decoded = image.decode(encoded(corner().convert(mode)), OPTIONS)
    np.testing.assert_allclose(decoded, np.asarray(corner()), atol=2)
    facts = image.peek(encoded(corner().convert(mode)))
    assert facts.mode in image.MODES and facts[:2] == (32, 32) and facts.format == "PNG" and not facts.problem


def test_cmyk_is_converted_and_transparency_lies_on_white() -> None:
    decoded = image.decode(encoded(corner().convert("CMYK"), "JPEG", quality=95), OPTIONS)
    assert decoded[4, 4].min() > 200 and decoded[28, 28].max() < 60
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    assert image.decode(encoded(clear), OPTIONS).min() == 255


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 32, dtype=np.uint16)
    decoded = image.decode(encoded(Image.fromarray(np.tile(ramp, (32, 1)))), OPTIONS)
    np.testing.assert_allclose(decoded[0, :, 0], np.linspace(0, 255, 32), atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = corner().transpose(undo[orientation]) if orientation in undo else corner()
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = image.decode(encoded(stored, "PNG", exif=exif), OPTIONS)
    np.testing.assert_array_equal(decoded, np.asarray(corner()))


def test_a_jpeg_of_a_camera_on_its_side_ends_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = image.decode(encoded(corner().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif), OPTIONS)
    np.testing.assert_allclose(decoded, np.asarray(corner()), atol=8)


def test_the_largest_centred_square_is_kept() -> None:
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 255
    assert image.decode(encoded(Image.fromarray(pixels)), OPTIONS)[:, 1:-1].min() == 255


def bomb(edge: int = 50_000) -> bytes:
    """A PNG that claims edge x edge pixels and holds a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
BAD = {
    "truncated jpeg": encoded(NOISE, "JPEG")[:-900],
    "truncated png": encoded(NOISE)[:-3000],
    "empty": b"",
    "text": b"not a picture at all",
    "gif": encoded(corner(), "GIF"),
    "bmp": encoded(corner(), "BMP"),
    "bomb": bomb(),
    "bomb that Pillow only warns of": bomb(10_000),
    "bomb too small for Pillow": bomb(5_001),
    "no pixels": bomb(0),
    "large png": encoded(Image.new("1", (6000, 5000))),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_reported_and_refused_in_one_line(name: str) -> None:
    problem = image.measure(BAD[name]).problem
    rule, colon, reason = problem.partition(": ")
    assert rule in image.RULES and colon and reason and "\n" not in problem
    with pytest.raises(BadInput) as caught:
        image.decode(BAD[name], OPTIONS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("edge", [50_000, 10_000, 5_001])
def test_a_bomb_is_refused_for_its_size_before_it_is_decoded(edge: int) -> None:
    assert image.peek(bomb(edge)).problem == image.measure(bomb(edge)).problem
    assert image.peek(bomb(edge)).problem.startswith("too_large: ")  # not for the bytes that it lacks
    with pytest.raises(BadInput, match="pixels"):
        image.decode(bomb(edge), OPTIONS)


def test_a_file_that_is_too_long_is_not_opened() -> None:
    told = "too_large: picture has 32000001 bytes; at most 32000000 are taken"
    assert image.peek(bytes(image.MAX_BYTES + 1)).problem == told


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_what_measure_lets_through_decodes(format_: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    sound, generator = encoded(NOISE, format_, exif=exif), np.random.default_rng(0)
    n_refused = 0
    for trial in range(300):
        mutant = bytearray(sound)
        for _ in range(3):
            mutant[generator.integers(len(mutant) if trial % 2 else 200)] = generator.integers(256)
        problem = image.measure(bytes(mutant)).problem
        try:
            image.decode(bytes(mutant), OPTIONS)
            refused = False
        except BadInput as error:
            refused = True
            assert "\n" not in str(error)
        assert refused == bool(problem), problem
        n_refused += refused
    assert 30 < n_refused <= 300


def test_a_good_picture_is_measured() -> None:
    assert image.peek(encoded(NOISE)) == image.Facts(64, 64, "RGB", "PNG", "")
    measures = image.measure(encoded(NOISE))
    assert (measures.problem, measures.width, measures.height, measures.trailing_bytes) == ("", 64, 64, 0)
    np.testing.assert_array_equal(measures.sample, np.asarray(NOISE))
    assert 0.4 < measures.brightness < 0.6 and measures.brightest > 0.8 and measures.darkest < 0.3
    assert measures.sharpness > 0.7 and measures.information > 0.7


def test_the_same_pixels_have_the_same_hash_however_they_are_stored() -> None:
    stored = [encoded(NOISE), encoded(NOISE, compress_level=0), encoded(NOISE.convert("RGBA"))]
    assert len({image.measure(one).pixels for one in stored}) == 1
    assert image.measure(encoded(NOISE.rotate(90))).pixels != image.measure(encoded(NOISE)).pixels


LOOKS = {
    "dark": (lambda pixels: pixels // 8, "brightest"),
    "light": (lambda pixels: 255 - (255 - pixels) // 30, "darkest"),
    "blurred": (lambda pixels: np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(3))), "sharpness"),
    "low_information": (lambda pixels: np.full_like(pixels, 120), "information"),
}


@pytest.mark.parametrize("rule", LOOKS)
def test_a_look_moves_the_column_of_its_rule(rule: str) -> None:
    change, column = LOOKS[rule]
    assert image.RULES[rule]["column"] == column
    sound, odd = (
        getattr(image.measure(encoded(Image.fromarray(one))), column)
        for one in (np.asarray(NOISE), change(np.asarray(NOISE)))
    )
    assert odd > sound + 0.2 if column == "darkest" else odd < sound - 0.2
