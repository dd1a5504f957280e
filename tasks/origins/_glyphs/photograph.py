"""The other compositor: one sprite, one generator, one picture that looks photographed rather than printed.

A control for "it only learned the renderer". What `compose.py` does with PIL's shapes, matrices and white noise is done
here with fields of numbers: the glyph is seen from an angle, lit from one side, throws a shadow; the camera shakes, its
sensor is noisy where it is bright, and the file went through JPEG.
"""

import colorsys
import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.origins._glyphs.compose import Difficulty, encode
from tasks.origins._glyphs.scenes import Field, Inks, Pixels, cover, plasma, scene
from tasks.origins._glyphs.sprites import Sprite

# What Difficulty has no word for. Chosen by eye, beside pictures of the standard compositor.
_SLANT = 0.08
"""How far each corner of the glyph moves to either side, as a share of its edge."""
_SHADOW = (0.0, 0.45)
_VIGNETTE = (0.0, 0.3)
_JPEG_QUALITY = (60, 95)


def photograph(sprite: Sprite, generator: np.random.Generator, difficulty: Difficulty, size_px: int) -> bytes:
    """A PNG file of `size_px` squared RGB pixels that shows `sprite`; every choice comes from `generator`."""
    pixels = scene(generator, _inks(sprite, generator, difficulty), size_px)
    for _ in range(int(generator.integers(difficulty.clutter + 1))):
        spot, reach = generator.random(2) * size_px, float(generator.uniform(*difficulty.clutter_size)) * size_px / 2
        pixels = _lay(pixels, _inks(sprite, generator, difficulty)[0], cover(generator, spot, reach, size_px))

    edge = size_px * float(generator.uniform(*difficulty.scale))
    slack = max(0.0, (size_px - edge) / 2) + difficulty.overhang * edge
    centre = size_px / 2 + generator.uniform(-slack, slack, 2)
    colour, alpha = _seen_from_an_angle(sprite, generator, difficulty, edge, centre, size_px)
    pixels = pixels * (1 - _shadow(alpha, generator))[..., None]
    pixels = pixels * (1 - alpha[..., None]) + _lit(colour, generator, difficulty)
    if generator.random() < difficulty.occluder_share:
        reach = edge * float(generator.uniform(*difficulty.occluder_size)) / 2
        spot = centre + generator.uniform(-0.35, 0.35, 2) * edge
        front = scene(generator, _inks(sprite, generator, difficulty), size_px)
        pixels = _lay(pixels, front, cover(generator, spot, reach, size_px))
    return encode(_taken(pixels, generator, difficulty))


def _inks(sprite: Sprite, generator: np.random.Generator, difficulty: Difficulty) -> Inks:
    """Three colours of related hue; any of them may be near the sprite's own mean colour instead."""
    hue, spread = generator.random(), generator.choice((0.06, 0.2, 0.4))
    inks = np.empty((3, 3))
    for index in range(3):
        saturation, value = generator.uniform(0.1, 1), generator.uniform(0.2, 1)
        inks[index] = colorsys.hsv_to_rgb((hue + spread * (index - 1)) % 1, saturation, value)
        if generator.random() < difficulty.camouflage:
            inks[index] = np.asarray(sprite.colour) / 255 + generator.uniform(-0.15, 0.15, 3)
    return np.clip(inks, 0, 1)


def _lay(pixels: Pixels, over: Pixels | Inks, share: Field) -> Pixels:
    return pixels + (over - pixels) * share[..., None]


def _seen_from_an_angle(
    sprite: Sprite,
    generator: np.random.Generator,
    difficulty: Difficulty,
    edge: float,
    centre: NDArray[np.float64],
    size_px: int,
) -> tuple[Pixels, Field]:
    """The glyph's premultiplied colours and how much of each pixel it covers."""
    rung = next((rung for rung in sprite.rungs if rung.width >= edge), sprite.rungs[-1])
    corners = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1))) / 2
    shifted = corners + generator.uniform(-_SLANT, _SLANT, (4, 2))
    angle = math.radians(float(generator.uniform(-difficulty.rotation_deg, difficulty.rotation_deg)))
    turn = np.array(((math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))))
    placed = shifted @ turn * edge + centre
    if generator.random() < 0.5:
        corners = corners * (-1, 1)
    back = _homography(placed, (corners + 0.5) * rung.width)
    seen = rung.transform((size_px, size_px), Image.Transform.PERSPECTIVE, back, Image.Resampling.BICUBIC)
    values = np.asarray(seen) / 255
    alpha = values[..., 3]
    return np.minimum(values[..., :3], alpha[..., None]), alpha


def _homography(points: NDArray[np.float64], images: NDArray[np.float64]) -> tuple[float, ...]:
    """PIL's eight coefficients of the perspective that takes four `points` (x, y) to their `images`."""
    rows, right = [], []
    for (x, y), (u, v) in zip(points.tolist(), images.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return tuple(np.linalg.solve(np.array(rows), np.array(right)).tolist())


def _shadow(alpha: Field, generator: np.random.Generator) -> Field:
    """The glyph's outline, moved and softened."""
    right, down = (int(step) for step in generator.integers(-3, 4, 2))
    dark = np.roll(alpha, (down, right), (0, 1))
    for axis in (0, 1):
        dark = (np.roll(dark, -1, axis) + dark + np.roll(dark, 1, axis)) / 3
    return dark * generator.uniform(*_SHADOW)


def _lit(colour: Pixels, generator: np.random.Generator, difficulty: Difficulty) -> Pixels:
    """Another saturation, another white, and light that falls off across the picture."""
    grey = colour.mean(axis=2, keepdims=True)
    colour = grey + (colour - grey) * generator.uniform(*difficulty.saturation)
    white = np.exp(generator.normal(0, difficulty.hue_deg / 120, 3))
    start, end = generator.uniform(*difficulty.brightness, 2)
    light = start + (end - start) * plasma(generator, len(colour), 2.5)
    lit: Pixels = colour * white * light[..., None]
    return lit


def _taken(pixels: Pixels, generator: np.random.Generator, difficulty: Difficulty) -> Image.Image:
    """What the camera makes of it."""
    size_px = len(pixels)
    steps = np.linspace(-1, 1, size_px) ** 2
    pixels = pixels * (1 - generator.uniform(*_VIGNETTE) * (steps[:, None] + steps[None, :]) / 2)[..., None]
    if generator.random() < difficulty.blur_share:
        pixels = _shaken(pixels, generator, 2 * float(generator.uniform(*difficulty.blur_px)) * size_px / 64)
    pixels = np.clip(pixels, 0, 1) ** generator.uniform(*difficulty.contrast)
    sigma = generator.uniform(*difficulty.noise_sigma) / 255
    grain = generator.standard_normal((size_px, size_px, 1)) * np.sqrt(0.2 + 1.6 * pixels)
    specks = generator.standard_normal(((size_px + 1) // 2, (size_px + 1) // 2, 3)).repeat(2, 0).repeat(2, 1)
    pixels = pixels + sigma * (grain + 0.5 * specks[:size_px, :size_px])
    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(generator.integers(*_JPEG_QUALITY)))
    return Image.open(file).convert("RGB")


def _shaken(pixels: Pixels, generator: np.random.Generator, length_px: float) -> Pixels:
    """The mean along a line of `length_px`, to whole pixels."""
    angle = float(generator.uniform(0, math.pi))
    margin = math.ceil(length_px / 2)
    size_px, wide = len(pixels), np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), "edge")
    places = np.linspace(-length_px / 2, length_px / 2, 2 * margin + 1)
    total = np.zeros_like(pixels)
    for place in places.tolist():
        down, right = margin + round(place * math.sin(angle)), margin + round(place * math.cos(angle))
        total += wide[down : down + size_px, right : right + size_px]
    return total / len(places)
