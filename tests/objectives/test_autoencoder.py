"""The autoencoder hides what it says, counts that alone, and draws through all of the backbone's weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graft.backbones import article
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.spec import Spec
from graft.objectives import autoencoder

BUDGET = Budget(6, 12, 1.0, 1, 3, Recipe(weight_decay=0.0))


@pytest.mark.parametrize(("mask", "patch_px", "hidden"), [(0.5, 4, 8 / 16), (0.01, 4, 1 / 16), (0.75, 16, 1.0)])
def test_that_share_of_the_patches_is_hidden_whole_and_anew_for_each_picture(
    mask: float, patch_px: int, hidden: float
) -> None:
    options, images = autoencoder.Options(mask=mask, patch_px=patch_px), np.zeros((5, 16, 16, 3), np.float32)
    found, other = (autoencoder._hidden(images, np.array([0, n], np.int32), options).numpy() for n in (1, 2))
    assert found.shape == (5, 16, 16, 1)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), hidden)
    patches = found.reshape(5, 16 // patch_px, patch_px, 16 // patch_px, patch_px)
    np.testing.assert_array_equal(patches.min(axis=(2, 4)), patches.max(axis=(2, 4)))
    if hidden < 1:
        assert not np.array_equal(found, other) and not np.array_equal(found[0], found[1])


def test_only_what_is_hidden_counts_and_it_does_not_come_through(tiny: Callable[[int], Any]) -> None:
    options, seed = autoencoder.Options(patch_px=4), np.array([0, 1], np.int32)
    learner, validated, _ = autoencoder._learner(tiny(1), options, Recipe(), ())
    images = np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3)).astype(np.float32)
    hidden = np.broadcast_to(autoencoder._hidden(images, seed, options).numpy(), images.shape)
    cells = learner.model(np.where(hidden, np.float32(127.5), images), training=False)
    squares = (autoencoder._unpacked(cells, images).numpy() - (images / 127.5 - 1)) ** 2
    assert float(validated(images, None, seed)) == pytest.approx(squares[hidden].mean(), rel=1e-5)


def test_a_net_that_ends_in_a_layer_with_weights_learns_to_its_end(data: TrainData) -> None:
    net = article.build(article.Options(), Spec(16), 1)
    before = net.get_weights()
    _, history = autoencoder.pretrain(autoencoder.Options(patch_px=4), net, data, BUDGET)
    assert all(not np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))
    assert np.isfinite(history[-1]["val_loss"])


def test_the_statistics_that_stay_are_those_of_whole_pictures(tiny: Callable[[int], Any], data: TrainData) -> None:
    options, images = autoencoder.Options(learning_rate=1e-9, patch_px=4), data.train.images.astype(np.float32)
    hidden = autoencoder._hidden(images, np.array([0, 1], np.int32), options).numpy()
    net, whole, masked = tiny(1), tiny(1), tiny(1)
    autoencoder.pretrain(options, net, data, BUDGET)
    for _ in range(20):
        whole(images, training=True)
        masked(np.where(hidden, np.float32(127.5), images), training=True)
    stays, wanted, other = (net.get_layer(index=3).get_weights()[2] for net in (net, whole, masked))
    assert np.abs(stays - wanted).max() < 0.2 * np.abs(other - wanted).max()
