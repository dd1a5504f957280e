"""One device and several learn the same from the same batches; half precision nearly so."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import fit, parallel
from graft.core.errors import BadInput
from graft.core.loop import Learner
from graft.core.parallel import Way
from graft.core.recipe import Recipe
from tests.core import ways

ROOT = Path(__file__).parents[2]


def elsewhere(*arguments: str) -> dict[str, Any]:
    """The same training in a process of its own, with as many logical devices as it asks for."""
    command = [sys.executable, str(ROOT / "tests/core/ways.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ways.environment(), timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def same(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    np.testing.assert_allclose(ours["losses"], theirs["losses"], rtol=tolerance)
    for one, other in zip(ours["weights"], theirs["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """With batch norms, mixed pictures, averaged weights, clipping and the lasso, on one device."""
    return ways.trained(Way(), "batch_norm", ways.BUSY)


def test_two_devices_learn_what_one_learns_from_the_same_batches(alone: dict[str, Any]) -> None:
    same(elsewhere("mirrored", "1", "batch_norm"), alone, 2e-4)


def test_micro_batches_learn_what_the_whole_batch_teaches_a_net_without_batch_norms() -> None:
    whole = ways.trained(Way(), "plain", ways.BUSY)
    same(ways.trained(Way(accumulate=4), "plain", ways.BUSY), whole, 2e-4)


def test_with_batch_norms_each_part_has_its_own_statistics(alone: dict[str, Any]) -> None:
    parts = ways.trained(Way(accumulate=4), "batch_norm", ways.BUSY)
    assert not np.allclose(parts["losses"], alone["losses"], rtol=1e-3)
    assert np.all(np.isfinite(parts["losses"]))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_nearly_the_same_and_the_net_it_leaves_is_of_float32(
    alone: dict[str, Any], precision: Any, tmp_path: Path
) -> None:
    import keras

    way = Way(precision=precision)
    half = ways.trained(way, "batch_norm", ways.BUSY)
    np.testing.assert_allclose(half["losses"], alone["losses"], rtol=0.1)
    assert half["losses"] != alone["losses"]
    made = parallel.plain(half["model"], way)
    policies = {one.dtype_policy.name for one in made._flatten_layers()}
    assert policies == {"float32"} and keras.config.dtype_policy().name == "float32"
    made.save(tmp_path / "one.keras")
    again = keras.saving.load_model(tmp_path / "one.keras", safe_mode=True)
    pictures = ways.data().train.images
    np.testing.assert_array_equal(fit.predict(again, pictures), fit.predict(made, pictures))
    assert np.abs(fit.predict(made, pictures) - fit.predict(half["model"], pictures)).max() < 0.1


def test_gradients_that_overflow_move_nothing_and_halve_the_scale() -> None:
    import keras
    import tensorflow as tf

    factor = tf.Variable(1e38)
    inputs = keras.Input((2,))
    with parallel.use(Way(precision="float16")):
        model = keras.Model(inputs, keras.layers.Dense(1, dtype="float32", kernel_initializer="ones")(inputs))
        learner = Learner(model, lambda x: (tf.reduce_mean(factor * model(x)), {}), Recipe(optimizer="sgd"))
    learner.begin()
    learner.at(1e-3)
    before = model.get_weights()
    learner.step(tf.ones((4, 2)))
    scale = next(one for one in learner.state if one.shape == () and float(one) == 2.0**14)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    factor.assign(1.0)
    learner.step(tf.ones((4, 2)))
    assert float(scale) == 2.0**14 and not np.array_equal(model.get_weights()[0], before[0])
    learner.begin()
    assert float(scale) == 2.0**15


def test_a_loss_that_compares_pictures_is_not_cut() -> None:
    import keras

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    with parallel.use(Way(accumulate=2)), pytest.raises(BadInput, match="compares the pictures of a batch"):
        Learner(model, lambda x: (x, {}), Recipe())


@pytest.mark.parametrize("n_bytes", [0, 1, 4087, 4088, 4089, 8_004_088, 8_004_089])
def test_what_the_chief_says_arrives_byte_by_byte(n_bytes: int) -> None:
    told = np.random.default_rng(0).bytes(n_bytes)
    assert Way(several=True).agreed(told) == told


def test_others_hear_the_chief_alone() -> None:
    assert Way(several=True, chief=False).agreed(b"mine") == b""
    assert Way(several=True).agreed_on({"loss": 0.1, "none": None}) == {"loss": 0.1, "none": None}
    assert Way().agreed(b"nobody else is here") == b"nobody else is here"
