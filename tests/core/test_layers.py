"""Blocks of any backbone, and freezing that leaves no trace."""

from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet, efficientnet_lite0
from graft.core import fit, layers, vary
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.spec import Spec


@pytest.fixture(scope="module")
def lite() -> Any:
    return efficientnet_lite0.build(efficientnet_lite0.Options(pretrained=False, input_px=32), Spec(32), 0)


def test_a_residual_block_is_one_and_so_is_a_depthwise_convolution_with_its_pointwise_ones(lite: Any) -> None:
    blocks = layers.blocks(lite)
    names = [{layer.name.partition("_")[0] for layer in block} for block in blocks]
    assert names == [{"stem"}, *({f"block{number:02d}"} for number in range(16)), {"head"}]
    assert [id(one) for block in blocks for one in block] == [id(one) for one in lite.layers if one.weights]
    assert [len(block) for block in layers.blocks(convnet.build(convnet.Options(width=4), Spec(32), 0))] == [2, 5, 5, 5]


@pytest.mark.parametrize("last", [1, 3, 12])
def test_two_parts_make_the_whole_with_the_same_layers(lite: Any, last: int) -> None:
    kept, rest = layers.parted(lite, last)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(rest(kept(pictures)), lite(pictures), rtol=1e-4, atol=1e-6)
    late = {id(one) for block in layers.blocks(lite)[-last:] for one in block}
    assert {id(one) for one in rest.layers if one.weights} == late
    assert not late & {id(one) for one in kept.layers}


def small() -> Any:
    import keras
    from keras import layers as kinds

    inputs = keras.Input((8, 8, 3))
    x = kinds.BatchNormalization()(kinds.Conv2D(4, 3)(kinds.Rescaling(1 / 255)(inputs)))
    inner = keras.Sequential([kinds.Conv2D(4, 3), kinds.BatchNormalization()])
    return keras.Model(inputs, kinds.GlobalAveragePooling2D()(inner(x)), name="backbone")


def test_flags_come_back_as_they_were_whatever_happens() -> None:
    net = small()
    first, second = layers.batch_norms(net)
    second.trainable = False
    before = layers.flags(net)
    with pytest.raises(KeyError), layers.frozen([net]):
        assert not any(layers.flags(net)) and not net.trainable_weights
        raise KeyError
    assert layers.flags(net) == before and first.trainable and not second.trainable


def test_what_is_frozen_stays_to_the_bit_even_if_the_same_weights_learned_before_with_it_free() -> None:
    generator = np.random.default_rng(0)
    rows = Split(generator.integers(0, 255, (8, 8, 8, 3), dtype=np.uint8), np.arange(8) % 2)
    data, net = TrainData(rows, rows, 2, vary.none), small()
    model, budget = fit.classifier(net, 2, 0), Budget(4, 4, 1e-2, 2, 0, Recipe(ema=0.9))
    head, free = [(model.get_layer("head"), 1.0)], net.get_weights()
    fit.train(model, data, budget, rates=head)
    statistics = net.get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(free, statistics, strict=True))
    with layers.frozen(layers.batch_norms(net)):
        fit.train(model, data, budget, rates=head)
    for before, after in zip(statistics, net.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
