"""One sprite, one generator, one picture: background, glyph, occluder, blur and noise."""

import io
import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tasks.origins._glyphs.backgrounds import Colour, Palette, add_shapes, background, patch_mask
from tasks.origins._glyphs.sprites import Sprite


@dataclass(frozen=True)
class Difficulty:
    """How hard the pictures are. Ranges are (least, greatest), drawn uniformly.

    Attributes:
        scale: edge of the glyph as a share of the picture's.
        rotation_deg: greatest turn to either side.
        overhang: how far the glyph's box may leave the picture, as a share of its edge.
        hue_deg: greatest turn of the glyph's hue to either side.
        saturation, brightness: factors on the glyph's colours.
        occluder_share: probability that something covers a part of the glyph.
        occluder_size: its size as a share of the glyph's edge.
        clutter: greatest number of shapes strewn over the background.
        clutter_size: their size as a share of the picture's edge.
        camouflage: probability that a colour of the surroundings is near the glyph's own mean colour.
        blur_share: probability of a Gaussian blur.
        blur_px: its radius, for pictures of 64 pixels; scaled to others.
        contrast: factor on the whole picture about mid-grey.
        noise_sigma: standard deviation of the Gaussian noise, in grey levels of 255.
    """

    scale: tuple[float, float]
    rotation_deg: float
    overhang: float
    hue_deg: float
    saturation: tuple[float, float]
    brightness: tuple[float, float]
    occluder_share: float
    occluder_size: tuple[float, float]
    clutter: int
    clutter_size: tuple[float, float]
    camouflage: float
    blur_share: float
    blur_px: tuple[float, float]
    contrast: tuple[float, float]
    noise_sigma: tuple[float, float]


def compose(sprite: Sprite, generator: np.random.Generator, difficulty: Difficulty, size_px: int) -> bytes:
    """A PNG file of `size_px` squared RGB pixels that shows `sprite`; every choice comes from `generator`."""
    palette = _palette(sprite, generator, difficulty)
    picture = background(generator, palette, size_px)
    n_shapes = int(generator.integers(difficulty.clutter + 1))
    add_shapes(picture, generator, palette, n_shapes, difficulty.clutter_size)

    edge = size_px * float(generator.uniform(*difficulty.scale))
    centre = _place(generator, difficulty, edge, size_px)
    _put(sprite, picture, generator, difficulty, edge, centre)
    if generator.random() < difficulty.occluder_share:
        reach = edge * float(generator.uniform(*difficulty.occluder_size)) / 2
        spot = centre + generator.uniform(-0.35, 0.35, 2) * edge
        cover = background(generator, palette, size_px)
        picture.paste(cover, mask=patch_mask(generator, spot, reach, size_px))
    return encode(_photograph(picture, generator, difficulty))


def _palette(sprite: Sprite, generator: np.random.Generator, difficulty: Difficulty) -> Palette:
    """Draws a colour per call: any, or one near the sprite's own."""

    def colour() -> Colour:
        near, *drawn = generator.random(4).tolist()
        if near < difficulty.camouflage:
            drawn = [mean / 255 + (share - 0.5) * 0.3 for mean, share in zip(sprite.colour, drawn, strict=True)]
        red, green, blue = (min(255, max(0, int(share * 256))) for share in drawn)
        return red, green, blue

    return colour


def _place(generator: np.random.Generator, difficulty: Difficulty, edge: float, size_px: int) -> NDArray[np.float64]:
    """The glyph's centre in pixels (x, y)."""
    slack = max(0.0, (size_px - edge) / 2) + difficulty.overhang * edge
    return size_px / 2 + generator.uniform(-slack, slack, 2)


def _put(
    sprite: Sprite,
    picture: Image.Image,
    generator: np.random.Generator,
    difficulty: Difficulty,
    edge: float,
    centre: NDArray[np.float64],
) -> None:
    """Paste the glyph into `picture`: turned, perhaps mirrored, its colours shifted."""
    rung = next((rung for rung in sprite.rungs if rung.width >= edge), sprite.rungs[-1])
    angle = math.radians(float(generator.uniform(-difficulty.rotation_deg, difficulty.rotation_deg)))
    mirror = -1 if generator.random() < 0.5 else 1
    shrink = rung.width / edge
    cos, sin = math.cos(angle) * shrink, math.sin(angle) * shrink
    x, y = centre.tolist()
    half = rung.width / 2
    # PIL's affine goes from the result's pixels back to the source's.
    back = (
        mirror * cos,
        mirror * sin,
        half - mirror * (cos * x + sin * y),
        -sin,
        cos,
        half + sin * x - cos * y,
    )
    placed = rung.transform(picture.size, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
    straight = placed.convert("RGBA")
    coloured = straight.convert("RGB").convert("RGB", _jitter(generator, difficulty))
    picture.paste(coloured, mask=straight.getchannel("A"))


def _jitter(generator: np.random.Generator, difficulty: Difficulty) -> tuple[float, ...]:
    """A 3 x 4 colour matrix, row by row: turns the hue, scales saturation and brightness."""
    angle = math.radians(float(generator.uniform(-difficulty.hue_deg, difficulty.hue_deg)))
    saturation = float(generator.uniform(*difficulty.saturation))
    brightness = float(generator.uniform(*difficulty.brightness))
    cos, sin = math.cos(angle) * saturation, math.sin(angle) * saturation / math.sqrt(3)
    same, left, right = (1 + 2 * cos) / 3, (1 - cos) / 3 - sin, (1 - cos) / 3 + sin
    rows = ((same, left, right, 0), (right, same, left, 0), (left, right, same, 0))
    return tuple(brightness * value for row in rows for value in row)


def _photograph(picture: Image.Image, generator: np.random.Generator, difficulty: Difficulty) -> Image.Image:
    if generator.random() < difficulty.blur_share:
        radius = float(generator.uniform(*difficulty.blur_px)) * picture.width / 64
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    contrast = np.float32(generator.uniform(*difficulty.contrast))
    sigma = np.float32(generator.uniform(*difficulty.noise_sigma))
    # In place: half of the time of this function would else go into new arrays.
    pixels = generator.standard_normal((picture.height, picture.width, 3), dtype=np.float32)
    pixels *= sigma
    pixels += np.asarray(picture) * contrast
    pixels += np.float32(128) - np.float32(127.5) * contrast
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def encode(picture: Image.Image) -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    # Noise holds no repeats worth looking for: Huffman coding alone is both faster and smaller.
    picture.save(file, "PNG", compress_level=1, compress_type=zlib.Z_HUFFMAN_ONLY)
    return file.getvalue()
