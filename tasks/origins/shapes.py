"""Small procedural pictures of two related domains, drawn in seconds without any download.

The source is outlined figures, the target is filled ones with other proportions: corners, curves and symmetry carry
over. Figures on a plain ground are the unseen group.
"""

import io
import math
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pydantic import BaseModel, ConfigDict, Field

from graft.core.dataset import Picture, Request

# The one place that says how hard the pictures are. Set on pictures of other seeds than the default's, so that a net
# learns the source within some 200 steps, and frozen. What decides is that figures are lighter than their ground: when
# both took any colour, a net stayed at chance.
RADIUS = (0.3, 0.44)
"""Of the figure, as a share of the picture's edge."""
STRETCH = (0.75, 1.0)
"""Width of the figure over its height, before it is turned by any angle."""
LINE = 1 / 12
"""Width of an outline, as a share of the picture's edge."""
GROUND, INK = (20, 90), (110, 235)
"""Grey level, of 255: the mean of red, green and blue."""
TINT = 35
"""How far red, green and blue are drawn from each other to either side."""
WAVE = 25
"""Height of the waves on a textured ground, in grey levels."""
BLUR_SHARE, BLUR_PX = 0.3, 0.6
NOISE_SIGMA = (2, 10)

IMAGES_PER_CLASS = {"source": 800, "target": 400}
UNSEEN_SHARE = 0.15
OVERSAMPLING = 2

Points = list[tuple[float, float]]


class Options(BaseModel):
    """How many pictures of each class."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    images_per_class: int | None = Field(
        default=None,
        ge=4,
        le=100_000,
        description="Pictures of each class; none: 800 in the source, 400 in the target.",
    )


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Pictures of `request.size_px` squared RGB pixels as PNG; the same for the same seed.

    The source gets five outlined figures, the target six filled ones.
    """
    figures = SOURCE if request.role == "source" else TARGET
    per_class = options.images_per_class or IMAGES_PER_CLASS["source" if figures is SOURCE else "target"]
    total = len(figures) * per_class
    key = zlib.crc32(request.domain.encode())
    n_unseen = round(UNSEEN_SHARE * per_class)
    for index, (label, figure) in enumerate(figures.items()):
        for number in range(per_class):
            unseen = number < n_unseen
            generator = np.random.default_rng((request.seed, key, index, number))
            png = _draw(figure, generator, request.size_px, plain=unseen, filled=figures is TARGET)
            group = "plain" if unseen else "textured"
            yield Picture(f"{label}/{number:05d}.png", label, png, group, "unseen" if unseen else "")
        request.progress((index + 1) * per_class, total)


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
    ground, ink = (_colour(generator, greys) for greys in (GROUND, INK))
    canvas = np.full((size_px, size_px, 3), ground, np.float32)
    if not plain:
        angle, period = generator.uniform(0, math.pi), generator.uniform(0.1, 0.4) * size_px
        rows, columns = np.ogrid[:size_px, :size_px]
        canvas += WAVE * np.sin((rows * math.sin(angle) + columns * math.cos(angle)) * 2 * math.pi / period)[..., None]
    points = _place(figure(generator.uniform(*STRETCH)), generator, size_px * OVERSAMPLING)
    canvas += _cover(points, size_px, filled) * (ink - canvas)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    if generator.random() < BLUR_SHARE:
        image = image.filter(ImageFilter.GaussianBlur(BLUR_PX))
    noise = generator.uniform(*NOISE_SIGMA) * generator.standard_normal(canvas.shape, np.float32)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _colour(generator: np.random.Generator, greys: tuple[int, int]) -> NDArray[np.float64]:
    tint = generator.uniform(-TINT, TINT, 3)
    colour: NDArray[np.float64] = generator.uniform(*greys) + tint - tint.mean()
    return colour


def _place(points: Points, generator: np.random.Generator, size: int) -> Points:
    radius = generator.uniform(*RADIUS) * size
    turn = generator.uniform(0, 2 * math.pi)
    x, y = generator.uniform(radius, size - radius, 2)
    cos, sin = math.cos(turn) * radius, math.sin(turn) * radius
    return [(x + px * cos - py * sin, y + px * sin + py * cos) for px, py in points]


def _cover(points: Points, size_px: int, filled: bool) -> NDArray[np.float32]:
    """How much of each pixel the figure covers: (size_px, size_px, 1) in [0, 1]; `points` are oversampled."""
    mask = Image.new("L", (size_px * OVERSAMPLING,) * 2)
    draw = ImageDraw.Draw(mask)
    if filled:
        draw.polygon(points, fill=255)
    else:
        draw.line([*points, points[0], points[1]], fill=255, width=max(2, round(mask.width * LINE)), joint="curve")
    small = mask.resize((size_px, size_px), Image.Resampling.BOX)
    cover: NDArray[np.float32] = np.asarray(small, np.float32)[..., None] / np.float32(255)
    return cover
