"""Schedules and optimizers."""

import pytest

from graft.core.recipe import Recipe, rate


def test_the_rate_warms_up_peaks_and_ends_near_zero() -> None:
    rates = [rate(step, 100, Recipe()) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0) and rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.002
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rate(100, 100, Recipe()) == 0.0


def test_steps_cut_to_a_tenth_twice_and_a_constant_stays() -> None:
    steps = [rate(step, 100, Recipe(schedule="step", warm_up=0.0)) for step in (1, 49, 50, 74, 75, 99)]
    assert steps == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert {rate(step, 100, Recipe(schedule="constant", warm_up=0.0)) for step in range(100)} == {1.0}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_biases_are_not_decayed(name: str) -> None:
    import keras
    import numpy as np

    from graft.core.recipe import optimizer

    layer = keras.layers.Dense(3, bias_initializer="ones")
    layer.build((None, 2))
    by = optimizer(Recipe(optimizer=name, weight_decay=0.5), layer.trainable_weights)
    kernel = layer.kernel.numpy()
    by.learning_rate = 0.5
    by.apply([np.zeros((2, 3), np.float32), np.zeros(3, np.float32)], layer.trainable_weights)
    np.testing.assert_array_equal(layer.bias.numpy(), 1.0)
    np.testing.assert_allclose(layer.kernel.numpy(), 0.75 * kernel, rtol=1e-6)
