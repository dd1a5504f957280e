"""Seeded backgrounds and shapes: what lies behind a glyph or covers a part of it. No glyph is drawn here."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Palette = Callable[[], Colour]


def background(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    """An RGB picture (size_px, size_px): flat, gradient, stripes, checks, blobs, shards or a soft texture."""
    kind = _KINDS[int(generator.integers(len(_KINDS)))]
    return kind(generator, palette, size_px)


def add_shapes(
    picture: Image.Image,
    generator: np.random.Generator,
    palette: Palette,
    n: int,
    extent: tuple[float, float],
) -> None:
    """Draw `n` random shapes into `picture`; `extent`: least and greatest size as a share of its edge."""
    pen = ImageDraw.Draw(picture)
    for _ in range(n):
        centre = generator.random(2) * picture.width
        reach = float(generator.uniform(*extent)) * picture.width / 2
        _SHAPES[int(generator.integers(len(_SHAPES)))](pen, generator, centre, reach, palette())


def patch_mask(generator: np.random.Generator, centre: NDArray[np.float64], reach: float, size_px: int) -> Image.Image:
    """A mask (size_px, size_px), mode L: 255 inside a random shape about `centre`, `reach` pixels wide."""
    mask = Image.new("L", (size_px, size_px))
    shape = _SHAPES[int(generator.integers(len(_SHAPES)))]
    shape(ImageDraw.Draw(mask), generator, centre, reach, 255)
    return mask


def _flat(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    return Image.new("RGB", (size_px, size_px), palette())


def _gradient(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    return _blend(palette(), palette(), _ramp(generator, size_px))


def _stripes(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    n_stripes = float(generator.uniform(2, 9))
    wave = np.abs((_ramp(generator, size_px) * n_stripes) % 1 * 2 - 1)
    sharpness = float(generator.choice((1, 12)))
    return _blend(palette(), palette(), np.clip((wave - 0.5) * sharpness + 0.5, 0, 1))


def _checks(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    n_checks = float(generator.uniform(2, 8))
    across, along = _rotated(generator, size_px)
    odd = (np.floor(across * n_checks) + np.floor(along * n_checks)) % 2
    return _blend(palette(), palette(), odd)


def _texture(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    cells = int(generator.integers(3, 17))
    grain = generator.integers(0, 256, (cells, cells), dtype=np.uint8)
    soft = Image.fromarray(grain).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return Image.composite(_flat(generator, palette, size_px), _flat(generator, palette, size_px), soft)


def _blobs(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    picture = _flat(generator, palette, size_px)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(generator.integers(4, 12))):
        _ellipse(
            pen,
            generator,
            generator.random(2) * size_px,
            float(generator.uniform(0.1, 0.3)) * size_px,
            palette(),
        )
    return picture


def _shards(generator: np.random.Generator, palette: Palette, size_px: int) -> Image.Image:
    picture = _flat(generator, palette, size_px)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(generator.integers(3, 9))):
        _polygon(
            pen,
            generator,
            generator.random(2) * size_px,
            float(generator.uniform(0.2, 0.6)) * size_px,
            palette(),
        )
    return picture


_KINDS = (_flat, _gradient, _stripes, _checks, _texture, _blobs, _shards)


def _ellipse(
    pen: ImageDraw.ImageDraw,
    generator: np.random.Generator,
    centre: NDArray[np.float64],
    reach: float,
    fill: Colour | int,
) -> None:
    wide, high = (reach * generator.uniform(0.5, 1, 2)).tolist()
    x, y = centre.tolist()
    pen.ellipse((x - wide, y - high, x + wide, y + high), fill=fill)


def _polygon(
    pen: ImageDraw.ImageDraw,
    generator: np.random.Generator,
    centre: NDArray[np.float64],
    reach: float,
    fill: Colour | int,
) -> None:
    n_corners = int(generator.integers(3, 6))
    corners = centre + generator.uniform(-reach, reach, (n_corners, 2))
    pen.polygon([tuple(corner) for corner in corners.tolist()], fill=fill)


def _bar(
    pen: ImageDraw.ImageDraw,
    generator: np.random.Generator,
    centre: NDArray[np.float64],
    reach: float,
    fill: Colour | int,
) -> None:
    angle = float(generator.uniform(0, math.pi))
    arm = np.array((math.cos(angle), math.sin(angle))) * reach * 1.6
    ends = [tuple((centre - arm).tolist()), tuple((centre + arm).tolist())]
    pen.line(ends, fill=fill, width=max(1, round(reach * float(generator.uniform(0.3, 0.8)))))


_SHAPES = (_ellipse, _polygon, _bar)


def _blend(first: Colour, second: Colour, share: NDArray[np.float32]) -> Image.Image:
    """`first` where share (size, size) in [0, 1] is 0, `second` where it is 1."""
    start = np.asarray(first, np.float32)
    pixels = start + (np.asarray(second, np.float32) - start) * share[..., None].astype(np.float32)
    return Image.fromarray(pixels.astype(np.uint8))


def _ramp(generator: np.random.Generator, size_px: int) -> NDArray[np.float32]:
    """(size_px, size_px) float32 rising from 0 to 1 in a random direction."""
    across, _ = _rotated(generator, size_px)
    across -= across.min()
    across /= across.max()
    return across


def _rotated(generator: np.random.Generator, size_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows, columns = _grid(size_px)
    angle = float(generator.uniform(0, 2 * math.pi))
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return columns * cos + rows * sin, rows * cos - columns * sin


@lru_cache(maxsize=4)
def _grid(size_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    steps = np.arange(size_px, dtype=np.float32) / np.float32(size_px)
    return steps[:, None], steps[None, :]
