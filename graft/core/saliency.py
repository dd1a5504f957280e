"""Where a net looked: which places of a picture speak for a class.

HiResCAM (Draelos & Carin 2020): the activations of a map inside the net times the gradient of the class's score there,
summed over channels. Grad-CAM (Selvaraju et al. 2017) averages the gradient over places first, so that it can show
places that the score does not depend on; the two are one where the map is averaged and a linear head follows.

The score is the class's log-odds against all others, not its logit: logits move together without any change of the
answer, and a map of them with it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import layers
from graft.core.vary import View

EDGE = 7
"""Places on a side, at least: nets that see 224 pixels end in that many. Small pictures leave fewer at the very end."""
AT_ONCE = 50


def maps(
    model: Any, images: NDArray[np.uint8], classes: NDArray[np.int64], views: Sequence[View] = ()
) -> NDArray[np.float32]:
    """What in each picture speaks for a class.

    Args:
        model: classifier with layers "backbone" and "head" (see `fit.classifier`), or one around such layers that
            averages over `views` (see `views.averaged`).
        images: (n, height, width, channels) uint8.
        classes: (n,) int64, the class asked about in each.
        views: those that `model` averages over, beside the picture as it is; what each says is moved back.

    Returns:
        (n, height, width) float32 in [0, 1]; the largest of each is 1, or all are 0 if nothing speaks for the class.
    """
    early, late = layers.mapped(model.get_layer("backbone"), EDGE)
    head = model.get_layer("head")
    parts = [
        _maps(early, late, head, np.asarray(images[start : start + AT_ONCE]), classes[start : start + AT_ONCE], views)
        for start in range(0, len(images), AT_ONCE)
    ]
    found = np.concatenate(parts) if parts else np.zeros((0, *images.shape[1:3]), np.float32)
    tops = found.max(axis=(1, 2), keepdims=True, initial=0.0)
    scaled: NDArray[np.float32] = (found / np.where(tops > 0, tops, 1.0)).astype(np.float32)
    return scaled


def _maps(
    early: Any,
    late: Any,
    head: Any,
    images: NDArray[np.uint8],
    classes: NDArray[np.int64],
    views: Sequence[View],
) -> NDArray[np.float32]:
    """As `maps`, of one batch and not yet scaled."""
    import tensorflow as tf

    pictures = tf.cast(images, tf.float32)
    ways = [lambda x: x, *views]
    held = [early(view(pictures), training=False) for view in ways]
    with tf.GradientTape() as tape:
        for one in held:
            tape.watch(one)
        logits = tf.add_n([head(late(one, training=False)) for one in held]) / len(held)
        asked = tf.one_hot(classes, logits.shape[1])
        rivals = tf.reduce_logsumexp(tf.where(asked > 0, -np.inf, logits), axis=1)
        odds = tf.reduce_sum(asked * logits, axis=1) - rivals
    spoken = [
        tf.reduce_sum(one * slope, axis=3, keepdims=True)
        for one, slope in zip(held, tape.gradient(odds, held), strict=True)
    ]
    resized = [tf.image.resize(one, images.shape[1:3]) for one in spoken]
    moved = [_back(view, one) for view, one in zip(ways, resized, strict=True)]
    found: NDArray[np.float32] = tf.nn.relu(tf.add_n(moved))[..., 0].numpy()
    return found


def _back(view: View, seen: Any) -> Any:
    """A map of what `view` shows as a map of the picture: each place gets what it was shown at."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        place = tf.zeros_like(seen)
        tape.watch(place)
        total = tf.reduce_sum(view(place) * seen)  # a view moves places and is linear in them
    return tape.gradient(total, place)
