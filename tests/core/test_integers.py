"""A network made ready for integers is the same network."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, integers, vary, views
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


def kinds(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in backbone(model).layers]


def test_it_answers_the_same_and_folds_what_no_convolution_would_take(net: Any) -> None:
    same = integers.rewritten(net)
    np.testing.assert_allclose(fit.predict(same, PICTURES), fit.predict(net, PICTURES), rtol=1e-3, atol=1e-3)
    assert "Rescaling" in kinds(net) and "Rescaling" not in kinds(same)
    assert kinds(net).count("BatchNormalization") == 7 and kinds(same).count("BatchNormalization") == 4


def test_a_net_that_averages_views_is_rewritten_inside(net: Any) -> None:
    averaged = views.averaged(net, vary.VIEWS[:2])
    expected = fit.predict(averaged, PICTURES)
    np.testing.assert_allclose(fit.predict(integers.rewritten(averaged), PICTURES), expected, rtol=1e-3, atol=1e-3)


def test_the_original_is_left_as_it_was(net: Any) -> None:
    before, weights = kinds(net), net.get_weights()
    integers.rewritten(net)
    assert kinds(net) == before
    assert all(np.array_equal(old, new) for old, new in zip(weights, net.get_weights(), strict=True))
