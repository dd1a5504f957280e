"""What rounded weights add to a convolution's channels on average: its bias can take that off.

A weight of 8 bits is off by the same amount whatever the picture. What it is multiplied with is positive on average,
behind a rectifier always, and so the channel is off to one side, and all that reads it. How far, the net says before
there is a file (the empirical bias correction of Nagel et al. 2019, asked of the net that nothing is rounded in).
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import fit, ranges

STEPS = 127
"""To either side of zero: what a converter makes of the largest weight of a channel."""

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")


def shifts(model: Any, samples: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
    """By id of a convolution, (channels,): what rounding its weights adds to each channel on average.

    Only of nets that have depthwise convolutions, whose channels have few weights each: others lost as much by it as
    they gained, or more (docs/exports.md).

    A batch normalisation that is folded into a convolution later multiplies a channel's weights and their steps alike.

    Args:
        model: keras.Model, nested ones included, on (batch, height, width, channels).
        samples: (n, height, width, channels), over which it is averaged.
    """
    import keras

    found = dict[int, NDArray[np.float32]]()
    for graph in ranges.graphs(model):
        if len(graph.inputs) != 1 or graph.inputs[0].shape[1:] != samples.shape[1:]:
            continue
        copy, nodes = ranges.recorded(graph)
        uses = Counter(id(node.layer) for node in nodes)
        mine = [node for node in nodes if type(node.layer).__name__ in CONVOLUTIONS and uses[id(node.layer)] == 1]
        if not mine or not any(_is_depthwise(node.layer) for node in nodes):
            continue
        added = [keras.ops.mean(_error(node.layer)(node.inputs[0]), axis=(1, 2)) for node in mine]
        seen = fit.predict(keras.Model(copy.inputs, keras.ops.concatenate(added, axis=-1)), samples).mean(axis=0)
        edges = np.cumsum([one.shape[-1] for one in added])[:-1]
        found |= {id(node.layer): part for node, part in zip(mine, np.split(seen, edges), strict=True)}
    return found


def less(layer: Any, shift: NDArray[np.float32], x: Any) -> Any:
    """What a convolution makes of `x`, less `shift` (channels,)."""
    same = type(layer).from_config(layer.get_config() | {"use_bias": True})
    y = same(x)
    kernel, *bias = layer.get_weights()
    same.set_weights([kernel, (bias[0] if bias else 0.0) - shift])
    return y


def kernel(values: NDArray[np.float32], channels: tuple[int, ...]) -> NDArray[np.float32]:
    """The weights of a convolution as a file of integers has them.

    Args:
        values: (height, width, in, out) or, of a depthwise one, (height, width, channels, multiplier).
        channels: the axes that tell one channel that is written from another.
    """
    others = tuple(axis for axis in range(values.ndim) if axis not in channels)
    step = np.maximum(np.abs(values).max(axis=others, keepdims=True) / STEPS, np.finfo(np.float32).tiny)
    nearest: NDArray[np.float32] = np.round(values / step) * step
    return nearest


def _is_depthwise(layer: Any) -> bool:
    """Of 1 by 1 it only multiplies and adds, as a normalisation does that stands alone (see `integers`)."""
    return type(layer).__name__ == "DepthwiseConv2D" and max(layer.kernel_size) > 1


def _error(layer: Any) -> Any:
    """The same convolution of what its weights are off by."""
    values = np.asarray(layer.kernel)
    off = kernel(values, (2, 3) if type(layer).__name__ == "DepthwiseConv2D" else (3,)) - values
    plain = {"name": f"{layer.name}_off", "use_bias": False, "activation": None}
    made = type(layer).from_config(layer.get_config() | plain)
    made.build((None, None, None, values.shape[2] * getattr(layer, "groups", 1)))
    made.set_weights([off])
    return made
