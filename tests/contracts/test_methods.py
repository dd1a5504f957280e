"""What every method promises."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, plugins
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.plugins import Plugin
from graft.core.sections import Choice
from graft.core.spec import Spec


@pytest.fixture(params=plugins.names("graft.methods"), scope="module")
def method(request: pytest.FixtureRequest) -> Plugin:
    return plugins.resolve("graft.methods", Choice(name=request.param), "method")


def adapt(method: Plugin, spec: Spec, data: TrainData) -> tuple[Any, Any, list[Any], list[dict[str, float]]]:
    """Backbone, classifier, the weights that the backbone started from, history."""
    backbone = convnet.build(convnet.Options(width=8), spec, 3)
    before = backbone.get_weights()
    model, history = method.module.adapt(method.options, backbone, data, Budget(40, 16, 3e-3, 2, 3))
    return backbone, model, before, history


def test_it_learns_sixteen_pictures_and_freezes_what_it_promises(method: Plugin, spec: Spec, few: TrainData) -> None:
    backbone, model, before, history = adapt(method, spec, few)
    accuracy = (fit.predict(model, few.train.images).argmax(axis=1) == few.train.labels).mean()
    assert accuracy >= 0.9
    assert {"step", "val_accuracy", "val_loss"} <= set(history[-1])
    moved = [not np.array_equal(a, b) for a, b in zip(before, backbone.get_weights(), strict=True)]
    if method.module.FREEZES_BACKBONE:
        assert not any(moved)  # batch statistics are among the weights
    else:
        assert all(moved)


def test_the_same_seed_gives_the_same_model(method: Plugin, spec: Spec, few: TrainData) -> None:
    _, model, _, _ = adapt(method, spec, few)
    _, twin, _, _ = adapt(method, spec, few)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
