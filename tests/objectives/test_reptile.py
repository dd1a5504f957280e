"""Reptile goes the way that plain gradient descent goes inside an episode, or part of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graft.core import episodes, fit, pretext
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.objectives import reptile

BUDGET = Budget(1, 16, 1.0, 1, 3, Recipe(schedule="constant"))


def by_hand(options: reptile.Options, net: Any, data: TrainData) -> list[Any]:
    """The backbone's trainable weights after the first episode, learned step by step."""
    import tensorflow as tf

    model = fit.classifier(net, options.way, BUDGET.seed)
    pretext.fresh(model.get_layer("head"), BUDGET.seed)
    shape = episodes.Shape(options.way, options.shots * options.inner_steps, 0)
    (pictures,) = next(iter(episodes.endless(data.train, shape, data.augment, BUDGET.seed)))
    labels = np.repeat(np.arange(options.way), options.shots)
    for index in range(options.inner_steps):
        mine = pictures[:, index * options.shots : (index + 1) * options.shots]
        with tf.GradientTape() as tape:
            logits = model(tf.reshape(mine, (-1, 16, 16, 3)), training=True)
            cost = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        for one, slope in zip(model.trainable_variables, tape.gradient(cost, model.trainable_variables), strict=True):
            one.assign(one - options.inner_rate * slope)
    return [one.numpy() for one in net.trainable_variables]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_step_goes_its_share_of_the_way_of_plain_descent(
    tiny: Callable[[int], Any], data: TrainData, share: float
) -> None:
    options = reptile.Options(learning_rate=share, inner_rate=0.1, inner_steps=3, way=2, shots=4)
    start = [one.numpy() for one in tiny(1).trainable_variables]
    end = by_hand(options, tiny(1), data)
    net = tiny(1)
    reptile.pretrain(options, net, data, BUDGET)
    assert not np.allclose(start[0], end[0], atol=1e-4)
    for began, there, now in zip(start, end, net.trainable_variables, strict=True):
        np.testing.assert_allclose(now.numpy(), began + share * (there - began), rtol=1e-4, atol=1e-6)


def test_the_batch_statistics_that_stay_are_those_of_the_weights_that_stay(
    tiny: Callable[[int], Any], data: TrainData
) -> None:
    import tensorflow as tf

    still, wild = (reptile.Options(learning_rate=1e-9, inner_rate=rate, way=2, shots=4) for rate in (1e-3, 0.5))
    nets = [tiny(1), tiny(1)]
    for options, net in zip((still, wild), nets, strict=True):
        reptile.pretrain(options, net, data, BUDGET)
    moved = [tf.convert_to_tensor(one).numpy() for one in nets[0].non_trainable_variables]
    assert not np.allclose(moved[0], 0)
    for ours, theirs in zip(moved, nets[1].non_trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs.numpy())
