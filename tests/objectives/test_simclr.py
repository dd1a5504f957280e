"""SimCLR sees no label, and the target's pictures when it is told so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.objectives import simclr

BUDGET = Budget(6, 12, 1.0, 2, 3)


def learned(net: Any, start: list[Any], data: TrainData, **options: Any) -> list[Any]:
    net.set_weights(start)
    simclr.pretrain(simclr.Options(**options), net, data, BUDGET)
    weights: list[Any] = net.get_weights()
    return weights


def test_no_label_moves_the_backbone_and_target_pictures_do_when_asked(
    tiny: Callable[[int], Any], data: TrainData
) -> None:
    net = tiny(1)
    start, shuffled = net.get_weights(), np.random.default_rng(0).permutation(data.train.labels)
    dim = replace(data, unlabelled=data.train.images // 4)
    plain = learned(net, start, data)
    blind = learned(net, start, replace(dim, train=Split(data.train.images, shuffled)))
    for ours, theirs in zip(plain, blind, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    both = learned(net, start, dim, target_pictures=True)
    brighter = learned(net, start, replace(data, unlabelled=data.train.images), target_pictures=True)
    assert not np.allclose(both[0], plain[0]) and not np.allclose(both[0], brighter[0])


@pytest.mark.parametrize("none", [None, np.zeros((0, 16, 16, 3), np.uint8)])
def test_target_pictures_that_are_not_there_are_missed_in_one_line(
    tiny: Callable[[int], Any], data: TrainData, none: Any
) -> None:
    with pytest.raises(BadInput, match="target_pictures is true and no target pictures") as caught:
        simclr.pretrain(simclr.Options(target_pictures=True), tiny(1), replace(data, unlabelled=none), BUDGET)
    assert "\n" not in str(caught.value)
