"""Small procedural pictures of two related domains, drawn in a second without any download.

The source is outlined figures, the target is filled ones with other proportions: corners, curves and symmetry carry
over. Figures on a plain ground are the unseen group.
"""

import io
import math
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from pydantic import BaseModel, ConfigDict, Field

from graft.core.dataset import Picture, Request

UNSEEN_SHARE = 0.15
OVERSAMPLING = 2

Points = list[tuple[float, float]]


class Options(BaseModel):
    """How many pictures of each class."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    images_per_class: int = Field(default=100, ge=4, le=100_000)


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Pictures of `request.size_px` squared RGB pixels as PNG; the same for the same seed.

    The source gets five outlined figures, the target six filled ones.
    """
    figures = SOURCE if request.role == "source" else TARGET
    total = len(figures) * options.images_per_class
    key = zlib.crc32(request.domain.encode())
    n_unseen = round(UNSEEN_SHARE * options.images_per_class)
    for index, (label, figure) in enumerate(figures.items()):
        for number in range(options.images_per_class):
            unseen = number < n_unseen
            generator = np.random.default_rng((request.seed, key, index, number))
            png = _draw(figure, generator, request.size_px, plain=unseen, filled=figures is TARGET)
            group = "plain" if unseen else "textured"
            yield Picture(f"{label}/{number:05d}.png", label, png, group, "unseen" if unseen else "")
        request.progress((index + 1) * options.images_per_class, total)


def _ngon(corners: int, inner: float = 1.0) -> Callable[[float], Points]:
    """A regular polygon of radius 1; with `inner` < 1 a star whose inner corners lie at that radius."""

    def points(stretch: float) -> Points:
        count = corners if inner == 1.0 else 2 * corners
        radii = [1.0 if index % 2 == 0 else inner for index in range(count)]
        angles = [2 * math.pi * index / count for index in range(count)]
        return [(r * math.cos(a) * stretch, r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]

    return points


def _petals(count: int, depth: float) -> Callable[[float], Points]:
    """A closed curve whose radius swings `count` times by `depth`."""

    def points(stretch: float) -> Points:
        angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
        radii = (1 + depth * np.cos(count * angles)) / (1 + depth)
        return [(float(r * math.cos(a) * stretch), float(r * math.sin(a))) for r, a in zip(radii, angles, strict=True)]

    return points


SOURCE: dict[str, Callable[[float], Points]] = {
    "circle": _petals(1, 0.0),
    "cross": _ngon(4, 0.3),
    "pentagon": _ngon(5),
    "square": _ngon(4),
    "triangle": _ngon(3),
}
TARGET: dict[str, Callable[[float], Points]] = {
    "clover": _petals(4, 0.5),
    "daisy": _petals(8, 0.25),
    "hexagon": _ngon(6),
    "spike": _ngon(3, 0.25),
    "star": _ngon(5, 0.45),
    "trefoil": _petals(3, 0.5),
}


def _draw(
    figure: Callable[[float], Points], generator: np.random.Generator, size_px: int, plain: bool, filled: bool
) -> bytes:
    size = size_px * OVERSAMPLING
    ground, ink = _colours(generator)
    canvas = np.broadcast_to(ground, (size, size, 3)).astype(np.float32)
    if not plain:
        angle, period = generator.uniform(0, math.pi), generator.uniform(0.1, 0.4) * size
        rows, columns = np.mgrid[:size, :size]
        wave = np.sin((rows * math.sin(angle) + columns * math.cos(angle)) * 2 * math.pi / period)
        canvas = canvas + 25.0 * wave[..., None]
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    points = _place(figure(generator.uniform(0.75, 1.0)), generator, size)
    draw = ImageDraw.Draw(image)
    if filled:
        draw.polygon(points, fill=ink)
    else:
        draw.line([*points, points[0], points[1]], fill=ink, width=max(2, size // 20), joint="curve")
    small = image.resize((size_px, size_px), Image.Resampling.BOX)
    if generator.random() < 0.3:
        small = small.filter(ImageFilter.GaussianBlur(0.6))
    noisy = np.asarray(small, np.float32) + generator.normal(0, generator.uniform(2, 10), (size_px, size_px, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _colours(generator: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int]]:
    """A ground and an ink that differ visibly."""
    while True:
        ground, ink = generator.integers(30, 226, 3), generator.integers(0, 256, 3)
        if np.abs(ground - ink).sum() > 150:
            return ground, (int(ink[0]), int(ink[1]), int(ink[2]))


def _place(points: Points, generator: np.random.Generator, size: int) -> Points:
    radius = generator.uniform(0.22, 0.42) * size
    turn = generator.uniform(0, 2 * math.pi)
    x, y = generator.uniform(radius, size - radius, 2)
    cos, sin = math.cos(turn) * radius, math.sin(turn) * radius
    return [(x + px * cos - py * sin, y + px * sin + py * cos) for px, py in points]
