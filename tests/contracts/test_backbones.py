"""What every backbone promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import fit, plugins
from graft.core.fit import TrainData
from graft.core.sections import Choice
from graft.core.spec import Spec
from graft.exports import tflite


@pytest.fixture(params=plugins.names("graft.backbones"), scope="module")
def build(request: pytest.FixtureRequest, spec: Spec) -> Any:
    """Builds from a seed, with random weights; light where there is a choice, and pictures are resized."""
    chosen = plugins.resolve("graft.backbones", Choice(name=request.param), "backbone")
    options = getattr(chosen.module, "untrained", lambda options: options)(chosen.options)
    light = {"input_px": 48, "architecture": "MobileNet"}
    options = options.model_copy(update={key: light[key] for key in light if key in type(options).model_fields})
    return lambda seed: chosen.module.build(options, spec, seed)


@pytest.fixture(scope="module")
def answered(build: Any, data: TrainData) -> tuple[Any, Any]:
    """A classifier, and what it answers."""
    model = fit.classifier(build(1), 4, 0)
    return model, fit.predict(model, data.train.images)


def test_it_makes_finite_features_and_the_seed_decides_the_weights(build: Any, answered: Any) -> None:
    model, answers = answered
    net, twin, other = model.get_layer("backbone"), build(1), build(2)
    assert len(net.output_shape) == 2 and np.all(np.isfinite(answers))
    for ours, theirs in zip(net.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(not np.array_equal(a, b) for a, b in zip(net.get_weights(), other.get_weights(), strict=True))


def test_gradients_reach_every_trainable_weight(build: Any, data: TrainData) -> None:
    import tensorflow as tf

    net = build(1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(tf.cast(data.train.images, tf.float32), training=True) ** 2)
    gradients = tape.gradient(loss, net.trainable_variables)
    assert all(gradient is not None and np.any(gradient.numpy() != 0) for gradient in gradients)


def test_frozen_it_answers_the_same_in_training_and_nothing_moves(build: Any, data: TrainData) -> None:
    net = build(1)
    net.trainable = False
    before, pictures = net.get_weights(), data.train.images[:8].astype(np.float32)
    np.testing.assert_array_equal(net(pictures, training=True), net(pictures, training=False))
    for ours, theirs in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saved_one_comes_back_the_same(answered: Any, data: TrainData, tmp_path: Path) -> None:
    from tasks.adapters import models

    model, answers = answered
    models.save(model, tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(answers, fit.predict(loaded, data.train.images))
    assert [one.name for one in tmp_path.iterdir()] == ["model.keras"]


def test_it_exports_with_built_in_operators(answered: Any, data: TrainData) -> None:
    (model, answers), options = answered, tflite.Options(precision="float32")
    files = tflite.convert(options, model, data.train.images)
    assert tflite.describe(options, files)["builtin_operators_only"]
    np.testing.assert_allclose(tflite.run(options, files)(data.train.images), fit.softmax(answers), atol=1e-4)
