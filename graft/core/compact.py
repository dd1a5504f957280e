"""Channels that say nothing are cut out of a net, which answers as before (Li et al. 2017, Liu et al. 2017).

What group lasso turns to zero (see `structure`) is still multiplied. A channel can go where it is exactly zero for any
picture and one later kernel alone reads it: the inner ones of residual blocks, the expanded ones around a depthwise
convolution, those of a plain chain. What an addition joins keeps its width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PASSES = (
    "BatchNormalization",
    "ReLU",
    "LeakyReLU",
    "Activation",
    "DepthwiseConv2D",
    "MaxPooling2D",
    "AveragePooling2D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "ZeroPadding2D",
    "Dropout",
    "SpatialDropout2D",
    "Flatten",
)
"""Layers that treat each channel by itself."""


def compacted(model: Any) -> Any:
    """A new model that answers what `model` answers, without the channels that are zero; `model` if there are none.

    Args:
        model: functional keras.Model, or one around such a "backbone" (see `fit.classifier`); channels come last.
    """
    import keras

    names = [layer.name for layer in model.layers]
    if "backbone" not in names:
        return _smaller(model)
    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    smaller = _smaller(backbone)
    if smaller is backbone:
        return model
    inputs = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    same = type(head).from_config(head.get_config())
    made = keras.Model(inputs, same(smaller(inputs)), name=model.name)
    same.set_weights(head.get_weights())
    return made


@dataclass(frozen=True)
class Chain:
    """A convolution, what its channels pass one by one, and the kernel that reads them, alone.

    Attributes:
        producer: the convolution.
        passes: layers that treat each channel by itself, in their order.
        consumer: a convolution or a dense layer.
        keep: (channels,) False for those that are zero at the end, whatever the picture.
    """

    producer: Any
    passes: list[Any]
    consumer: Any
    keep: NDArray[np.bool]


def _smaller(model: Any) -> Any:
    import keras

    found = [chain for chain in chains(model) if not chain.keep.all()]
    if not found:
        return model
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    config = model.get_config()
    for entry in config["layers"]:
        entry.pop("build_config", None)  # shapes as they were
    for chain in found:
        for entry in config["layers"]:
            if entry["config"]["name"] == chain.producer.name:
                entry["config"]["filters"] = int(chain.keep.sum())
        weights[chain.producer.name] = [one[..., chain.keep] for one in weights[chain.producer.name]]
        for layer in chain.passes:
            at = -2 if _is(layer, "DepthwiseConv2D") else -1
            weights[layer.name] = [
                np.compress(chain.keep, one, axis=at if one.ndim > 1 else -1) for one in weights[layer.name]
            ]
        kernel, *rest = weights[chain.consumer.name]
        rows = kernel.shape[:-2] if kernel.ndim > 2 else (kernel.shape[0] // len(chain.keep),)
        parted = kernel.reshape(*rows, len(chain.keep), kernel.shape[-1])[..., chain.keep, :]
        weights[chain.consumer.name] = [parted if kernel.ndim > 2 else parted.reshape(-1, kernel.shape[-1]), *rest]
    made = keras.Model.from_config(config)
    for layer in made.layers:
        layer.set_weights(weights[layer.name])
    return made


def chains(model: Any) -> list[Chain]:
    """Every convolution of a functional model whose channels may be left out; see the top of this module."""
    import keras

    readers: dict[int, list[Any]] = {}
    for operation in model.operations:
        for tensor in keras.tree.flatten(operation.input):
            readers.setdefault(id(tensor), []).append(operation)
    ends = {id(tensor) for tensor in model.outputs}
    found = []
    for layer in model.operations:
        if not _is_plain(layer):
            continue
        passes: list[Any] = []
        at = layer.output
        while id(at) not in ends and len(readers.get(id(at), ())) == 1:
            (reader,) = readers[id(at)]
            if _is_plain(reader) or _is(reader, "Dense"):
                found.append(Chain(layer, passes, reader, _keep(layer, passes)))
                break
            if not any(_is(reader, kind) for kind in PASSES) or getattr(reader, "depth_multiplier", 1) != 1:
                break
            passes.append(reader)
            at = reader.output
    return found


def _is_plain(layer: Any) -> bool:
    return _is(layer, "Conv2D") and layer.groups == 1


def _is(layer: Any, kind: str) -> bool:
    import keras

    return type(layer) is getattr(keras.layers, kind)


def _keep(producer: Any, passes: list[Any]) -> NDArray[np.bool]:
    """(channels,) False where nothing but zeros arrives at the end of the chain, whatever the picture."""
    kernel, *bias = producer.get_weights()
    known = np.asarray(~kernel.reshape(-1, kernel.shape[-1]).any(axis=0))
    values = np.broadcast_to(bias[0] if bias else np.zeros(known.size, np.float32), producer.output.shape[1:])
    values = _applied(producer.activation, np.where(known, values, 0.0)[None])
    for layer in passes:
        values = np.asarray(layer(values, training=False) if _trains(layer) else layer(values))
        if _is(layer, "BatchNormalization") and layer.gamma is not None:
            off = np.asarray(layer.gamma) == 0.0
            constant = np.asarray(layer.beta) if layer.beta is not None else np.zeros(known.size, np.float32)
            values, known = np.where(off & ~known, constant, values), known | off
        elif _is(layer, "DepthwiseConv2D"):
            off = ~np.asarray(layer.kernel)[..., 0].reshape(-1, known.size).any(axis=0)
            constant = np.asarray(layer.bias) if layer.bias is not None else np.zeros(known.size, np.float32)
            values = np.where(off & ~known, _applied(layer.activation, constant), values)
            known = known | off
    zero = ~values.reshape(-1, known.size).any(axis=0)
    keep: NDArray[np.bool] = np.asarray(~(known & zero))
    if not keep.any():
        keep[0] = True
    return keep


def _trains(layer: Any) -> bool:
    return any(_is(layer, kind) for kind in ("BatchNormalization", "Dropout", "SpatialDropout2D"))


def _applied(activation: Any, values: Any) -> Any:
    return np.asarray(activation(np.asarray(values, np.float32))) if activation else values
