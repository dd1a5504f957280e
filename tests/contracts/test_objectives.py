"""What every objective promises."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import plugins
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.sections import Choice
from graft.core.spec import Spec


@pytest.fixture(params=plugins.names("graft.objectives"), scope="module")
def pretrain(request: pytest.FixtureRequest, spec: Spec, data: TrainData) -> Any:
    chosen = plugins.resolve("graft.objectives", Choice(name=request.param), "objective")

    def run(seed: int) -> tuple[Any, list[dict[str, float]]]:
        net = convnet.build(convnet.Options(width=4), spec, seed)
        _, history = chosen.module.pretrain(chosen.options, net, data, Budget(24, 16, 1e-3, 4, seed))
        return net.get_weights(), history

    return run


def test_the_loss_falls_and_the_seed_decides_the_weights(pretrain: Any) -> None:
    (weights, history), (twin, _), (other, _) = pretrain(1), pretrain(1), pretrain(2)
    assert history[-1]["loss"] < history[0]["loss"]
    for ours, theirs in zip(weights, twin, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(not np.array_equal(a, b) for a, b in zip(weights, other, strict=True))
