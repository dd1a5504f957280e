"""SimCLR sees no label, and the target's pictures when it is told so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.fit import TrainData
from graft.objectives import simclr

BUDGET = Budget(6, 12, 1.0, 2, 3)


def learned(net: Any, start: list[Any], data: TrainData, **options: Any) -> list[Any]:
    net.set_weights(start)
    simclr.pretrain(simclr.Options(**options), net, data, BUDGET)
    weights: list[Any] = net.get_weights()
    return weights


def test_no_label_moves_the_backbone_and_target_pictures_do_where_there_are_some(
    tiny: Callable[[int], Any], data: TrainData
) -> None:
    net, none = tiny(1), np.zeros((0, 16, 16, 3), np.uint8)
    start, shuffled = net.get_weights(), np.random.default_rng(0).permutation(data.train.labels)
    plain = learned(net, start, replace(data, unlabelled=none))
    blind = learned(net, start, replace(data, unlabelled=None, train=Split(data.train.images, shuffled)))
    for ours, theirs in zip(plain, blind, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    dim = learned(net, start, replace(data, unlabelled=data.train.images // 4))
    bright = learned(net, start, replace(data, unlabelled=data.train.images))
    assert not np.allclose(dim[0], plain[0]) and not np.allclose(dim[0], bright[0])
