"""Weights that settle are those of the file, and what rounding adds on average is taken off by the bias."""

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


def layer(kind: str) -> Any:
    if kind == "depthwise":
        return keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="asked")
    options = {"groups": 2} if kind == "grouped" else {"use_bias": kind != "without a bias"}
    return keras.layers.Conv2D(8, 3, 2, padding="same", name="asked", **options)


def net(asked: Any) -> Any:
    """Channels that are positive on average, as behind any rectifier, and the convolution of them."""
    keras.utils.set_random_seed(0)
    picture = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 1, activation="relu")(picture)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    return keras.Model(picture, keras.layers.ReLU()(asked(x)))


def off(model: Any, kernel: NDArray[np.float32], shift: Any) -> NDArray[np.float32]:
    """By how much each channel of the convolution is off on average with that kernel, its bias less `shift`."""
    asked = model.get_layer("asked")
    before = keras.Model(model.inputs, asked.input)
    at_it = fit.predict(before, SAMPLES)
    exact = np.asarray(asked(at_it)).mean(axis=(0, 1, 2))
    same = type(asked).from_config(asked.get_config())
    same.build(at_it.shape)
    same.set_weights([kernel, *asked.get_weights()[1:]])
    return np.asarray(same(at_it)).mean(axis=(0, 1, 2)) - exact - shift


@pytest.mark.parametrize("kind", ["with a bias", "without a bias", "depthwise", "grouped"])
def test_what_rounding_adds_is_what_the_bias_takes_off(kind: str) -> None:
    model = net(layer(kind))
    asked = model.get_layer("asked")
    values = np.asarray(asked.kernel)
    kernel = rounded.kernel(values, (2, 3) if kind == "depthwise" else (3,))
    shift = rounded.shifts(model, SAMPLES)[id(asked)]
    assert np.abs(off(model, kernel, 0.0)).max() > 5e-3 and np.abs(off(model, kernel, shift)).max() < 1e-4

    before, after = (keras.Model(model.inputs, y) for y in (asked.output, rounded.less(asked, shift, asked.input)))
    np.testing.assert_allclose(fit.predict(after, SAMPLES), fit.predict(before, SAMPLES) - shift, atol=1e-4)


def test_a_rounded_kernel_has_127_steps_to_either_side_for_each_channel() -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype(np.float32)
    values[..., 2] = 0.0
    kernel = rounded.kernel(values, (3,))
    for channel in (0, 1, 3, 4):
        steps = kernel[..., channel] / (np.abs(values[..., channel]).max() / 127)
        assert np.abs(steps - np.round(steps)).max() < 1e-3 and np.abs(steps).max() == pytest.approx(127)
    assert not kernel[..., 2].any() and np.abs(kernel - values).max() <= np.abs(values).max() / 254 + 1e-6


def test_a_layer_that_is_used_twice_stays_as_it_is() -> None:
    picture = keras.Input((8, 8, 3))
    twice = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")
    model = keras.Model(picture, twice(twice(picture)))
    assert rounded.shifts(model, SAMPLES) == {}


def test_what_rounds_to_itself_is_not_shifted() -> None:
    settled = rounded.settled(net(layer("with a bias")), SAMPLES, {"Conv2D": 8})
    depthwise = [one for one in settled.layers if isinstance(one, keras.layers.DepthwiseConv2D)]
    assert set(rounded.shifts(settled, SAMPLES)) == {id(one) for one in depthwise}


def test_nets_within_nets_are_asked_where_they_read_pictures() -> None:
    inner = net(layer("with a bias"))
    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, keras.layers.GlobalAveragePooling2D()(inner(picture)))
    assert set(rounded.shifts(model, SAMPLES)) == {id(one) for one in inner.layers if "Conv2D" in type(one).__name__}


@pytest.fixture(scope="module")
def trained() -> Any:
    """With normalisations that change what they read, within it and behind convolutions, and a division at the end."""
    spec, generator = Spec(size_px=16), np.random.default_rng(1)
    classifier = fit.classifier(convnet.build(convnet.Options(width=4), spec, 1), 4, 1)
    backbone = next(one for one in classifier.layers if isinstance(one, keras.Model))
    for one in backbone.layers:
        if isinstance(one, keras.layers.BatchNormalization):
            one.set_weights([generator.uniform(0.5, 2, part.shape) for part in one.get_weights()])
    return keras.Model(classifier.inputs, classifier.outputs[0] / 1.7)


PICTURES = np.random.default_rng(2).integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)


def kernels(model: Any) -> list[NDArray[np.float32]]:
    """Of dense convolutions and dense layers, nets within the net included, outputs first as in a file."""
    found = []
    for one in model.layers:
        if isinstance(one, keras.Model):
            found += kernels(one)
        elif type(one).__name__ in ("Conv2D", "Dense"):
            found.append(np.moveaxis(np.asarray(one.kernel), -1, 0))
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


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
def test_a_file_has_the_very_weights_that_settled(precision: str, trained: Any) -> None:
    ready = tflite.READY.get(precision, lambda model, samples: model)(trained, PICTURES)
    settled = kernels(rounded.settled(ready, PICTURES, tflite.BITS[precision]))
    options = tflite.Options(precision=precision)
    file = in_file(tflite.convert(options, trained, PICTURES)[tflite.file_name(options)])
    assert len(settled) == 11
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


@pytest.mark.parametrize("bits", [4, 8, gptq.HALF])
def test_settled_weights_are_off_by_nothing_on_average_and_by_less_than_the_nearest_ones(bits: int) -> None:
    keras.utils.set_random_seed(0)
    picture = keras.Input((8, 8, 3))
    made = keras.Model(picture, keras.layers.Conv2D(8, 3, 2, padding="same")(keras.layers.Rescaling(1 / 255)(picture)))
    smooth = np.asarray(keras.ops.image.resize(SAMPLES[:, ::4, ::4].astype(np.float32), (8, 8))).astype(np.uint8)
    exact = fit.predict(made, smooth)
    settled = rounded.settled(made, smooth, {"Conv2D": bits})
    off = fit.predict(settled, smooth) - exact
    assert np.abs(off.mean(axis=(0, 1, 2))).max() < 1e-5
    nearest = keras.models.clone_model(made)
    kernel, bias = made.layers[-1].get_weights()
    near = gptq.rounded(kernel.reshape(27, 8), np.eye(27), bits).reshape(kernel.shape)
    nearest.set_weights([near, bias])
    by_itself = fit.predict(nearest, smooth) - exact
    assert 0 < off.std() < 0.6 * by_itself.std()


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


def test_layers_of_too_many_inputs_in_groups_or_used_twice_are_left_to_the_converter() -> None:
    picture = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(8, 3, padding="same", name="twice")
    x = twice(twice(keras.layers.Conv2D(8, 1, name="settles")(picture)))
    x = keras.layers.Conv2D(80, 1, groups=2, name="grouped")(x)
    model = keras.Model(picture, keras.layers.Dense(4, name="wide")(keras.layers.Flatten()(x)))
    assert 8 * 8 * 80 > rounded.MOST
    made = rounded.settled(model, SAMPLES, {"Conv2D": 8, "Dense": 8})
    kernels = {
        name: [np.asarray(net.get_layer(name).kernel) for net in (model, made)]
        for name in ("settles", "twice", "grouped", "wide")
    }
    assert {name for name, (before, after) in kernels.items() if not np.array_equal(before, after)} == {"settles"}


def test_a_layer_that_reads_nothing_that_moves_settles_too() -> None:
    picture = keras.Input((8, 8, 3))
    still = keras.layers.Rescaling(0.0, offset=3.3)(picture)
    model = keras.Model(picture, keras.layers.Conv2D(5, 1)(still))
    made = rounded.settled(model, SAMPLES, {"Conv2D": 4})
    np.testing.assert_allclose(fit.predict(made, SAMPLES), fit.predict(model, SAMPLES), atol=1e-5)


def test_moments_are_those_of_all_rows_however_they_come_and_however_little_they_move() -> None:
    rows = (1000 + np.random.default_rng(0).normal(size=(300, 6)) / 100).astype(np.float32)
    moments = rounded.Moments(6)
    for part in np.split(rows, [50, 120]):
        moments.add(part)
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(moments.covariance, np.cov(exact, rowvar=False, bias=True), atol=1e-8)


def test_covariances_that_do_not_fit_at_once_are_found_in_turns(monkeypatch: pytest.MonkeyPatch, trained: Any) -> None:
    whole = rounded.settled(trained, PICTURES, {"Conv2D": 8})
    monkeypatch.setattr(rounded, "AT_ONCE", 1000)
    parts = rounded.settled(trained, PICTURES, {"Conv2D": 8})
    for one, other in zip(kernels(whole), kernels(parts), strict=True):
        np.testing.assert_allclose(one, other, atol=0.05 * np.abs(one).max())  # other places of the pictures were drawn
