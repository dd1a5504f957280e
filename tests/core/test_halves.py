"""Kernels take half the bytes; biases and what normalises a channel stay as they are."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import halves

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> Any:
    """With a dense and a depthwise convolution, a head, and a normalisation that stands alone."""
    keras.utils.set_random_seed(3)
    entry = keras.Input(batch_shape=(1, 12, 12, 3))
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255, 0.1)(entry))
    y = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Add()([x, y])))
    model = keras.Model(entry, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))
    generator = np.random.default_rng(3)
    model.set_weights([generator.uniform(0.3, 1.7, one.shape).astype(np.float32) for one in model.get_weights()])
    return model


def float32(model: Any) -> bytes:
    import tensorflow as tf

    return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_content=content)
    made.allocate_tensors()
    return made


def answers(content: bytes) -> NDArray[np.float32]:
    asked, found = interpreter(content), []
    for picture in PICTURES:
        asked.set_tensor(asked.get_input_details()[0]["index"], picture[None])
        asked.invoke()
        found.append(asked.get_tensor(asked.get_output_details()[0]["index"])[0].copy())
    return np.stack(found)


def shapes(content: bytes, dtype: Any) -> list[tuple[int, ...]]:
    """Of the constants of that type that the file holds."""
    from graft.core import tables

    model, number = tables.read(content), {np.float32: 0, np.float16: 1}[dtype]
    tensors = [one for graph in model.subgraphs for one in graph.tensors]
    held = [one for one in tensors if one.type == number and model.buffers[one.buffer].data is not None]
    return sorted(() if one.shape is None else tuple(map(int, one.shape)) for one in held)


def operators(content: bytes) -> list[str]:
    return [op["op_name"] for op in interpreter(content)._get_ops_details()]


def changed(model: Any, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Any:
    """With kernels that were changed."""
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    for layer in other.layers:
        if hasattr(layer, "kernel"):
            kernel, *bias = layer.get_weights()
            layer.set_weights([change(kernel), *bias])
    return other


def test_kernels_alone_are_rounded(net: Any) -> None:
    whole = float32(net)
    half = halves.halved(whole)
    assert shapes(half, np.float16) == [(1, 3, 3, 16), (5, 16), (16, 3, 3, 3)]
    assert shapes(half, np.float32) == [one for one in shapes(whole, np.float32) if one not in shapes(half, np.float16)]
    assert len(shapes(half, np.float32)) >= 5  # three biases, factor and offset
    rounded = changed(net, lambda kernel: kernel.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(answers(half), answers(float32(rounded)), rtol=1e-6)
    assert np.abs(answers(half) - answers(whole)).max() > 1e-4
    assert half[4:8] == b"TFL3" and halves.halved(whole) == half


def test_a_kernel_that_is_used_twice_is_held_and_widened_once() -> None:
    keras.utils.set_random_seed(0)
    entry = keras.Input(batch_shape=(1, 12, 12, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", activation="relu")
    content = float32(keras.Model(entry, twice(twice(entry))))
    half = halves.halved(content)
    assert shapes(half, np.float16) == [(3, 3, 3, 3)] and operators(half).count("DEQUANTIZE") == 1
    np.testing.assert_allclose(answers(half), answers(content), rtol=1e-2, atol=0.5)


def test_equal_kernels_of_two_layers_are_widened_each() -> None:
    """The converter lets both point to the same numbers."""
    entry = keras.Input(batch_shape=(1, 12, 12, 3))
    layers = [keras.layers.Conv2D(3, 3, padding="same", kernel_initializer="ones") for _ in range(2)]
    content = float32(keras.Model(entry, layers[1](keras.layers.ReLU()(layers[0](entry)))))
    np.testing.assert_array_equal(answers(halves.halved(content)), answers(content))


def test_what_float16_cannot_hold_becomes_its_largest(net: Any) -> None:
    limit = float(np.finfo(np.float16).max)
    huge = changed(net, lambda kernel: np.where(kernel > 1.5, 1e6, kernel))
    cut = changed(huge, lambda kernel: kernel.clip(None, limit).astype(np.float16).astype(np.float32))
    found = answers(halves.halved(float32(huge)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, answers(float32(cut)), rtol=1e-6)


def test_a_net_without_kernels_stays_as_it_is() -> None:
    entry = keras.Input(batch_shape=(1, 12, 12, 3))
    content = float32(keras.Model(entry, keras.layers.Rescaling(1 / 255, 0.1)(entry)))
    half = halves.halved(content)
    assert operators(half) == operators(content)
    np.testing.assert_array_equal(answers(half), answers(content))
