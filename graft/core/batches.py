"""Batches by the number of their step: the same step has the same rows and the same variation, wherever one begins."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import blocks
from graft.core.dataset import Augment, Split


def rows_of(step: int, n: int, batch_size: int, seed: int) -> NDArray[np.int64]:
    """Row indices of the batch at `step` (from 0): every one of `n` rows once per pass, each pass in its own order."""
    wanted, first = np.arange(step * batch_size, (step + 1) * batch_size), step * batch_size // n
    orders = [np.random.default_rng((seed, number)).permutation(n) for number in range(first, wanted[-1] // n + 1)]
    rows: NDArray[np.int64] = np.concatenate(orders)[wanted - first * n]
    return rows


def labelled(split: Split, augment: Augment, batch_size: int, seed: int, start: int = 0) -> Any:
    """Endless varied batches of `split` from step `start` on.

    Returns:
        tf.data.Dataset of ((batch, h, w, c) float32 in [0, 255], (batch,) int64, (2,) int32: the batch's own seed).
    """
    import tensorflow as tf

    def draw() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]]:
        for step, rows in _steps(split.images, batch_size, seed, start):
            yield np.asarray(split.images[rows]), split.labels[rows], _seed(seed, step)

    signature = (
        tf.TensorSpec((None, *split.images.shape[1:]), split.images.dtype),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((2,), tf.int32),
    )

    def vary(images: Any, labels: Any, own: Any) -> tuple[Any, Any, Any]:
        return augment(tf.cast(images, tf.float32), own), labels, own

    return piped(draw, signature, vary)


def views(images: NDArray[np.uint8], augments: tuple[Augment, ...], batch_size: int, seed: int, start: int = 0) -> Any:
    """Endless batches of pictures without labels, each varied in as many ways as there are `augments`.

    Returns:
        tf.data.Dataset of tuples of (batch, h, w, c) float32 in [0, 255]: the same pictures, row by row.
    """
    import tensorflow as tf

    def draw() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
        for step, rows in _steps(images, batch_size, seed, start):
            yield np.asarray(images[rows]), _seed(seed, step)

    signature = (tf.TensorSpec((None, *images.shape[1:]), tf.uint8), tf.TensorSpec((2,), tf.int32))

    def vary(images: Any, own: Any) -> tuple[Any, ...]:
        plain = tf.cast(images, tf.float32)
        return tuple(augment(plain, own + tf.constant([0, number << 24])) for number, augment in enumerate(augments))

    return piped(draw, signature, vary)


def piped(draw: Callable[[], Iterator[Any]], signature: Any, vary: Callable[..., Any]) -> Any:
    """A tf.data.Dataset of what `vary` makes of all that `draw` yields, in order, made while the ones before are used.

    Nothing here is left to tf.data's tuning, and it must not run: it looks after 10 ms, then each time after twice as
    long, up to a minute, and an iterator cannot end in between. A training of 11 seconds would take 20.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    drawn = tf.data.Dataset.from_generator(draw, output_signature=signature)
    return drawn.map(vary, num_parallel_calls=1).prefetch(2).with_options(options)


def mixed(images: Any, targets: Any, seed: Any, mixup: float, cutmix: float) -> tuple[Any, Any]:
    """Each picture mixed with another one of its batch, and its target with the other's.

    mixup blends whole pictures (Zhang et al. 2018), cutmix pastes a rectangle (Yun et al. 2019); the share is drawn
    from Beta(alpha, alpha) once per batch. If both are on, each batch gets one of them.

    Args:
        targets: (batch, classes) float32, rows sum to 1.
        seed: (2,) int32.
        mixup, cutmix: alpha; 0 is off.
    """
    import tensorflow as tf

    if not mixup and not cutmix:
        return images, targets
    draw = tf.random.stateless_uniform((4,), seed + tf.constant([0, 1 << 20]))
    other = tf.roll(images, 1, axis=0), tf.roll(targets, 1, axis=0)

    def blended() -> tuple[Any, Any]:
        share = _beta(seed, mixup)
        return share * images + (1.0 - share) * other[0], share * targets + (1.0 - share) * other[1]

    def pasted() -> tuple[Any, Any]:
        size = tf.shape(images)[1]
        edge = tf.cast(tf.cast(size, tf.float32) * tf.sqrt(1.0 - _beta(seed, cutmix)), tf.int32)
        top, left = (tf.cast(draw[index] * tf.cast(size - edge + 1, tf.float32), tf.int32) for index in (0, 1))
        row, column = tf.range(size)[:, None], tf.range(size)[None, :]
        inside = (row >= top) & (row < top + edge) & (column >= left) & (column < left + edge)
        share = 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32))
        return tf.where(inside[None, :, :, None], other[0], images), share * targets + (1.0 - share) * other[1]

    if not cutmix:
        return blended()
    if not mixup:
        return pasted()
    both: tuple[Any, Any] = tf.cond(draw[2] < 0.5, blended, pasted)
    return both


def _beta(seed: Any, alpha: float) -> Any:
    import tensorflow as tf

    one, two = (
        tf.random.stateless_gamma((), seed + tf.constant([0, number << 20]), alpha=alpha, dtype=tf.float32)
        for number in (2, 3)
    )
    return one / tf.maximum(one + two, 1e-8)


def _steps(images: Any, batch_size: int, seed: int, start: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Step by step, which rows; pictures that lie in blocks are told what will be asked for."""
    lie = getattr(images, "blocks", None)
    step = start
    while True:
        if lie is None:
            yield step, rows_of(step, len(images), batch_size, seed)
        else:
            images.expect(step, batch_size, seed)
            yield step, blocks.rows_of(step, lie, batch_size, seed)
        step += 1


def _seed(seed: int, step: int) -> NDArray[np.int32]:
    return np.array([seed % 2**31, step], dtype=np.int32)
