"""Weights that settle are those of the file, and what is left of rounding on average is taken off by the bias."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from graft.backbones import convnet
from graft.core import fit, gptq, litert, rounded
from graft.core.spec import Spec
from graft.exports import tflite

SAMPLES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained() -> Any:
    """With normalisations that change what they read, within it and behind convolutions, and a division at the end."""
    return divided(convnet.build(convnet.Options(width=4), Spec(size_px=16), 1))


def divided(backbone: Any) -> Any:
    classifier, generator = fit.classifier(backbone, 4, 1), np.random.default_rng(1)
    for one in backbone.layers:
        if isinstance(one, keras.layers.BatchNormalization):
            one.set_weights([generator.uniform(0.5, 2, part.shape) for part in one.get_weights()])
    return keras.Model(classifier.inputs, classifier.outputs[0] / 1.7)


PICTURES = np.random.default_rng(2).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)


def kernels(model: Any) -> list[NDArray[np.float32]]:
    """Of convolutions and dense layers, nets within the net included, in the shapes that a file has."""
    found = []
    for one in model.layers:
        if isinstance(one, keras.Model):
            found += kernels(one)
        elif type(one).__name__ in ("Conv2D", "Dense"):
            found.append(np.moveaxis(np.asarray(one.kernel), -1, 0))
        elif type(one).__name__ == "DepthwiseConv2D":
            found.append(np.asarray(one.kernel).reshape(1, *one.kernel.shape[:2], -1))
    return found


def in_file(content: bytes) -> list[NDArray[np.float32]]:
    """All tensors of the file that have values, as the real numbers that they stand for."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter, found = Interpreter(model_content=content), []
    for one in interpreter.get_tensor_details():
        try:
            values = interpreter.get_tensor(one["index"])
        except ValueError:
            continue  # it is reckoned for each picture
        quantisation = one["quantization_parameters"]
        if len(quantisation["scales"]) > 1:
            axis = [1] * values.ndim
            axis[quantisation["quantized_dimension"]] = -1
            found.append(values * quantisation["scales"].reshape(axis))
        else:
            found.append(litert.as_float(values, one) if values.dtype in (np.int8, np.float16) else values)
    return found


@pytest.fixture(scope="module")
def depthwise() -> Any:
    picture = keras.Input((16, 16, 3))
    x = keras.layers.DepthwiseConv2D(3, 2, padding="same")(keras.layers.Conv2D(6, 1, activation="relu")(picture))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return divided(keras.Model(picture, keras.layers.GlobalAveragePooling2D()(x), name="backbone"))


@pytest.fixture(scope="module")
def grouped() -> Any:
    picture = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(12, 3, 2, groups=3)(keras.layers.Conv2D(6, 1, activation="relu")(picture))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return divided(keras.Model(picture, keras.layers.GlobalAveragePooling2D()(x), name="backbone"))


@pytest.mark.parametrize(
    ("precision", "net", "many"),
    [
        ("float16", "trained", 11),
        ("dynamic", "trained", 11),
        ("int8", "trained", 15),  # with normalisations that have become convolutions
        ("float16", "depthwise", 3),
        ("int8", "depthwise", 3),
        ("float16", "grouped", 3),
        ("dynamic", "grouped", 3),
        ("int8", "grouped", 3),
    ],
)
def test_a_file_has_the_very_weights_that_settled(
    precision: Any, net: str, many: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(net)
    ready = tflite.READY.get(precision, lambda model, samples: model)(model, PICTURES)
    settled = kernels(rounded.settled(ready, PICTURES, tflite.BITS[precision]))
    options = tflite.Options(precision=precision)
    file = in_file(tflite.convert(options, model, PICTURES)[tflite.file_name(options)])
    assert len(settled) == many
    for kernel in settled:
        like = [one for one in file if one.shape == kernel.shape]
        off = min(float(np.abs(one - kernel).max()) for one in like)
        assert off < 1e-6 * np.abs(kernel).max()


def test_nothing_settles_without_a_number_of_bits_and_normalisations_are_folded(trained: Any) -> None:
    before = [one.copy() for one in trained.get_weights()]
    same = rounded.settled(trained, PICTURES, {})
    np.testing.assert_allclose(fit.predict(same, PICTURES), fit.predict(trained, PICTURES), rtol=1e-4, atol=1e-4)
    norms = [
        sum(isinstance(one, keras.layers.BatchNormalization) for one in nested(model)) for model in (trained, same)
    ]
    assert norms == [7, 3]  # behind an addition they stay
    rounded.settled(trained, PICTURES, {"Conv2D": 8, "Dense": 8})
    assert all(np.array_equal(old, new) for old, new in zip(before, trained.get_weights(), strict=True))


def nested(model: Any) -> list[Any]:
    return [part for one in model.layers for part in (nested(one) if isinstance(one, keras.Model) else [one])]


LAYERS = {
    "strides": lambda: keras.layers.Conv2D(8, 3, 2, padding="same"),
    "dilation": lambda: keras.layers.Conv2D(8, 3, dilation_rate=2, padding="same"),
    "depthwise": lambda: keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("bits", [4, 8, gptq.HALF])
def test_settled_weights_are_off_by_nothing_on_average_and_by_less_than_the_nearest_ones(bits: int, kind: str) -> None:
    keras.utils.set_random_seed(0)
    picture = keras.Input((8, 8, 3))
    made = keras.Model(picture, LAYERS[kind]()(keras.layers.Rescaling(1 / 255)(picture)))
    smooth = np.asarray(keras.ops.image.resize(SAMPLES[:, ::4, ::4].astype(np.float32), (8, 8))).astype(np.uint8)
    exact = fit.predict(made, smooth)
    settled = rounded.settled(made, smooth, {"Conv2D": bits, "DepthwiseConv2D": bits})
    off = fit.predict(settled, smooth) - exact
    assert np.abs(off.mean(axis=(0, 1, 2))).max() < 1e-5
    nearest = keras.models.clone_model(made)
    kernel, bias = made.layers[-1].get_weights()
    axes = (2, 3) if kind == "depthwise" else (3,)
    nearest.set_weights([by_itself(kernel, axes, bits), bias])
    assert 0 < off.std() < 0.7 * (fit.predict(nearest, smooth) - exact).std()


def by_itself(kernel: NDArray[np.float32], axes: tuple[int, ...], bits: int) -> NDArray[np.float32]:
    """Each weight at the nearest step; `axes` tell one channel that is written from another."""
    if bits == gptq.HALF:
        return kernel.astype(np.float16).astype(np.float32)
    step = np.abs(kernel).max(axis=tuple({0, 1, 2, 3} - set(axes)), keepdims=True) / (2 ** (bits - 1) - 1)
    return (np.round(kernel / step) * step).astype(np.float32)


def test_batch_statistics_do_not_move() -> None:
    """Behind a layer that resizes, Keras (3.15) takes a call that does not say what it is for, for training."""
    picture = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, padding="same")(keras.layers.Resizing(6, 6)(picture))
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    model = keras.Model(picture, keras.layers.Conv2D(8, 1)(x))
    before = [one.copy() for one in model.get_weights()]
    rounded.settled(model, SAMPLES, {"Conv2D": 8})
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


def test_a_convolution_that_others_read_as_well_keeps_its_normalisation_apart() -> None:
    picture = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", name="asked")(picture)
    normed = keras.layers.BatchNormalization()(x)
    norm = keras.Model(picture, normed).layers[-1]
    norm.set_weights([np.full(6, value, np.float32) for value in (2.0, 1.0, 0.5, 3.0)])
    model = keras.Model(picture, keras.layers.Add()([x, normed]))
    same = rounded.settled(model, SAMPLES, {})
    np.testing.assert_allclose(fit.predict(same, SAMPLES), fit.predict(model, SAMPLES), rtol=1e-5)
    assert sum(isinstance(one, keras.layers.Conv2D) for one in same.layers) == 1


def test_each_group_settles_as_it_would_by_itself() -> None:
    keras.utils.set_random_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 4), dtype=np.uint8)
    grouped, alone = keras.layers.Conv2D(6, 3, 2, groups=2), [keras.layers.Conv2D(3, 3, 2) for _ in range(2)]
    whole = keras.Model(picture := keras.Input((8, 8, 4)), grouped(picture))
    parts = [keras.Model(picture := keras.Input((8, 8, 2)), one(picture)) for one in alone]
    for number, one in enumerate(alone):
        one.set_weights([np.asarray(grouped.kernel)[..., 3 * number : 3 * number + 3], np.zeros(3)])
    made = rounded.settled(whole, pictures, {"Conv2D": 4}).layers[-1]
    for number, part in enumerate(parts):
        same = rounded.settled(part, pictures[..., 2 * number : 2 * number + 2], {"Conv2D": 4}).layers[-1]
        for found, expected in zip(made.get_weights(), same.get_weights(), strict=True):
            np.testing.assert_allclose(found[..., 3 * number : 3 * number + 3], expected, rtol=1e-4, atol=1e-6)
    assert not np.array_equal(np.asarray(made.kernel), np.asarray(grouped.kernel))


def test_layers_of_too_many_inputs_or_used_twice_are_left_to_the_converter() -> None:
    picture = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(8, 3, padding="same", name="twice")
    x = twice(twice(keras.layers.Conv2D(8, 1, name="settles")(picture)))
    x = keras.layers.Conv2D(80, 1, name="settles_too")(x)
    model = keras.Model(picture, keras.layers.Dense(4, name="wide")(keras.layers.Flatten()(x)))
    assert 8 * 8 * 80 > rounded.MOST
    made = rounded.settled(model, SAMPLES, {"Conv2D": 8, "Dense": 8})
    kernels = {
        name: [np.asarray(net.get_layer(name).kernel) for net in (model, made)]
        for name in ("settles", "settles_too", "twice", "wide")
    }
    assert {name for name, (before, after) in kernels.items() if not np.array_equal(before, after)} == {
        "settles",
        "settles_too",
    }


def test_a_layer_that_reads_nothing_that_moves_settles_too() -> None:
    picture = keras.Input((8, 8, 3))
    still = keras.layers.Rescaling(0.0, offset=3.3)(picture)
    model = keras.Model(picture, keras.layers.Conv2D(5, 1)(still))
    made = rounded.settled(model, SAMPLES, {"Conv2D": 4})
    np.testing.assert_allclose(fit.predict(made, SAMPLES), fit.predict(model, SAMPLES), atol=1e-5)


def test_moments_are_those_of_all_rows_however_they_come_and_however_little_they_move() -> None:
    rows = (1000 + np.random.default_rng(0).normal(size=(300, 6)) / 100).astype(np.float32)
    moments = rounded.Moments(2, 6)
    for part in np.split(rows, [50, 120]):
        moments.add(np.stack([part, 2 * part]))
    exact = rows.astype(np.float64)
    covariance = np.cov(exact, rowvar=False, bias=True)
    np.testing.assert_allclose(moments.mean, [exact.mean(axis=0), 2 * exact.mean(axis=0)], rtol=1e-8)
    np.testing.assert_allclose(moments.covariance, [covariance, 4 * covariance], atol=1e-8)


def test_covariances_that_do_not_fit_at_once_are_found_in_turns(monkeypatch: pytest.MonkeyPatch, trained: Any) -> None:
    whole = rounded.settled(trained, PICTURES, {"Conv2D": 8})
    monkeypatch.setattr(rounded, "AT_ONCE", 1000)
    parts = rounded.settled(trained, PICTURES, {"Conv2D": 8})
    for one, other in zip(kernels(whole), kernels(parts), strict=True):
        np.testing.assert_allclose(one, other, atol=0.05 * np.abs(one).max())  # other places of the pictures were drawn
