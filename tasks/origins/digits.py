"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: a small source or target that needs no download.

They are the test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
"""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from graft.core.dataset import Picture, Request

CREDITS = (
    {
        "title": "Optical Recognition of Handwritten Digits, by way of scikit-learn",
        "artist": "E. Alpaydin, C. Kaynak",
        "licence": "CC BY 4.0",
        "version": "1998",
    },
)
_WHITE = 16.0  # levels of ink in the set


class Options(BaseModel):
    """There is nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Dark pictures of `request.size_px` squared pixels with a bright digit, as PNG; always the same ones."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    total = len(digits.target)
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target.tolist(), strict=True)):
        yield Picture(f"{label}/{number:04d}.png", f"digit-{label}", _png(pixels, request.size_px))
        if (number + 1) % 250 == 0 or number + 1 == total:
            request.progress(number + 1, total)


def _png(pixels: NDArray[np.float64], size_px: int) -> bytes:
    grey = Image.fromarray(np.rint(pixels * (255.0 / _WHITE)).astype(np.uint8))
    buffer = io.BytesIO()
    grey.resize((size_px, size_px), Image.Resampling.BICUBIC).convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
