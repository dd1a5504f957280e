"""The channels that matter least go, and what is left answers as the net would without them."""

from typing import Any

import numpy as np
import pytest

from graft.core import compact, fit, prune
from tests.contracts.conftest import pictures
from tests.core.test_compact import NETS


def shaken(net: Any) -> Any:
    """`net` with scales and statistics that differ from channel to channel."""
    generator = np.random.default_rng(1)
    net.set_weights([one + 0.1 * generator.normal(size=one.shape).astype(np.float32) ** 2 for one in net.get_weights()])
    return net


@pytest.mark.parametrize("name", NETS)
def test_half_of_the_channels_that_may_go_are_gone_and_the_net_is_as_it_was(name: str) -> None:
    model = fit.classifier(shaken(NETS[name]()), 4, 1)
    before, widths = model.get_weights(), [one.producer.filters for one in compact.chains(model.get_layer("backbone"))]
    smaller = prune.pruned(model, 0.5)
    after = [one.producer.filters for one in compact.chains(smaller.get_layer("backbone"))]
    assert after == [width - width // 2 for width in widths]
    assert smaller.count_params() < 0.8 * model.count_params()
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    assert np.isfinite(fit.predict(smaller, pictures(4, 4, 3).images)).all()


def test_nothing_goes_where_nothing_is_asked_for() -> None:
    model = fit.classifier(NETS["convnet"](), 4, 1)
    assert prune.pruned(model, 0.0) is model


def test_channels_that_say_little_go_before_those_that_say_much() -> None:
    model = fit.classifier(shaken(NETS["convnet"]()), 4, 1)
    quiet = {}
    for chain in compact.chains(model.get_layer("backbone")):
        norm = next(layer for layer in chain.passes if "batch" in layer.name)
        few = np.random.default_rng(0).permutation(len(norm.get_weights()[0]))[::2]
        scales = norm.get_weights()
        scales[0][few] *= 1e-3
        scales[1][few] *= 1e-3
        norm.set_weights(scales)
        quiet[chain.producer.name] = set(few.tolist())
        off = prune.least(prune.importance(chain), 0.5)
        assert set(np.flatnonzero(off).tolist()) == quiet[chain.producer.name]
    asked = pictures(8, 4, 3).images
    before, after = fit.predict(model, asked), fit.predict(prune.pruned(model, 0.5), asked)
    assert np.abs(after - before).max() < 0.1 * np.abs(before).max()


def test_one_channel_is_left_and_the_first_of_equals_goes() -> None:
    assert prune.least(np.ones(4), 0.99).tolist() == [True, True, True, False]
    assert prune.least(np.array([3.0, 1.0, 2.0]), 0.4).tolist() == [False, True, False]
