"""The same network in layers that lose less when a converter makes them integers.

A converter folds batch normalisation into the convolution before it. Where none is, as after an addition, and in a
rescaling, it multiplies and then adds, and rounds to 8 bits twice. A depthwise convolution of 1 by 1 does both at once,
with a scale for each channel (Krishnamoorthi 2018) and a bias of 32 bits.

A dense layer has one scale for all weights that lead to a class. A head that was fitted to features of which some
hardly ever move (a probe on ReLU6 features, say) has weights a thousand times the others' there, and the others round
to zero. What those features gain before it, their weights lose: so much that both have as much of their range (after
Nagel et al. 2019, who do so between layers). What else a range is better spent on, `ranges` says.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import fit, ranges
from graft.core.fake_quant_layers import UNEVEN

ENOUGH = 10
"""Samples above the floor that a class has to have for all of its mean to be believed."""

LEAST = 1e-3
"""Of the largest feature, or the largest weight: what one is taken for that has less."""


def rewritten(model: Any, samples: NDArray[np.uint8]) -> Any:
    """A keras.Model whose softmax is that of `model`; it shares the weights that stay as they are.

    Logits that decide nothing are raised to a floor, and all are counted from it (see `ranges.floored`); what is left
    of a difference is rounding.

    Args:
        model: built of layers, nested models included, on (batch, height, width, channels).
        samples: (n, height, width, channels), which show how large features become.
    """
    call = functools.partial(_folded, samples, ranges.sums(model, samples))
    return ranges.floored(ranges.cloned(model, call), samples)


def corrected(model: Any, logits: NDArray[np.float32], found: NDArray[np.float32]) -> Any:
    """`model` less what its integers add to each logit on average (Nagel et al. 2019).

    Args:
        model: keras.Model, as `rewritten` made it.
        logits: (n, classes), what `rewritten` answers to n samples.
        found: the same by a file of integers that was made of `model`.

    Returns:
        A new model; `model` itself where no dense layer ends it.
    """
    head = ranges.Head.of(model)
    if head is None:
        return model
    counts = np.ones_like(logits) if head.is_linear else (logits > 0) * (found > 0)  # at a floor nothing is added
    more = ((found - logits) * counts).sum(axis=0) / np.maximum(counts.sum(axis=0), ENOUGH)
    return head.replaced(-more, "linear" if head.is_linear else "relu")


def evened(model: Any, samples: NDArray[np.uint8]) -> Any:
    """The same, but dense layers alone are made anew: all that a file needs whose weights alone are integers."""
    return ranges.cloned(model, functools.partial(_evened, samples))


def _folded(samples: NDArray[np.uint8], sums: ranges.Sums, layer: Any, *args: Any, **kwargs: Any) -> Any:
    import keras

    x = args[0] if args else None
    if id(layer) in sums.written:
        return ranges.divided(layer, sums.written[id(layer)], x)
    if isinstance(layer, keras.layers.BatchNormalization) and x is not None and ranges.stands_alone(layer, x):
        factor, offset = ranges.normalisation(layer)
        return _depthwise(layer.name, factor * sums.read.get(id(layer), 1.0), offset, x)
    if isinstance(layer, keras.layers.Rescaling) and _is_picture(x):
        return _depthwise(layer.name, layer.scale, layer.offset, x)
    return _evened(samples, layer, *args, **kwargs)


def _evened(samples: NDArray[np.uint8], layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Where weights are uneven, those of each feature are divided by a number, with which the feature is multiplied."""
    import keras

    x: Any = args[0] if args else None
    if not isinstance(layer, keras.layers.Dense) or len(x.shape) != 2:
        return layer(*args, **kwargs)
    largest = np.abs(np.asarray(layer.kernel)).max(axis=1)
    if largest.max() <= UNEVEN * np.median(largest):
        return layer(*args, **kwargs)
    gain = np.sqrt(_at_least(largest) / _at_least(_largest(x, samples)))
    picture = keras.layers.Reshape((1, 1, x.shape[-1]))(x)
    y = keras.layers.Flatten()(_depthwise(layer.name, gain, 0.0, picture))
    same = keras.layers.Dense.from_config(layer.get_config())
    z = same(y)
    kernel, *bias = layer.get_weights()
    same.set_weights([kernel / gain[:, None], *bias])
    return z


def _largest(x: Any, samples: NDArray[np.uint8]) -> Any:
    """(features,) how large each of `x` becomes; ones where `x` is not made of pictures."""
    import keras

    sources = keras.utils.get_source_inputs(x)
    if len(sources) != 1 or tuple(sources[0].shape[1:]) != samples.shape[1:]:
        return np.ones(x.shape[-1])
    return np.abs(fit.predict(keras.Model(sources, x), samples)).max(axis=0)


def _at_least(values: Any) -> Any:
    return np.maximum(values, max(LEAST * values.max(), np.finfo(np.float32).tiny))


def _is_picture(x: Any) -> bool:
    return x is not None and len(x.shape) == 4


def _depthwise(name: str, factor: Any, offset: Any, x: Any) -> Any:
    """`x` times `factor` plus `offset`, each one number or one for each channel."""
    import keras

    layer = keras.layers.DepthwiseConv2D(1, name=f"{name}_depthwise")
    y = layer(x)
    channels = x.shape[-1]
    kernel, bias = (np.broadcast_to(np.asarray(one, np.float32), (channels,)) for one in (factor, offset))
    layer.set_weights([kernel.reshape(1, 1, channels, 1), bias])
    return y
