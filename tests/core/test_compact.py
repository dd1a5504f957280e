"""Channels that are zero are cut out, and nobody can tell by the answers."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import article, convnet, efficientnet_lite0
from graft.core import compact, fit, vary
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.spec import Spec
from tests.contracts.conftest import pictures

NETS: dict[str, Any] = {
    "article": lambda: article.build(article.Options(), Spec(32), 1),
    "convnet": lambda: convnet.build(convnet.Options(width=8), Spec(32), 1),
    "lite0": lambda: efficientnet_lite0.build(efficientnet_lite0.Options(pretrained=False, input_px=32), Spec(32), 1),
}


def silence(net: Any, share: float) -> None:
    """Turn `share` of every convolution's channels off, in kernel and bias or in what normalises them."""
    import keras

    generator = np.random.default_rng(0)
    for layer in net.layers:
        if isinstance(layer, keras.layers.Conv2D) or type(layer) is keras.layers.BatchNormalization:
            weights = layer.get_weights()
            off = generator.random(weights[0].shape[-1]) < share
            n_scales = 2 if type(layer) is keras.layers.BatchNormalization else len(weights)
            layer.set_weights([np.where(off & (at < n_scales), 0.0, one) for at, one in enumerate(weights)])


@pytest.mark.parametrize("name", NETS)
def test_a_net_without_its_silent_channels_answers_the_same_and_is_smaller(name: str) -> None:
    net = NETS[name]()
    generator = np.random.default_rng(1)
    net.set_weights([one + 0.1 * generator.normal(size=one.shape).astype(np.float32) ** 2 for one in net.get_weights()])
    silence(net, 0.4)
    model = fit.classifier(net, 4, 1)
    smaller = compact.compacted(model)
    assert smaller.count_params() < 0.75 * model.count_params()
    asked = pictures(4, 4, 3).images
    before, after = fit.predict(model, asked), fit.predict(smaller, asked)
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
    assert compact.compacted(smaller) is smaller


@pytest.mark.parametrize("name", ["article", "convnet"])
def test_a_net_that_says_something_everywhere_stays_as_it_is(name: str) -> None:
    model = fit.classifier(NETS[name](), 4, 1)
    assert compact.compacted(model) is model


def test_a_channel_that_is_constant_but_not_zero_stays() -> None:
    net = NETS["convnet"]()
    norm = next(layer for layer in net.layers if layer.name.startswith("batch_norm") and layer.output.shape[-1] == 16)
    norm.set_weights([np.zeros(16), np.full(16, 0.5), *norm.get_weights()[2:]])
    model = fit.classifier(net, 4, 1)
    assert compact.compacted(model) is model


def test_one_channel_is_left_where_all_are_silent() -> None:
    net = NETS["convnet"]()
    silence(net, 1.1)
    model = fit.classifier(net, 4, 1)
    smaller = compact.compacted(model)
    asked = pictures(4, 4, 3).images
    np.testing.assert_allclose(fit.predict(smaller, asked), fit.predict(model, asked), atol=1e-6)


def test_what_the_lasso_turned_off_is_cut_out_and_the_rest_answers_as_before() -> None:
    data = TrainData(pictures(16, 4, 2), pictures(16, 4, 3), 4, vary.none)
    model = fit.classifier(NETS["convnet"](), 4, 1)
    fit.train(model, data, Budget(60, 16, 3e-3, 1, 1, Recipe(group_lasso=1.0)))
    smaller = compact.compacted(model)
    assert smaller.count_params() < model.count_params()
    asked = data.validation.images
    np.testing.assert_allclose(fit.predict(smaller, asked), fit.predict(model, asked), rtol=1e-4, atol=1e-4)
