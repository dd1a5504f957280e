"""Ranges that are spent on what decides: the answers stay, channels of a sum and logits need less."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet, efficientnet_lite0
from graft.core import fit, integers, ranges, vary, views
from graft.core.spec import Spec
from tasks.adapters import models

PICTURES = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)


def moved(net: Any) -> Any:
    """The net with statistics and scales that are not those of a fresh one, and channels of very different sizes."""
    import keras

    generator = np.random.default_rng(1)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 2, one.shape) for one in layer.get_weights()])
        if isinstance(layer, keras.layers.Conv2D):
            kernel, *bias = layer.get_weights()
            layer.set_weights([kernel * generator.uniform(0.02, 2, kernel.shape[-1]).astype(np.float32), *bias])
    return net


@pytest.fixture(scope="module")
def net() -> Any:
    return fit.classifier(moved(convnet.build(convnet.Options(width=8), Spec(size_px=32), 1)), 6, 1)


def sums_of(model: Any) -> list[Any]:
    """(channels,) how large each channel becomes, for each addition of the backbone."""
    import keras

    backbone = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    added = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        made = layer(*args, **kwargs)
        added.extend([made] if type(layer).__name__ == "Add" else [])
        return made

    same = keras.models.clone_model(backbone, clone_function=lambda layer: layer, call_function=call)
    return [np.abs(fit.predict(keras.Model(same.inputs, one), PICTURES)).max(axis=(0, 1, 2)) for one in added]


def answers(model: Any) -> Any:
    return fit.softmax(fit.predict(model, PICTURES))


def test_channels_of_a_sum_come_to_one_range_and_the_answers_stay(net: Any) -> None:
    same = integers.rewritten(net, PICTURES)
    np.testing.assert_allclose(answers(same), answers(net), atol=ranges.LEFT)
    before, after = sums_of(net), sums_of(same)
    assert len(before) == len(after) == 3
    for old, new in zip(before, after, strict=True):
        assert new.max() < 1.5 * old.max()  # what is added may be larger than the sum
        assert np.median(new) > 1.2 * np.median(old)
        assert np.all(new <= old * ranges.WIDENED * 1.001) and np.all(new >= old * 0.999)


def block(x: Any, after: Callable[[Any], Any]) -> Any:
    from keras import layers

    return after(layers.Add()([layers.Conv2D(4, 1)(x), layers.Conv2D(4, 3, padding="same")(x)]))


def batch_norm(x: Any) -> Any:
    from keras import layers

    return layers.BatchNormalization()(x)


def rectified(x: Any) -> Any:
    from keras import layers

    return layers.ReLU()(x)


def seen_by_two(x: Any) -> Any:
    from keras import layers

    return layers.Concatenate()([layers.BatchNormalization()(x), layers.Conv2D(2, 1)(x)])


@pytest.mark.parametrize(
    ("after", "writers"),
    [(batch_norm, 2), (rectified, 0), (seen_by_two, 0), (lambda x: x, 0)],
    ids=["norm", "rectifier", "two", "end"],
)
def test_only_what_costs_nothing_is_changed(after: Callable[[Any], Any], writers: int) -> None:
    import keras

    entry = keras.Input((32, 32, 3))
    model = keras.Model(entry, block(entry, after))
    found = ranges.sums(model, PICTURES)
    assert (len(found.written), len(found.read)) == (writers, 1 if writers else 0)


def test_a_convolution_that_is_used_twice_is_left_as_it_is() -> None:
    import keras

    entry, conv = keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 1)
    other = keras.layers.Conv2D(4, 1)(conv(entry[:, ::-1]))
    model = keras.Model(entry, batch_norm(keras.layers.Add()([conv(entry), other])))
    assert ranges.sums(model, PICTURES) == ranges.Sums({}, {})


def test_channels_that_are_always_zero_stay_so() -> None:
    import keras

    entry, dead = keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 1, kernel_initializer="zeros")
    model = keras.Model(entry, batch_norm(keras.layers.MaxPooling2D()(dead(entry))))
    assert len(ranges.sums(model, PICTURES).written) == 1
    assert not fit.predict(integers.rewritten(model, PICTURES), PICTURES).any()


@pytest.mark.parametrize("temperature", [None, 1.7])
def test_logits_end_at_a_floor_and_the_answers_stay(net: Any, temperature: float | None) -> None:
    head = net.get_layer("head")
    kept = head.get_weights()
    head.set_weights([kept[0] * 40.0, kept[1] + 3.0])
    model = net if temperature is None else models.calibrated(net, temperature)
    logits, expected = fit.predict(model, PICTURES), answers(model)
    made = ranges.floored(model, PICTURES)
    got = fit.predict(made, PICTURES)
    head.set_weights(kept)
    assert made is not model and type(made.layers[-1]).__name__ == "Dense"
    floor = logits.max(axis=1).min() - np.log(6 / ranges.LEFT)
    assert logits.min() < floor
    np.testing.assert_allclose(got, np.maximum(logits - floor, 0.0), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(fit.softmax(got), expected, atol=ranges.LEFT)


def test_a_net_whose_logits_are_close_or_that_ends_otherwise_is_returned_itself(net: Any) -> None:
    head = net.get_layer("head")
    kept = head.get_weights()
    head.set_weights([kept[0] * 0.01, kept[1]])
    assert ranges.floored(net, PICTURES) is net
    head.set_weights([kept[0] * 40.0, kept[1]])
    averaged = views.averaged(net, vary.VIEWS[:2])
    assert ranges.floored(averaged, PICTURES) is averaged
    head.set_weights(kept)
    assert ranges.floored(net.get_layer("head"), PICTURES) is net.get_layer("head")


def test_a_net_whose_sums_convolutions_read_keeps_them() -> None:
    spec = Spec(size_px=32)
    net = efficientnet_lite0.build(efficientnet_lite0.Options(pretrained=False, input_px=32), spec, 0)
    assert ranges.sums(fit.classifier(net, 4, 0), PICTURES[:2]) == ranges.Sums({}, {})
