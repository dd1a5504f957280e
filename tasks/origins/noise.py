"""Pictures of nothing: coloured noise, smooth or grainy, whose labels mean nothing. A source that teaches nothing.

A comparison of sources should have one: whatever "gains" as much as noise gained nothing from its pictures.
"""

import io
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from graft.core.dataset import Picture, Request

GRAINS = 3
"""Grids of noise in a picture, each twice as fine as the one before."""


class Options(BaseModel):
    """How many pictures of how many classes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    classes: int = Field(default=10, ge=2, le=1000, description="Labels, dealt out by turns.")
    images_per_class: int = Field(default=500, ge=4, le=100_000, description="Pictures with each label.")


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Pictures of `request.size_px` squared RGB pixels as PNG; the same for the same seed and domain."""
    key, total = zlib.crc32(request.domain.encode()), options.classes * options.images_per_class
    for number in range(total):
        generator = np.random.default_rng((request.seed, key, number))
        label = f"label-{number % options.classes}"
        yield Picture(f"{label}/{number:06d}.png", label, _png(_clouds(generator, request.size_px)))
        if (number + 1) % 250 == 0 or number + 1 == total:
            request.progress(number + 1, total)


def _clouds(generator: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    """(size_px, size_px, 3): grids of noise, each drawn larger and added up."""
    first = 2 ** int(generator.integers(1, 5))
    canvas = np.full((size_px, size_px, 3), generator.uniform(60, 200, 3))
    for grain in range(GRAINS):
        edge = min(size_px, first * 2**grain)
        grid = generator.integers(0, 256, (edge, edge, 3), np.uint8)
        large = Image.fromarray(grid).resize((size_px, size_px), Image.Resampling.BILINEAR)
        canvas += (np.asarray(large, np.float64) - 127.5) / (grain + 1)
    pixels: NDArray[np.uint8] = np.clip(canvas, 0, 255).astype(np.uint8)
    return pixels


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
