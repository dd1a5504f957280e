"""Pictures varied for training, a batch at a time inside a graph: the same seed gives the same copies.

All take (batch, height, width, 3) float32 in [0, 255] and a seed of (2,) int32, and return the same shape and range.
`VIEWS` are other ways to see a picture when a model is asked.
"""

from collections.abc import Callable
from typing import Any

ERASED = 0.5
GREY = 127.0
SHIFT = 16
"""A shifted view is moved by a sixteenth of the picture's edge."""

View = Callable[[Any], Any]
"""A batch of pictures to the same pictures seen another way, as layers or operations of Keras."""


def none(images: Any, seed: Any) -> Any:
    """As they are."""
    return images


def weak(images: Any, seed: Any) -> Any:
    """Mirrored and shifted by up to an eighth, as FixMatch's weak view is (Sohn et al. 2020)."""
    draw = _uniform(images, seed, 3)
    still = 0.0 * draw[0]
    return _moved(images, _affine(images, still, still, still, 0.125 * draw[0], 0.125 * draw[1], draw[2]))


def standard(images: Any, seed: Any) -> Any:
    """Mirrored, turned (20 degrees), scaled (0.8 to 1.25), shifted (12 %), other light and colour."""
    import tensorflow as tf

    draw = _uniform(images, seed, 8)
    moves = _affine(images, 0.35 * draw[0], 0.22 * draw[1], 0.0 * draw[0], 0.12 * draw[2], 0.12 * draw[3], draw[4])
    return _coloured(_moved(images, moves), tf.exp(0.25 * draw[5]), tf.exp(0.3 * draw[6]), 30.0 * draw[7])


def strong(images: Any, seed: Any) -> Any:
    """Each picture by some of turn, scale, shear, shift, contrast, saturation, light, tint, posterise and solarise.

    In the manner of RandAugment (Cubuk et al. 2020): every change is drawn for each picture, at a strength drawn
    evenly; a rectangle is erased at last (Cutout, DeVries & Taylor 2017; Zhong et al. 2020).
    """
    import tensorflow as tf

    draw = _uniform(images, seed, 12)
    chosen = tf.cast(_uniform(images, seed + tf.constant([0, 1 << 25]), 9) < 0.0, tf.float32)
    turn, scale, shear, right, down = (
        most * chosen[index] * draw[index] for index, most in enumerate((0.52, 0.35, 0.3, 0.2, 0.2))
    )
    moved = _moved(images, _affine(images, turn, scale, shear, right, down, draw[5]))
    contrast, saturation = tf.exp(0.6 * chosen[5] * draw[6]), tf.exp(0.9 * chosen[6] * draw[7])
    coloured = _coloured(moved, contrast, saturation, 60.0 * chosen[7] * draw[8])
    tint = tf.transpose(_uniform(images, seed + tf.constant([0, 2 << 25]), 3))
    tinted = coloured * (1.0 + 0.25 * (chosen[8][:, None] * tint))[:, None, None, :]
    levels = 2.0 ** tf.round(5.5 + 2.5 * draw[9])[:, None, None, None]  # 8 to 256 of them
    stepped = tf.floor(tf.clip_by_value(tinted, 0.0, 255.0) / 256.0 * levels) * 256.0 / levels
    solarised = tf.where((draw[10] > 0.8)[:, None, None, None] & (stepped > 128.0), 255.0 - stepped, stepped)
    return tf.clip_by_value(_erased(solarised, seed), 0.0, 255.0)


def _uniform(images: Any, seed: Any, count: int) -> Any:
    """(count, batch) in [-1, 1)."""
    import tensorflow as tf

    return tf.random.stateless_uniform((count, tf.shape(images)[0]), seed, -1.0, 1.0)


def _moved(images: Any, transforms: Any) -> Any:
    import tensorflow as tf

    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _affine(images: Any, angle: Any, log_scale: Any, shear: Any, right: Any, down: Any, side: Any) -> Any:
    """(batch, 8) projective transforms about the centre; mirrored where `side` is below zero.

    Args:
        angle: radians.
        right, down: shares of the picture's edge.
    """
    import tensorflow as tf

    size, scale = tf.cast(tf.shape(images)[1], tf.float32), tf.exp(log_scale)
    mirror = tf.where(side < 0.0, -1.0, 1.0)
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a0, a1, b0, b1 = cos * mirror, -sin + shear * cos, sin * mirror, cos + shear * sin
    centre = (size - 1.0) / 2.0
    a2 = centre - (a0 + a1) * centre + size * right
    b2 = centre - (b0 + b1) * centre + size * down
    zero = tf.zeros_like(angle)
    return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)


def _coloured(images: Any, contrast: Any, saturation: Any, brightness: Any) -> Any:
    """Contrast and saturation as factors, brightness in grey levels; (batch,) each."""
    import tensorflow as tf

    contrast, saturation, brightness = (one[:, None, None, None] for one in (contrast, saturation, brightness))
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    coloured = grey + saturation * (images - grey)
    return tf.clip_by_value(mean + contrast * (coloured - mean) + brightness, 0.0, 255.0)


def _erased(images: Any, seed: Any) -> Any:
    """Half of the pictures with a grey rectangle, each side up to half the picture's."""
    import tensorflow as tf

    draw = (_uniform(images, seed + tf.constant([0, 3 << 25]), 5) + 1.0) / 2.0
    size = tf.cast(tf.shape(images)[1], tf.float32)
    place = tf.range(size)

    def inside(centre: Any, share: Any) -> Any:
        return tf.abs(place[None, :] - (centre * size)[:, None]) < (0.25 * share * size)[:, None]

    hole = inside(draw[0], draw[1])[:, :, None] & inside(draw[2], draw[3])[:, None, :]
    return tf.where((hole & (draw[4] < ERASED)[:, None, None])[..., None], GREY, images)


def mirrored(images: Any) -> Any:
    """Left for right."""
    import keras

    return keras.ops.flip(images, axis=2)


def shifted(down: int, right: int) -> View:
    """Moved by a sixteenth of the edge times `down` and `right` (-1, 0 or 1 each); what is missing is reflected."""

    def view(images: Any) -> Any:
        import keras

        height, width = images.shape[1:3]
        by = max(1, height // SHIFT), max(1, width // SHIFT)
        wide = keras.ops.pad(images, ((0, 0), (by[0], by[0]), (by[1], by[1]), (0, 0)), mode="reflect")
        top, left = by[0] - down * by[0], by[1] - right * by[1]
        return keras.layers.Cropping2D(((top, 2 * by[0] - top), (left, 2 * by[1] - left)))(wide)

    return view


VIEWS: tuple[View, ...] = (mirrored, shifted(0, 1), shifted(0, -1), shifted(1, 0), shifted(-1, 0))
"""In this order views are added to the picture as it is."""
