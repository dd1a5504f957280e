"""A file that holds equal vectors once is the same file to whoever runs it."""

from typing import Any

import numpy as np
import pytest

from graft.core import four_bits, tables, vectors
from graft.core.extras import lacking

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def content() -> bytes:
    """With a scale and a zero point for each of many channels."""
    import keras
    import tensorflow as tf

    entry = keras.Input(batch_shape=(1, 16, 16, 3))
    x = keras.layers.Conv2D(64, 3, activation="relu")(entry)
    x = keras.layers.Conv2D(64, 3, activation="relu")(keras.layers.DepthwiseConv2D(3)(x))
    model = keras.Model(entry, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([one[None]] for one in PICTURES)
    return bytes(converter.convert())


@pytest.fixture(scope="module")
def outside() -> bytes:
    """With so many weights of 4 bits that they stand behind the tables."""
    if lack := lacking(four_bits.NEEDS):
        pytest.skip(f"precision int4 {lack}")
    import keras
    import tensorflow as tf

    entry = keras.Input(batch_shape=(1, 16, 16, 3))
    x = keras.layers.Conv2D(1024, 3, activation="relu")(keras.layers.Conv2D(64, 3, activation="relu")(entry))
    model = keras.Model(entry, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))
    return four_bits.quantised(bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert()))


def interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_content=content)
    made.allocate_tensors()
    return made


def answers(content: bytes) -> list[bytes]:
    asked = interpreter(content)
    found = []
    for picture in PICTURES:
        asked.set_tensor(asked.get_input_details()[0]["index"], picture[None])
        asked.invoke()
        found.append(asked.get_tensor(asked.get_output_details()[0]["index"]).tobytes())
    return found


def told(content: bytes) -> list[tuple[Any, ...]]:
    """Of every tensor name, shape, type, scales, zero points and the channel's axis."""
    details = interpreter(content).get_tensor_details()
    ranges = [one["quantization_parameters"] for one in details]
    return [
        (one["name"], tuple(one["shape"]), one["dtype"], *(np.asarray(part).tolist() for part in range_.values()))
        for one, range_ in zip(details, ranges, strict=True)
    ]


def test_it_is_smaller_and_the_same(content: bytes) -> None:
    less = vectors.shared(content)
    zeros = 2 * 2 * 64 * 8  # of the second convolution and of what is before it: kernel and bias
    assert len(less) < len(content) - zeros
    assert less[4:8] == content[4:8] == b"TFL3"
    assert told(less) == told(content) and answers(less) == answers(content)
    assert vectors.shared(less) == less


def test_weights_are_aligned(content: bytes) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    less = np.frombuffer(vectors.shared(content), np.uint8)
    model = schema.Model.GetRootAs(less, 0)
    parts = [model.Buffers(index).DataAsNumpy() for index in range(model.BuffersLength())]
    places = [part.ctypes.data - less.ctypes.data for part in parts if isinstance(part, np.ndarray)]
    assert len(places) > 5 and all(place % tables.ALIGNED == 0 for place in places)


def test_weights_that_stood_behind_the_tables_stand_in_them(outside: bytes) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    def offsets(content: bytes) -> list[int]:
        return [one.offset for one in schema.ModelT.InitFromPackedBuf(content).buffers]

    less = vectors.shared(outside)
    assert max(offsets(outside)) > 1 and not any(offsets(less))
    assert told(less) == told(outside) and answers(less) == answers(outside)
