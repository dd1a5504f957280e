"""A network made ready for integers is the same network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, integers, ranges, vary, views
from graft.core.spec import Spec

PICTURES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def net() -> Any:
    """With moving averages that are not those of a fresh one."""
    import keras

    made = fit.classifier(convnet.build(convnet.Options(width=8), Spec(size_px=32), 1), 4, 1)
    generator = np.random.default_rng(1)
    for layer in backbone(made).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 2, one.shape) for one in layer.get_weights()])
    return made


def backbone(model: Any) -> Any:
    import keras

    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def above_the_floor(model: Any) -> Any:
    """The model's logits as `ranges.floored` counts them."""
    logits = fit.predict(model, PICTURES)
    floor = logits.max(axis=1).min() - np.log(logits.shape[1] / ranges.LEFT)
    return np.maximum(logits - floor, 0.0) if logits.min() < floor else logits


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in backbone(model).layers]


def test_it_answers_the_same_and_folds_what_no_convolution_would_take(net: Any) -> None:
    same = integers.rewritten(net, PICTURES)
    np.testing.assert_allclose(fit.predict(same, PICTURES), above_the_floor(net), rtol=1e-3, atol=1e-3)
    assert "Rescaling" in kinds(net) and "Rescaling" not in kinds(same)
    assert kinds(net).count("BatchNormalization") == 7 and kinds(same).count("BatchNormalization") == 4


def test_a_net_that_averages_views_is_rewritten_inside(net: Any) -> None:
    averaged = views.averaged(net, vary.VIEWS[:2])
    expected = fit.predict(averaged, PICTURES)  # the net ends in a mean, which has no floor
    np.testing.assert_allclose(
        fit.predict(integers.rewritten(averaged, PICTURES), PICTURES), expected, rtol=1e-3, atol=1e-3
    )


def test_the_original_is_left_as_it_was(net: Any) -> None:
    before, weights = kinds(net), net.get_weights()
    integers.rewritten(net, PICTURES)
    assert kinds(net) == before
    assert all(np.array_equal(old, new) for old, new in zip(weights, net.get_weights(), strict=True))


@pytest.mark.parametrize("ready", [integers.rewritten, integers.evened])
def test_a_head_whose_weights_differ_a_thousandfold_keeps_its_answers_and_loses_its_outliers(
    ready: Callable[..., Any], net: Any
) -> None:
    head = net.get_layer("head")
    kernel, bias = head.get_weights()
    uneven = kernel.copy()
    uneven[0] *= 1000.0
    head.set_weights([uneven, bias])
    expected = above_the_floor(net) if ready is integers.rewritten else fit.predict(net, PICTURES)
    same = ready(net, PICTURES)
    head.set_weights([kernel, bias])
    np.testing.assert_allclose(fit.predict(same, PICTURES), expected, rtol=1e-3, atol=1e-2)
    largest = np.abs(same.get_layer("head").get_weights()[0]).max(axis=1)
    before = np.abs(uneven).max(axis=1)
    assert largest.max() / np.median(largest) < 0.2 * before.max() / np.median(before)


def test_an_even_head_is_left_alone(net: Any) -> None:
    assert integers.evened(net, PICTURES).get_layer("head") is net.get_layer("head")


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_what_rounding_adds_to_a_logit_is_taken_off_its_bias(activation: str, net: Any) -> None:
    head = ranges.Head.of(net)
    assert head is not None
    model = head.replaced(0.0, activation)
    logits = fit.predict(model, PICTURES)
    added = np.array([0.2, -0.1, 0.0, 0.4], np.float32)
    rounded = logits + np.where((logits > 0) | (activation == "linear"), added, 0.0)
    made = integers.corrected(model, logits, rounded.astype(np.float32))
    off = net.get_layer("head").get_weights()[1] - made.layers[-1].get_weights()[1]
    seen = np.full(4, len(PICTURES)) if activation == "linear" else ((logits > 0) & (rounded > 0)).sum(axis=0)
    np.testing.assert_allclose(off, added * seen / np.maximum(seen, integers.ENOUGH), atol=1e-5)


def test_a_net_that_ends_in_no_dense_layer_is_not_corrected(net: Any) -> None:
    averaged = views.averaged(net, vary.VIEWS[:2])
    logits = fit.predict(averaged, PICTURES)
    assert integers.corrected(averaged, logits, logits + 1) is averaged
    head = ranges.Head.of(net)
    assert head is not None and ranges.Head.of(head.replaced(0.0, "tanh")) is None
