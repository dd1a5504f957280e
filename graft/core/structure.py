"""Group lasso on channels: whole ones go to exactly zero while a net learns, so that they can be left out of it.

A group is all that makes a channel (Yuan & Lin 2006; for convolutions Wen et al. 2016): the kernel's slice and the bias
of a convolution; scale and shift of a normalisation, which would else undo what the kernel loses (Liu et al. 2017).
After each step the groups are pulled towards zero by the proximal operator (Parikh & Boyd 2014), which reaches it.
`compact` then cuts them out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core.layers import parts


def groups(model: Any) -> list[list[Any]]:
    """What trains, by layer, channels on the last axis: kernel and bias, or scale and shift, of each."""
    import keras

    found = []
    for layer in parts(model):
        if isinstance(layer, keras.layers.Conv2D):
            found.append([one for one in (layer.kernel, layer.bias) if one is not None])
        elif isinstance(layer, keras.layers.BatchNormalization) and layer.gamma is not None:
            found.append([one for one in (layer.gamma, layer.beta) if one is not None])
    return [variables for variables in found if all(one.trainable for one in variables)]


def shrink(found: list[list[Any]], pull: Any) -> None:
    """Pull every channel of `groups` towards zero, inside a graph: its norm loses `pull` times the root of its size."""
    import tensorflow as tf

    for variables in found:
        squares = [tf.reduce_sum(tf.reshape(one, (-1, one.shape[-1])) ** 2, axis=0) for one in variables]
        size = sum(_size(one) for one in variables)
        norm = tf.sqrt(tf.add_n(squares))
        kept = tf.maximum(0.0, 1.0 - pull * size**0.5 / tf.maximum(norm, 1e-12))
        for one in variables:
            one.assign(one * kept)


def channels(model: Any) -> tuple[int, int]:
    """(channels that are not exactly zero, all channels) of the groups that training may shrink."""
    on: list[NDArray[np.bool]] = [
        np.asarray(np.concatenate([np.asarray(one).reshape(-1, one.shape[-1]) for one in variables]).any(axis=0))
        for variables in groups(model)
    ]
    return sum(int(one.sum()) for one in on), sum(one.size for one in on)


def _size(variable: Any) -> int:
    size = 1
    for edge in variable.shape[:-1]:
        size *= edge
    return size
