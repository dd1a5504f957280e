"""The same network in layers that lose less when a converter makes them integers.

A converter folds batch normalisation into the convolution before it. Where none is, as after an addition, and in a
rescaling, it multiplies and then adds, and rounds to 8 bits twice. A depthwise convolution of 1 by 1 does both at once,
with a scale for each channel (Krishnamoorthi 2018) and a bias of 32 bits.

A dense layer has one scale for all weights that lead to a class. A head that was fitted to features of which some
hardly ever move (a probe on ReLU6 features, say) has weights a thousand times the others' there, and the others round
to zero. What those features gain before it, their weights lose: so much that both have as much of their range (after
Nagel et al. 2019, who do so between layers).
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import fit

FOLDS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dense")
"""Layers into which a converter folds what follows them."""

UNEVEN = 16.0
"""How many times the median the largest weight of some feature has to be for a dense layer to be evened out."""

LEAST = 1e-3
"""Of the largest feature, or the largest weight: what one is taken for that has less."""


def rewritten(model: Any, samples: NDArray[np.uint8]) -> Any:
    """A keras.Model that answers as `model` does, up to rounding; it shares the weights that stay as they are.

    Args:
        model: built of layers, nested models included, on (batch, height, width, channels).
        samples: (n, height, width, channels), which show how large features become.
    """
    return _cloned(model, functools.partial(_folded, samples))


def evened(model: Any, samples: NDArray[np.uint8]) -> Any:
    """The same, but dense layers alone are made anew: all that a file needs whose weights alone are integers."""
    return _cloned(model, functools.partial(_evened, samples))


def _cloned(model: Any, call: Callable[..., Any]) -> Any:
    import keras

    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        return model
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call, recursive=True)


def _folded(samples: NDArray[np.uint8], layer: Any, *args: Any, **kwargs: Any) -> Any:
    import keras

    x = args[0] if args else None
    if isinstance(layer, keras.layers.BatchNormalization) and _stands_alone(layer, x):
        factor = _weight(layer.gamma, x) / np.sqrt(np.asarray(layer.moving_variance) + layer.epsilon)
        return _depthwise(layer.name, factor, _weight(layer.beta, x, 0.0) - np.asarray(layer.moving_mean) * factor, x)
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


def _stands_alone(layer: Any, x: Any) -> bool:
    return _is_picture(x) and layer.axis in (-1, 3) and type(x._keras_history.operation).__name__ not in FOLDS


def _is_picture(x: Any) -> bool:
    return x is not None and len(x.shape) == 4


def _weight(variable: Any, x: Any, without: float = 1.0) -> Any:
    return np.full(x.shape[-1], without) if variable is None else np.asarray(variable)


def _depthwise(name: str, factor: Any, offset: Any, x: Any) -> Any:
    """`x` times `factor` plus `offset`, each one number or one for each channel."""
    import keras

    layer = keras.layers.DepthwiseConv2D(1, name=f"{name}_depthwise")
    y = layer(x)
    channels = x.shape[-1]
    kernel, bias = (np.broadcast_to(np.asarray(one, np.float32), (channels,)) for one in (factor, offset))
    layer.set_weights([kernel.reshape(1, 1, channels, 1), bias])
    return y
