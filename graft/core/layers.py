"""What a fine-tuning method must know of any backbone: its blocks in order, its batch norms, and how to freeze them.

A block is what lies between two places where a single tensor carries all that flows from the pictures to the features:
a residual block is one, so is a plain layer with weights, so is a depthwise convolution with the pointwise ones around
it. Layers without a kernel (batch norms, say) belong to the block before them, those ahead of the first kernel to the
first block. A net in which no such place exists is one block.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any


def blocks(backbone: Any) -> list[list[Any]]:
    """Layers with weights, block by block, from the pictures to the features.

    Args:
        backbone: functional keras.Model with one input and one output.
    """
    return [_with_weights(block) for block in _blocks(backbone)]


@functools.lru_cache(maxsize=4)
def parted(backbone: Any, last: int) -> tuple[Any, Any]:
    """`backbone` as two models with its own layers: all before the `last` blocks, and those.

    Args:
        last: from 1 to one less than there are blocks.
    """
    import keras

    before = chain(*_blocks(backbone)[:-last])
    *_, cut = before
    kept = keras.Model(backbone.inputs[0], cut.output, name="kept")
    return kept, keras.Model(cut.output, backbone.outputs[0], name="rest")


def mapped(backbone: Any, edge: int) -> tuple[Any, Any]:
    """`backbone` as two models with its own layers: up to the last map of `edge` x `edge` places or more, and the rest.

    A map is a tensor of (batch, height, width, channels) that carries all that flows on; the pictures are one.
    """
    import keras

    made = [segment[-1].output for segment in _segments(backbone)]
    maps = [one for one in made if len(one.shape) == 4 and min(one.shape[1:3]) >= edge]
    cut = maps[-1] if maps else backbone.inputs[0]
    return keras.Model(backbone.inputs[0], cut, name="seen"), keras.Model(cut, backbone.outputs[0], name="rest")


def parts(layer: Any) -> list[Any]:
    """`layer` and all layers inside it, however deep; what holds others comes before them."""
    return list(layer._flatten_layers())


def batch_norms(layer: Any) -> list[Any]:
    """The batch normalisations inside `layer`."""
    return [one for one in parts(layer) if _is(one, "BatchNormalization")]


@contextmanager
def frozen(layers: Iterable[Any]) -> Iterator[None]:
    """Inside, no weight of `layers` is trainable and batch norms among them use and keep their moving statistics.

    `training=False` would not do: an outer model called with training=True overrides it (Keras 3.15).
    """
    held = [(one, one.trainable) for layer in layers for one in parts(layer)]
    try:
        for one, _ in held:
            one.trainable = False
        yield
    finally:
        for one, flag in held:
            one.trainable = flag


def flags(model: Any) -> tuple[bool, ...]:
    """Of each layer whether it is trainable: what a traced training step depends on besides its variables."""
    return tuple(one.trainable for one in parts(model))


def _blocks(backbone: Any) -> list[list[Any]]:
    """The net's operations in order, block by block."""
    found: list[list[Any]] = [[]]
    expanded = waiting = False  # a pointwise convolution was just seen; a depthwise one waits for its own
    for segment in _segments(backbone):
        kernels = [one for one in _with_weights(segment) if _has_kernel(one)]
        single = kernels[0] if kernels and len(segment) == 1 else None
        depthwise, pointwise = _is(single, "DepthwiseConv2D"), getattr(single, "kernel_size", None) == (1, 1)
        joins = not kernels or (expanded if depthwise else waiting)
        if not joins and any(map(_has_kernel, _with_weights(found[-1]))):
            found.append([])
        found[-1] += segment
        if single:
            expanded, waiting = pointwise and not waiting, depthwise
        elif kernels and not waiting:  # squeeze-and-excitation may stand between a depthwise convolution and its own
            expanded = False
    return found


def _segments(backbone: Any) -> Iterator[list[Any]]:
    """The net's operations in order, parted where one tensor carries everything."""
    import keras

    operations = [one for one in backbone.operations if not _is(one, "InputLayer")]
    maker = {id(tensor): place for place, one in enumerate(operations) for tensor in keras.tree.flatten(one.output)}
    last_use = list(range(len(operations)))
    for place, one in enumerate(operations):
        for tensor in keras.tree.flatten(one.input):
            if (made := maker.get(id(tensor))) is not None:
                last_use[made] = place
    segment: list[Any] = []
    needed = -1  # the last operation that uses what was made before the present one
    for place, one in enumerate(operations):
        segment.append(one)
        if needed <= place:
            yield segment
            segment = []
        needed = max(needed, last_use[place])


def _with_weights(operations: list[Any]) -> list[Any]:
    return [one for one in operations if getattr(one, "weights", [])]


def _has_kernel(layer: Any) -> bool:
    return any(len(weight.shape) > 1 for weight in layer.weights)


def _is(layer: Any, kind: str) -> bool:
    import keras

    return isinstance(layer, getattr(keras.layers, kind))
