"""The same network with the weights that a file of fewer bits will have: chosen here, not by a converter.

A converter rounds each weight by itself. Here those of a layer make up for one another (see `gptq`), and what is left
on average is taken off the bias: a weight is off by the same amount whatever the picture, what it is multiplied with is
positive behind a rectifier, and so a channel is off to one side. How far, the net says before there is a file (the
empirical bias correction of Nagel et al. 2019, asked of the net that nothing is rounded in).
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import fit, gptq, ranges
from graft.core.ranges import Node

STEPS = 127
"""To either side of zero: what a converter makes of the largest weight of a channel."""

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")

MOST = 4608
"""Inputs of a layer whose weights make up for one another (3 x 3 places of 512 channels); they take 170 MB, squared."""

AT_ONCE = 2**26
"""Numbers that covariances have which are found in one pass over the samples: 512 MB."""

BATCH, PLACES = 50, 64
"""Samples looked at at once, and places of a picture that are taken of each, on average."""


def settled(model: Any, samples: NDArray[np.uint8], bits: Mapping[str, int]) -> Any:
    """`model` with weights that a converter moves no more; normalisations and the division at the end are folded in.

    Layers that are used twice, in groups, or have more inputs than `MOST` stay for the converter to round.

    Args:
        model: keras.Model, nested ones included, pictures (batch, height, width, channels) to (batch, classes).
        samples: (n, height, width, channels), which show what a layer reads.
        bits: by class of a layer (Conv2D, Dense) those of a weight, see `gptq.rounded`.
    """
    head = ranges.Head.of(model)
    undivided = head.replaced(0.0, "linear" if head.is_linear else "relu") if head else model
    folded = ranges.cloned(undivided, functools.partial(_folded, _folds(undivided)))
    weights = dict[int, list[NDArray[np.float32]]]()
    for graph, uses in _graphs(folded, samples, (*bits,)):
        mine = [one for one in uses if _inputs(one.layer) <= MOST and getattr(one.layer, "groups", 1) == 1]
        for node, (mean, covariance) in zip(mine, _moments(graph, mine, samples), strict=True):
            kernel, *bias = node.layer.get_weights()
            flat = kernel.reshape(-1, kernel.shape[-1])
            made = gptq.rounded(flat, covariance, bits[type(node.layer).__name__])
            weights[id(node.layer)] = [made.reshape(kernel.shape), (bias[0] if bias else 0.0) + mean @ (flat - made)]
    return ranges.cloned(folded, functools.partial(_with, weights))


def shifts(model: Any, samples: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
    """By id of a convolution, (channels,): what rounding its weights to 8 bits adds to each channel on average.

    Those that round to themselves are left out. A batch normalisation that is folded into a convolution later
    multiplies a channel's weights and their steps alike.

    Args:
        model: keras.Model, nested ones included, on (batch, height, width, channels).
        samples: (n, height, width, channels), over which it is averaged.
    """
    import keras

    found = dict[int, NDArray[np.float32]]()
    for graph, uses in _graphs(model, samples, CONVOLUTIONS):
        mine = [one for one in uses if not _is_settled(one.layer)]
        if not mine:
            continue
        added = [keras.ops.mean(_error(node.layer)(node.inputs[0]), axis=(1, 2)) for node in mine]
        seen = fit.predict(keras.Model(graph.inputs, keras.ops.concatenate(added, axis=-1)), samples).mean(axis=0)
        edges = np.cumsum([one.shape[-1] for one in added])[:-1]
        found |= {id(node.layer): part for node, part in zip(mine, np.split(seen, edges), strict=True)}
    return found


def less(layer: Any, shift: NDArray[np.float32], x: Any) -> Any:
    """What a convolution makes of `x`, less `shift` (channels,)."""
    kernel, *bias = layer.get_weights()
    return _like(layer, kernel, (bias[0] if bias else 0.0) - shift, x)


def kernel(values: NDArray[np.float32], channels: tuple[int, ...]) -> NDArray[np.float32]:
    """The weights of a convolution as a converter to integers rounds them.

    Args:
        values: (height, width, in, out) or, of a depthwise one, (height, width, channels, multiplier).
        channels: the axes that tell one channel that is written from another.
    """
    others = tuple(axis for axis in range(values.ndim) if axis not in channels)
    step = np.maximum(np.abs(values).max(axis=others, keepdims=True) / STEPS, np.finfo(np.float32).tiny)
    nearest: NDArray[np.float32] = np.round(values / step) * step
    return nearest


def _graphs(model: Any, samples: NDArray[np.uint8], kinds: Sequence[str]) -> Iterator[tuple[Any, list[Node]]]:
    """Nets within `model` that read pictures, and the only uses of their layers of those kinds."""
    for graph in ranges.graphs(model):
        if len(graph.inputs) == 1 and graph.inputs[0].shape[1:] == samples.shape[1:]:
            copy, nodes = ranges.recorded(graph)
            uses = Counter(id(node.layer) for node in nodes)
            mine = [one for one in nodes if type(one.layer).__name__ in kinds and uses[id(one.layer)] == 1]
            if mine:
                yield copy, mine


def _inputs(layer: Any) -> int:
    return int(np.prod(layer.kernel.shape[:-1]))


def _moments(graph: Any, nodes: list[Node], samples: NDArray[np.uint8]) -> Iterator[tuple[Any, Any]]:
    """(inputs,), (inputs, inputs) for each node: mean and covariance of what its weights are multiplied with."""
    some, size = list[Node](), 0
    for node in nodes:
        if some and size + _inputs(node.layer) ** 2 > AT_ONCE:
            yield from _seen(graph, some, samples)
            some, size = [], 0
        some.append(node)
        size += _inputs(node.layer) ** 2
    if some:
        yield from _seen(graph, some, samples)


def _seen(graph: Any, nodes: list[Node], samples: NDArray[np.uint8]) -> Iterator[tuple[Any, Any]]:
    import keras

    asked, generator = keras.Model(graph.inputs, [node.inputs[0] for node in nodes]), np.random.default_rng(0)
    found = [Moments(_inputs(node.layer)) for node in nodes]
    for start in range(0, len(samples), BATCH):
        some = samples[start : start + BATCH].astype(np.float32)
        reads = keras.tree.flatten(asked([some], training=False))
        for node, read, moments in zip(nodes, reads, found, strict=True):
            rows = _rows(node.layer, read)
            if len(rows) > PLACES * len(some):
                rows = rows[generator.choice(len(rows), PLACES * len(some), replace=False)]
            moments.add(rows)
    for moments in found:
        yield moments.mean, moments.covariance


class Moments:
    """Mean and covariance of rows that come in parts: sums of what they differ by from the first part's mean, so that
    inputs that hardly move lose no digits."""

    def __init__(self, inputs: int) -> None:
        self._near: NDArray[np.float32] | None = None
        self._n, self._sum, self._products = 0, np.zeros(inputs), np.zeros((inputs, inputs))

    def add(self, rows: NDArray[np.float32]) -> None:
        """(n, inputs)."""
        self._near = rows.mean(axis=0) if self._near is None else self._near
        off = rows - self._near
        self._n += len(rows)
        self._sum += off.sum(axis=0, dtype=np.float64)
        self._products += off.T @ off

    @property
    def mean(self) -> NDArray[np.float64]:
        near = 0.0 if self._near is None else self._near.astype(np.float64)
        return near + self._sum / self._n

    @property
    def covariance(self) -> NDArray[np.float64]:
        return self._products / self._n - np.outer(self._sum, self._sum) / self._n**2


def _rows(layer: Any, read: Any) -> NDArray[np.float32]:
    """(rows, inputs): all that the layer's weights are multiplied with."""
    import keras

    if type(layer).__name__ == "Conv2D":
        how = {"strides": layer.strides, "dilation_rate": layer.dilation_rate, "padding": layer.padding}
        read = keras.ops.image.extract_patches(read, layer.kernel_size, **how)
    seen = np.asarray(read)
    return seen.reshape(-1, seen.shape[-1])


def _folds(model: Any) -> dict[int, Any]:
    """By id of a convolution the normalisation that alone reads it, and the other way round."""
    import keras

    found = dict[int, Any]()
    for graph in ranges.graphs(model):
        copy, nodes = ranges.recorded(graph)
        uses = Counter(id(node.layer) for node in nodes)
        readers = Counter(id(one) for node in nodes for one in node.inputs)
        readers.update(id(one) for one in copy.outputs)
        made = {id(node.outputs[0]): node.layer for node in nodes if ranges.writes(node.layer)}
        for node in nodes:
            before = made.get(id(node.inputs[0])) if node.inputs else None
            if not isinstance(node.layer, keras.layers.BatchNormalization) or type(before).__name__ != "Conv2D":
                continue
            if readers[id(node.inputs[0])] == uses[id(node.layer)] == uses[id(before)] == 1:
                found |= {id(before): node.layer, id(node.layer): before}
    return found


def _folded(folds: dict[int, Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    if id(layer) not in folds:
        return layer(*args, **kwargs)
    if type(layer).__name__ == "BatchNormalization":
        return args[0]
    factor, offset = ranges.normalisation(folds[id(layer)], layer.filters)
    kernel, *bias = layer.get_weights()
    return _like(layer, kernel * factor, offset + (bias[0] * factor if bias else 0.0), args[0])


def _with(weights: dict[int, list[NDArray[np.float32]]], layer: Any, *args: Any, **kwargs: Any) -> Any:
    if id(layer) not in weights:
        return layer(*args, **kwargs)
    kernel, bias = weights[id(layer)]
    return _like(layer, kernel, bias, args[0])


def _like(layer: Any, kernel: NDArray[np.float32], bias: NDArray[np.float32], x: Any) -> Any:
    """What the same layer with other weights makes of `x`."""
    same = type(layer).from_config(layer.get_config() | {"use_bias": True})
    y = same(x)
    same.set_weights([kernel, bias])
    return y


def _is_settled(layer: Any) -> bool:
    """Also of 1 by 1: it only multiplies and adds, as a normalisation does that stands alone (see `integers`)."""
    values = np.asarray(layer.kernel)
    if type(layer).__name__ == "DepthwiseConv2D" and max(layer.kernel_size) == 1:
        return True
    return bool(np.allclose(kernel(values, _channels(layer)), values, rtol=0, atol=1e-5 * np.abs(values).max()))


def _channels(layer: Any) -> tuple[int, ...]:
    return (2, 3) if type(layer).__name__ == "DepthwiseConv2D" else (3,)


def _error(layer: Any) -> Any:
    """The same convolution of what its weights are off by."""
    values = np.asarray(layer.kernel)
    off = kernel(values, _channels(layer)) - values
    plain = {"name": f"{layer.name}_off", "use_bias": False, "activation": None}
    made = type(layer).from_config(layer.get_config() | plain)
    made.build((None, None, None, values.shape[2] * getattr(layer, "groups", 1)))
    made.set_weights([off])
    return made
