"""What the 256 steps of an integer tensor are spent on: the same answers from tensors that need less of a range.

A converter keeps one range for all of a tensor, so channels that move little have few of its steps, and so have the
logits between which a picture is decided, where others fall far below them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import fit

JOINS = ("Add", "AveragePooling2D", "Dropout", "MaxPooling2D", "ZeroPadding2D")
"""Layers that leave a channel divided by a positive number where all of their inputs have it so."""

FOLDS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Conv2DTranspose", "Dense")
"""Layers into which a converter folds what follows them."""

WIDENED = 16.0
"""The most by which a channel is multiplied: what pictures show that no sample did would else be cut off."""

LEFT = 1.0 / 400.0
"""The probability that all classes at the floor have together, at the most, on any sample: uint8 counts in 256ths."""


class Sums(NamedTuple):
    """Numbers (channels,) by id of the layer: what it writes is divided by them, or what it reads multiplied."""

    written: dict[int, NDArray[np.float64]]
    read: dict[int, NDArray[np.float64]]


class Node(NamedTuple):
    """One use of a layer in a net."""

    layer: Any
    inputs: list[Any]
    arguments: tuple[Any, ...]
    outputs: list[Any]


def sums(model: Any, samples: NDArray[np.uint8]) -> Sums:
    """By what to divide each channel where convolutions write a sum that normalisations read, for one range for all.

    It costs nothing: a convolution has a scale for each channel that it writes, and a normalisation that stands alone
    becomes a depthwise convolution (see `integers`), which has one for each that it reads. So it is between the blocks
    of a pre-activation residual net (He et al. 2016). After Nagel et al. (2019), who do so between convolutions, where
    what one gains the other loses.

    Args:
        model: keras.Model, nested ones included, on (batch, height, width, channels).
        samples: (n, height, width, channels), which show how large each channel becomes.
    """
    found = Sums({}, {})
    for graph in graphs(model):
        if graph.inputs[0].shape[1:] == samples.shape[1:] and len(graph.inputs) == 1:
            _add(graph, samples, found)
    return found


def stands_alone(layer: Any, x: Any) -> bool:
    """Whether `layer` normalises the channels of a picture `x` that no convolution before it could take it into."""
    last = len(x.shape) == 4 and layer.axis in (-1, 3)
    return last and type(x._keras_history.operation).__name__ not in FOLDS


def floored(model: Any, samples: NDArray[np.uint8]) -> Any:
    """`model` with logits from zero up: less a floor, and those below it raised to it.

    A softmax makes the same of them, up to `LEFT`, since the floor is so far below the largest logit of any sample.
    The dense layer does it that ends the net, its own rectifier cuts, and a division behind it goes into its weights.

    Args:
        model: keras.Model, pictures to (batch, classes) logits.
        samples: (n, height, width, channels), which show how large the logits become.

    Returns:
        A new model; `model` itself where it ends otherwise, or no logit is below the floor.
    """
    head = Head.of(model)
    if head is None or not head.is_linear:
        return model
    logits = fit.predict(model, samples)
    floor = float(logits.max(axis=1).min()) - np.log(logits.shape[1] / LEFT)
    return head.replaced(-floor, "relu") if logits.min() < floor else model


class Head(NamedTuple):
    """The dense layer, linear or with a rectifier and used once, that ends a net.

    Attributes:
        net: keras.Model, a copy around the same layers.
        layer: keras.layers.Dense.
        features: what it reads in `net`.
        by: the number by which its output is divided.
    """

    net: Any
    layer: Any
    features: Any
    by: float

    @classmethod
    def of(cls, model: Any) -> "Head | None":
        """None if the net ends otherwise."""
        import keras

        if next(graphs(model), None) is None:
            return None
        net, nodes = recorded(model)
        made, by = _maker(net.outputs[0], nodes), 1.0
        if made is not None and type(made.layer).__name__ in ("Divide", "TrueDivide"):
            if len(made.arguments) != 2 or not isinstance(made.arguments[1], (int, float)):
                return None
            by = float(made.arguments[1])
            made = _maker(made.arguments[0], nodes)
        if made is None or not isinstance(made.layer, keras.layers.Dense) or by <= 0:
            return None
        plain = _is_linear(made.layer) or made.layer.activation.__name__ == "relu"
        once = sum(one.layer is made.layer for one in nodes) == 1
        return cls(net, made.layer, made.inputs[0], by) if plain and once else None

    @property
    def is_linear(self) -> bool:
        return _is_linear(self.layer)

    def replaced(self, more: Any, activation: str) -> Any:
        """The net with a head that divides by itself, adds `more`, a number or (classes,), and ends in `activation`."""
        import keras

        config = self.layer.get_config() | {"activation": activation, "use_bias": True}
        same = type(self.layer).from_config(config)
        y = same(self.features)
        kernel, *bias = self.layer.get_weights()
        begun = bias[0] / self.by if bias else np.zeros(kernel.shape[1], np.float32)
        same.set_weights([kernel / self.by, begun + more])
        return keras.Model(self.net.inputs, y, name=self.net.name)


def _maker(tensor: Any, nodes: list[Node]) -> Node | None:
    return next((one for one in nodes if any(tensor is made for made in one.outputs)), None)


def graphs(model: Any) -> Iterator[Any]:
    """The net and all that it uses as layers, each once."""
    import keras

    if isinstance(model, keras.Model) and hasattr(model, "operations"):
        yield model
        for layer in model.layers:
            yield from graphs(layer)


def recorded(graph: Any) -> tuple[Any, list[Node]]:
    """A copy of the net around the same layers, and their uses in it, in order."""
    import keras

    nodes: list[Node] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        made = layer(*args, **kwargs)
        given = [one for one in keras.tree.flatten((args, kwargs)) if isinstance(one, keras.KerasTensor)]
        nodes.append(Node(layer, given, args, keras.tree.flatten(made)))
        return made

    return keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call), nodes


def cloned(model: Any, call: Callable[..., Any]) -> Any:
    """The net with what `call(layer, x, ...)` makes of each of its layers; `model` itself if it has none."""
    import keras

    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        return model
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call, recursive=True)


def normalisation(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(channels,) twice: by what a batch normalisation multiplies, and what it adds to that."""
    gamma = 1.0 if layer.gamma is None else np.asarray(layer.gamma, np.float64)
    beta = 0.0 if layer.beta is None else np.asarray(layer.beta, np.float64)
    factor = gamma / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    return factor, beta - np.asarray(layer.moving_mean) * factor


def _add(graph: Any, samples: NDArray[np.uint8], found: Sums) -> None:
    copy, nodes = recorded(graph)
    groups = [group for group in _groups(nodes) if _is_free(group, nodes, copy)]
    if not groups:
        return
    for group, peaks in zip(groups, _peaks(copy, groups, samples), strict=True):
        share = np.maximum(peaks, peaks.max() / WIDENED) / peaks.max() if peaks.max() > 0 else np.ones_like(peaks)
        tensors = {id(one) for one in group}
        for node in nodes:
            if _is_norm(node) and id(node.inputs[0]) in tensors:
                found.read[id(node.layer)] = share
            elif writes(node.layer) and id(node.outputs[0]) in tensors:
                found.written[id(node.layer)] = share


def _groups(nodes: list[Node]) -> Iterable[list[Any]]:
    """Tensors that have to be divided alike, since layers of `JOINS` lead from one to another."""
    of: dict[int, list[Any]] = {}
    for node in nodes:
        for tensor in (*node.inputs, *node.outputs):
            of.setdefault(id(tensor), [tensor])
        if type(node.layer).__name__ in JOINS:
            parts = {id(of[id(one)]): of[id(one)] for one in (*node.inputs, *node.outputs)}
            merged = [tensor for part in parts.values() for tensor in part]
            of |= {id(tensor): merged for tensor in merged}
    return {id(group): group for group in of.values()}.values()


def _is_free(group: list[Any], nodes: list[Node], copy: Any) -> bool:
    """Whether layers that can divide write all of it, normalisations that can multiply read it, and nobody else."""
    tensors, uses = {id(one) for one in group}, Counter(id(node.layer) for node in nodes)
    made = {id(one) for node in nodes for one in node.outputs}
    if not tensors <= made or tensors & {id(one) for one in copy.outputs} or any(len(one.shape) != 4 for one in group):
        return False
    writers = [node for node in nodes if tensors & {id(one) for one in node.outputs} and not _is_join(node)]
    readers = [node for node in nodes if tensors & {id(one) for one in node.inputs} and not _is_join(node)]
    sound = all(writes(node.layer) for node in writers) and all(_is_norm(node) for node in readers)
    return sound and bool(readers) and all(uses[id(node.layer)] == 1 for node in writers + readers)


def _is_join(node: Node) -> bool:
    return type(node.layer).__name__ in JOINS


def _is_norm(node: Node) -> bool:
    import keras

    return isinstance(node.layer, keras.layers.BatchNormalization) and stands_alone(node.layer, node.inputs[0])


def writes(layer: Any) -> bool:
    """Whether it is a convolution that nothing rectifies."""
    return type(layer).__name__ in ("Conv2D", "DepthwiseConv2D") and _is_linear(layer)


def _is_linear(layer: Any) -> bool:
    return layer.activation is None or getattr(layer.activation, "__name__", "") == "linear"


def _peaks(copy: Any, groups: list[list[Any]], samples: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """(channels,) for each group: how large each channel becomes in any of its tensors."""
    import keras

    largest = [keras.ops.max(keras.ops.abs(tensor), axis=(1, 2)) for group in groups for tensor in group]
    seen = fit.predict(keras.Model(copy.inputs, keras.ops.concatenate(largest, axis=-1)), samples).max(axis=0)
    edges = np.cumsum([tensor.shape[-1] for group in groups for tensor in group])[:-1]
    parts = iter(np.split(seen.astype(np.float64), edges))
    return [np.max([next(parts) for _ in group], axis=0) for group in groups]


def divided(layer: Any, by: NDArray[np.float64], x: Any) -> Any:
    """What a convolution makes of `x`, each channel divided by its number of `by` (channels,)."""
    import keras

    same = type(layer).from_config(layer.get_config())
    y = same(x)
    kernel, *bias = layer.get_weights()
    split = by.reshape(kernel.shape[-2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else by
    same.set_weights([kernel / split, *(one / by for one in bias)])
    return y
