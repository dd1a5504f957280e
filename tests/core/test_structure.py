"""Channels that are pulled to zero."""

from dataclasses import replace

import numpy as np
import pytest

from graft.backbones import article, convnet
from graft.core import fit, structure, vary
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.spec import Spec
from tests.contracts.conftest import pictures

BUDGET = Budget(steps=60, batch_size=16, learning_rate=3e-3, evaluations=1, seed=1)
FEW = TrainData(pictures(16, 4, 2), pictures(16, 4, 3), 4, vary.none)


@pytest.mark.parametrize(("backbone", "strength"), [("article", 1.0), ("convnet", 1.0)])
def test_the_lasso_turns_channels_off_and_the_rest_still_learns(backbone: str, strength: float) -> None:
    net = (
        article.build(article.Options(), Spec(32), 1)
        if backbone == "article"
        else convnet.build(convnet.Options(width=8), Spec(32), 1)
    )
    _, every = structure.channels(net)
    model = fit.classifier(net, 4, 1)
    history = fit.train(model, FEW, replace(BUDGET, recipe=Recipe(group_lasso=strength)))
    on, same = structure.channels(model)
    assert same == every and 0 < on < 0.9 * every
    assert history[-1]["val_accuracy"] >= 0.9 and history[-1]["channels_on"] == on


def test_what_does_not_learn_does_not_shrink() -> None:
    net = convnet.build(convnet.Options(width=4), Spec(32), 1)
    model = fit.classifier(net, 4, 1)
    before = net.get_weights()
    recipe = Recipe(group_lasso=1.0)
    fit.train(model, FEW, replace(BUDGET, steps=2, recipe=recipe), rates=[(model.get_layer("head"), 1.0)])
    kernels = [index for index, one in enumerate(before) if one.ndim == 4]
    for index in kernels:
        np.testing.assert_array_equal(before[index], net.get_weights()[index])


def test_a_pull_takes_the_same_from_each_norm_and_stops_at_zero() -> None:
    import tensorflow as tf

    kernel = tf.Variable(np.array([[3.0, 0.1, 1.0], [4.0, 0.1, 0.0]], np.float32))
    structure.shrink([[kernel]], 0.5 / np.sqrt(2))
    np.testing.assert_allclose(kernel, [[2.7, 0.0, 0.5], [3.6, 0.0, 0.0]], atol=1e-6)
