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

from graft.core import gptq, ranges
from graft.core.ranges import Node

EIGHT = {"Conv2D": 8, "DepthwiseConv2D": 8, "Dense": 8}
"""Bits of a file of integers, for `settled`."""

MOST = 4608
"""Inputs of a layer whose weights make up for one another (3 x 3 places of 512 channels); they take 170 MB, squared."""

AT_ONCE = 2**26
"""Numbers that covariances have which are found in one pass over the samples: 512 MB."""

ROWS = 2**25
"""Numbers of rows that are held at once: 134 MB."""

BATCH, PLACES = 50, 64
"""Samples looked at at once, and places of a picture that are taken of each, on average."""


def settled(model: Any, samples: NDArray[np.uint8], bits: Mapping[str, int]) -> Any:
    """`model` with weights that a converter moves no more; normalisations and the division at the end are folded in.

    Layers that are used twice or have more inputs than `MOST` stay for the converter to round. Each group of a
    convolution is a layer of its own, as is each channel that a depthwise one reads.

    Args:
        model: keras.Model, nested ones included, pictures (batch, height, width, channels) to (batch, classes).
        samples: (n, height, width, channels), which show what a layer reads.
        bits: by class of a layer (Conv2D, DepthwiseConv2D, Dense) those of a weight, see `gptq.rounded`.
    """
    head = ranges.Head.of(model)
    undivided = head.replaced(0.0, "linear" if head.is_linear else "relu") if head else model
    folded = ranges.cloned(undivided, functools.partial(_folded, _folds(undivided)))
    weights = dict[int, list[NDArray[np.float32]]]()
    for graph, uses in _graphs(folded, samples, (*bits,)):
        mine = [one for one in uses if _inputs(one.layer) <= MOST]
        for node, moments in zip(mine, _moments(graph, mine, samples), strict=True):
            kernel, *bias = node.layer.get_weights()
            flat = _flat(node.layer, kernel)
            made = gptq.rounded(flat, moments.covariance, bits[type(node.layer).__name__])
            shift = np.matmul(moments.mean[:, None], flat - made).ravel()
            weights[id(node.layer)] = [_shaped(node.layer, made), (bias[0] if bias else 0.0) + shift]
    return ranges.cloned(folded, functools.partial(_with, weights))


def _graphs(model: Any, samples: NDArray[np.uint8], kinds: Sequence[str]) -> Iterator[tuple[Any, list[Node]]]:
    """Nets within `model` that read pictures, and the only uses of their layers of those kinds."""
    for graph in ranges.graphs(model):
        if len(graph.inputs) == 1 and graph.inputs[0].shape[1:] == samples.shape[1:]:
            copy, nodes = ranges.recorded(graph)
            uses = Counter(id(node.layer) for node in nodes)
            mine = [one for one in nodes if type(one.layer).__name__ in kinds and uses[id(one.layer)] == 1]
            if mine:
                yield copy, mine


def _is_depthwise(layer: Any) -> bool:
    return type(layer).__name__ == "DepthwiseConv2D"


def _layers(layer: Any) -> int:
    """Parts that read channels of their own: groups of a convolution, channels of a depthwise one."""
    return int(layer.kernel.shape[2] if _is_depthwise(layer) else getattr(layer, "groups", 1))


def _inputs(layer: Any) -> int:
    """Weights that are multiplied to make one number."""
    return int(np.prod(layer.kernel.shape[: 2 if _is_depthwise(layer) else -1]))


def _flat(layer: Any, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(layers, inputs, outputs) of a kernel, of which a depthwise one has a channel's outputs last and others all."""
    outputs = kernel.shape[-1] if _is_depthwise(layer) else kernel.shape[-1] // _layers(layer)
    return kernel.reshape(_inputs(layer), _layers(layer), outputs).transpose(1, 0, 2)


def _shaped(layer: Any, flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The kernel of `_flat`."""
    return flat.transpose(1, 0, 2).reshape(layer.kernel.shape)


class Moments:
    """Mean and covariance of rows that come in parts, of several layers at once.

    Sums are of what rows differ by from the first part's mean, so that inputs that hardly move lose no digits.
    """

    def __init__(self, layers: int, inputs: int) -> None:
        self._near: NDArray[np.float32] | None = None
        self._n, self._sum, self._products = 0, np.zeros((layers, inputs)), np.zeros((layers, inputs, inputs))

    def add(self, rows: NDArray[np.float32]) -> None:
        """(layers, n, inputs)."""
        self._near = rows.mean(axis=1, keepdims=True) if self._near is None else self._near
        off = rows - self._near
        self._n += rows.shape[1]
        self._sum += off.sum(axis=1, dtype=np.float64)
        self._products += off.transpose(0, 2, 1) @ off

    @property
    def mean(self) -> NDArray[np.float64]:
        """(layers, inputs)."""
        near = 0.0 if self._near is None else self._near[:, 0].astype(np.float64)
        return near + self._sum / self._n

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(layers, inputs, inputs)."""
        return self._products / self._n - self._sum[:, :, None] * self._sum[:, None] / self._n**2


def _moments(graph: Any, nodes: list[Node], samples: NDArray[np.uint8]) -> Iterator[Moments]:
    """Of what the weights of each node's layer are multiplied with."""
    some, size = list[Node](), 0
    for node in nodes:
        numbers = _layers(node.layer) * _inputs(node.layer) ** 2
        if some and size + numbers > AT_ONCE:
            yield from _seen(graph, some, samples)
            some, size = [], 0
        some.append(node)
        size += numbers
    if some:
        yield from _seen(graph, some, samples)


def _seen(graph: Any, nodes: list[Node], samples: NDArray[np.uint8]) -> list[Moments]:
    import keras

    asked, generator = keras.Model(graph.inputs, [node.inputs[0] for node in nodes]), np.random.default_rng(0)
    found = [Moments(_layers(node.layer), _inputs(node.layer)) for node in nodes]
    for start in range(0, len(samples), BATCH):
        some = samples[start : start + BATCH].astype(np.float32)
        reads = keras.tree.flatten(asked([some], training=False))
        for node, read, moments in zip(nodes, reads, found, strict=True):
            for part in _parts(node.layer, read):
                rows = _rows(node.layer, part)
                if len(rows) > PLACES * len(part):
                    rows = rows[generator.choice(len(rows), PLACES * len(part), replace=False)]
                moments.add(_by_layer(node.layer, rows))
    return found


def _parts(layer: Any, read: Any) -> Iterator[Any]:
    """What was read, so many pictures at a time that all rows of them are no more than `ROWS` numbers."""
    each = int(np.prod(read.shape[1:]) * np.prod(getattr(layer, "kernel_size", 1)))
    pictures = max(1, ROWS // each)
    for start in range(0, len(read), pictures):
        yield read[start : start + pictures]


def _by_layer(layer: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(layers, rows, inputs) of rows in which each place's channels, those of all layers, stand together."""
    layers = _layers(layer)
    channels = _inputs(layer) // int(np.prod(getattr(layer, "kernel_size", 1)))
    split = rows.reshape(len(rows), -1, layers, channels).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(split).reshape(layers, len(rows), -1)  # or numpy multiplies without BLAS


def _rows(layer: Any, read: Any) -> NDArray[np.float32]:
    """(rows, places x channels) that the layer's weights are multiplied with."""
    import tensorflow as tf

    if type(layer).__name__ != "Dense":  # Keras' own extract_patches (3.15) is a convolution, and takes minutes here
        edges = [[1, *pair, 1] for pair in (layer.kernel_size, layer.strides, layer.dilation_rate)]
        read = tf.image.extract_patches(read, *edges, padding=layer.padding.upper())
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
            if not isinstance(node.layer, keras.layers.BatchNormalization) or before is None:
                continue
            if (
                node.layer.axis in (-1, 3)
                and readers[id(node.inputs[0])] == uses[id(node.layer)] == uses[id(before)] == 1
            ):
                found |= {id(before): node.layer, id(node.layer): before}
    return found


def _folded(folds: dict[int, Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    if id(layer) not in folds:
        return layer(*args, **kwargs)
    if type(layer).__name__ == "BatchNormalization":
        return args[0]
    factor, offset = ranges.normalisation(folds[id(layer)])
    kernel, *bias = layer.get_weights()
    split = factor.reshape(kernel.shape[2:]) if _is_depthwise(layer) else factor
    return _like(layer, kernel * split, offset + (bias[0] * factor if bias else 0.0), args[0])


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
