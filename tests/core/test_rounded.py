"""What rounded weights add on average is taken off by the bias, whatever comes before and after the convolution."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import fit, rounded

SAMPLES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)


def layer(kind: str) -> Any:
    if kind == "depthwise":
        return keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="asked")
    options = {"groups": 2} if kind == "grouped" else {"use_bias": kind != "without a bias"}
    return keras.layers.Conv2D(8, 3, 2, padding="same", name="asked", **options)


def net(asked: Any, depthwise: bool = True) -> Any:
    """Channels that are positive on average, as behind any rectifier, and the convolution of them."""
    keras.utils.set_random_seed(0)
    picture = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 1, activation="relu")(picture)
    if depthwise:
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


def test_nets_without_depthwise_convolutions_stay_as_they_are() -> None:
    assert rounded.shifts(net(layer("with a bias"), depthwise=False), SAMPLES) == {}


def test_nets_within_nets_are_asked_where_they_read_pictures() -> None:
    inner = net(layer("with a bias"))
    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, keras.layers.GlobalAveragePooling2D()(inner(picture)))
    assert set(rounded.shifts(model, SAMPLES)) == {id(one) for one in inner.layers if "Conv2D" in type(one).__name__}
