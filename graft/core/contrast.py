"""Contrastive learning: views of a picture, a projection of their features, and what tells friends from the rest."""

import functools
from typing import Any

from graft.core.dataset import Augment

WIDEST = 4 / 3


@functools.lru_cache(maxsize=16)
def view(augment: Augment, least_area: float) -> Augment:
    """A part of the picture at the picture's size, varied by `augment`; the same arguments give the same object."""

    def varied(images: Any, seed: Any) -> Any:
        return augment(cropped(images, seed, least_area), seed)

    return varied


def cropped(images: Any, seed: Any, least_area: float) -> Any:
    """A rectangle of each picture, up to 4:3, resized to the picture's size (Szegedy et al. 2015).

    Args:
        images: (batch, size, size, channels) float32.
        seed: (2,) int32.
        least_area: share of the picture that a rectangle has at least, in (0, 1]; 1 leaves pictures as they are.
    """
    import tensorflow as tf

    if least_area == 1.0:
        return images
    count, size = tf.shape(images)[0], tf.shape(images)[1:3]
    draw = tf.random.stateless_uniform((4, count), seed + tf.constant([0, 1 << 26]))
    area, ratio = least_area + (1.0 - least_area) * draw[0], WIDEST ** (2.0 * draw[1] - 1.0)
    height, width = tf.minimum(tf.sqrt(area * ratio), 1.0), tf.minimum(tf.sqrt(area / ratio), 1.0)
    top, left = draw[2] * (1.0 - height), draw[3] * (1.0 - width)
    return tf.image.crop_and_resize(
        images, tf.stack([top, left, top + height, left + width], axis=1), tf.range(count), size
    )


def projected(backbone: Any, width: int) -> Any:
    """`backbone` and a projection head of two layers, which is thrown away afterwards (Chen et al. 2020).

    Returns:
        keras.Model, pictures to (batch, width); its layers are "backbone" and "projection".
    """
    import keras
    from keras import layers

    features = keras.Input(backbone.output_shape[1:], dtype="float32")
    hidden = layers.Dense(backbone.output_shape[-1], activation="relu")(features)
    head = keras.Model(features, layers.Dense(width)(hidden), name="projection")
    inputs = keras.Input(backbone.input_shape[1:], dtype="float32")
    return keras.Model(inputs, head(backbone(inputs)), name="projected")


def cost(points: Any, groups: Any, temperature: float) -> tuple[Any, Any]:
    """How well each point tells those of its own group from all others, by cosine.

    Where a group is a pair it is NT-Xent (Chen et al. 2020), else the supervised contrastive loss with the mean outside
    the logarithm (Khosla et al. 2020).

    Args:
        points: (n, d) float32.
        groups: (n,) integers; each has two points or more.

    Returns:
        The mean loss, and the share of points whose nearest other one is of their group.
    """
    import tensorflow as tf

    points = tf.math.l2_normalize(points, axis=1)
    itself = tf.eye(tf.shape(points)[0], dtype=tf.bool)
    likeness = tf.where(itself, -1e9, tf.matmul(points, points, transpose_b=True) / temperature)
    friends = tf.cast((groups[:, None] == groups[None, :]) & ~itself, tf.float32)
    logs = likeness - tf.reduce_logsumexp(likeness, axis=1, keepdims=True)
    each = -tf.reduce_sum(friends * logs, axis=1) / tf.reduce_sum(friends, axis=1)
    found = tf.gather(friends, tf.argmax(likeness, axis=1), batch_dims=1)
    return tf.reduce_mean(each), tf.reduce_mean(found)
