"""Square RGB pictures: what is let in, how they are decoded, how they are varied during training."""

import io
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field

from graft.core.errors import BadInput, one_line
from graft.core.spec import Spec

FORMATS = ("JPEG", "PNG")  # an allow-list: others reach codecs, or programs, nobody asked for
MAX_BYTES = 32_000_000
MAX_PIXELS = 25_000_000
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")

RULES = {
    "mode": {"in": list(MODES)},
    "bytes": {"between": [1, MAX_BYTES]},
}
"""What the data gate asks of every picture, by manifest column."""


class Options(BaseModel):
    """Edge of the pictures the model sees, in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    size_px: int = Field(default=64, ge=16, le=1024)


class Facts(NamedTuple):
    """What is known of an encoded picture; `problem` is "" if it decodes from first byte to last."""

    width: int
    height: int
    mode: str
    problem: str


def spec(options: Options) -> Spec:
    """The shape of a decoded sample."""
    return Spec(size_px=options.size_px, channels=3)


def inspect(data: bytes) -> Facts:
    """Facts about an encoded picture. Never raises for a bad picture: the reason stands in `problem`."""
    try:
        with _open(data) as image:
            facts = Facts(image.width, image.height, image.mode, "")
            image.load()  # verify() passes half a JPEG; only decoding finds it
            return facts
    except BadInput as error:
        return Facts(0, 0, "", str(error))
    except Exception as error:  # Pillow's codecs raise whatever they like: OSError, SyntaxError, struct.error, ...
        return Facts(0, 0, "", one_line(f"{type(error).__name__}: {error}", 160))


def decode(data: bytes, options: Options) -> NDArray[np.uint8]:
    """The picture as (size_px, size_px, 3) uint8 in [0, 255].

    Upright by its EXIF orientation, transparency on white, 16-bit grey scaled to 8, the largest centred square,
    resized with antialiasing.

    Raises:
        BadInput: too large, not JPEG or PNG, or damaged.
    """
    try:
        with _open(data) as image:
            upright = ImageOps.exif_transpose(image)
            square = ImageOps.fit(_to_rgb(upright), (options.size_px,) * 2, Image.Resampling.BILINEAR)
            return np.asarray(square, dtype=np.uint8)
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(one_line(f"picture does not decode: {type(error).__name__}: {error}", 160)) from None


def augment(images: Any, seed: Any) -> Any:
    """Varied copies: mirrored, turned, scaled, shifted, other light and colour.

    Args:
        images: (batch, height, width, 3) float32 in [0, 255], a tensor.
        seed: (2,) int32; the same seed gives the same copies.

    Returns:
        (batch, height, width, 3) float32 in [0, 255].
    """
    import tensorflow as tf

    batch, size = tf.shape(images)[0], tf.cast(tf.shape(images)[1], tf.float32)
    draw = tf.random.stateless_uniform((8, batch), seed, -1.0, 1.0)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_affine(draw, size),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    column = (batch, 1, 1, 1)
    contrast = tf.reshape(tf.exp(0.25 * draw[5]), column)
    saturation = tf.reshape(tf.exp(0.3 * draw[6]), column)
    brightness = tf.reshape(30.0 * draw[7], column)
    mean = tf.reduce_mean(moved, axis=(1, 2, 3), keepdims=True)
    grey = tf.reduce_mean(moved, axis=3, keepdims=True)
    coloured = grey + saturation * (moved - grey)
    return tf.clip_by_value(mean + contrast * (coloured - mean) + brightness, 0.0, 255.0)


def _affine(draw: Any, size: Any) -> Any:
    """(batch, 8) projective transforms about the centre: turn ±20°, scale x0.8-1.25, shift ±12 %, mirror at random."""
    import tensorflow as tf

    angle, scale = 0.35 * draw[0], tf.exp(0.22 * draw[1])
    mirror = tf.where(draw[4] < 0.0, -1.0, 1.0)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a0, a1, b0, b1 = cos * mirror, -sin, sin * mirror, cos
    centre = (size - 1.0) / 2.0
    a2 = centre - (a0 + a1) * centre + 0.12 * size * draw[2]
    b2 = centre - (b0 + b1) * centre + 0.12 * size * draw[3]
    zero = tf.zeros_like(angle)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def _open(data: bytes) -> Image.Image:
    """Open for reading after the caps: nothing is decoded yet."""
    if len(data) > MAX_BYTES:
        raise BadInput(f"picture has {len(data)} bytes; at most {MAX_BYTES} are taken")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(f"picture has {image.width}x{image.height} pixels; at most {MAX_PIXELS} are taken")
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        scaled = np.asarray(image, dtype=np.float32) / 257.0  # 65535 -> 255; convert("RGB") would clip
        return Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
