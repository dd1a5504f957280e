"""Methods that learn from labels of the target alone: what the contract cannot say of all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import fit, layers, loop, vary
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.resume import Checkpoint
from graft.methods import (
    adapter,
    batch_norm,
    discriminative,
    full,
    gradual,
    l2_sp,
    last_blocks,
    linear_probe,
    prototypes,
)
from tasks.adapters import models

BUDGET = Budget(steps=8, batch_size=8, learning_rate=1e-2, evaluations=4, seed=1)
SGD = Recipe(optimizer="sgd", momentum=0, weight_decay=0)


def coloured(n: int, seed: int) -> Split:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = generator.integers(0, 80, (n, 16, 16, 3), dtype=np.uint8)
    images[np.arange(n), :, :, labels] += 100
    return Split(images, labels)


@pytest.fixture(scope="module")
def data() -> TrainData:
    return TrainData(coloured(12, 0), coloured(12, 1), 3, vary.none, unlabelled=coloured(300, 2).images[100:])


@pytest.fixture(scope="module")
def made() -> Any:
    """Three blocks, two batch norms: traced in a moment."""
    import keras
    from keras import layers as kinds

    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = kinds.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = kinds.ReLU()(kinds.BatchNormalization(momentum=0.9)(kinds.Conv2D(6, 3, 2, "same")(x)))
    x = kinds.ReLU()(kinds.BatchNormalization(momentum=0.9)(kinds.Conv2D(8, 3, 2, "same")(x)))
    x = kinds.ReLU()(kinds.Conv2D(8, 3, padding="same")(x))
    net = keras.Model(inputs, kinds.GlobalAveragePooling2D()(x), name="backbone")
    return net, net.get_weights()


@pytest.fixture
def net(made: Any) -> Any:
    made[0].set_weights(made[1])
    return made[0]


def moved(net: Any, before: list[Any]) -> list[bool]:
    """Of each block, whether a weight of it is not what it was."""
    old = {id(one): value for one, value in zip(net.weights, before, strict=True)}
    return [
        any(not np.array_equal(one.numpy(), old[id(one)]) for layer in block for one in layer.weights)
        for block in layers.blocks(net)
    ]


def test_frozen_batch_norms_keep_what_they_know_while_the_kernels_learn(net: Any, made: Any, data: TrainData) -> None:
    options = full.Options(batch_norm="frozen", start="random")
    full.adapt(options, net, data, replace(BUDGET, recipe=Recipe(ema=0.9)))
    kept = set(map(id, full.keeps(options, net)))
    assert len(kept) == 8
    for one, before in zip(net.weights, made[1], strict=True):
        assert np.array_equal(one.numpy(), before) == (id(one) in kept), one.path


def test_unfreezing_goes_from_the_head_down_and_ends_at_the_best(net: Any, made: Any, data: TrainData) -> None:
    seen: list[tuple[int, int, list[bool]]] = []
    watched = replace(data, progress=lambda done, total: seen.append((done, total, moved(net, made[1]))))
    model, history = gradual.adapt(gradual.Options(stages=3), net, watched, replace(BUDGET, steps=16, evaluations=8))
    assert [done for done, _, _ in seen] == [row["step"] for row in history] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert {total for _, total, _ in seen} == {16}
    blocks = {done: which for done, _, which in seen}
    assert blocks[4] == [False, False, True] and blocks[8] == [False, True, True] and blocks[16] == [True, True, True]
    assert fit.evaluate(model, data.validation)["val_accuracy"] == max(row["val_accuracy"] for row in history)


def test_a_block_learns_slower_by_the_factor_for_every_block_after_it(net: Any, made: Any, data: TrainData) -> None:
    def step(module: Any, options: Any) -> list[Any]:
        net.set_weights(made[1])
        module.adapt(options, net, data, Budget(1, 8, 0.1, 1, 1, SGD))
        both = zip(net.weights, made[1], strict=True)
        return [one.numpy() - value for one, value in both if len(one.shape) > 1]

    ours, alike = step(discriminative, discriminative.Options(decay=0.5)), step(full, full.Options())
    for slower, change, factor in zip(ours, alike, (0.125, 0.25, 0.5), strict=True):
        np.testing.assert_allclose(slower, factor * change, rtol=1e-3, atol=1e-7)


def test_blocks_learn_from_cached_views_as_they_would_from_the_pictures(
    net: Any, made: Any, data: TrainData, tmp_path: Path
) -> None:
    options = last_blocks.Options(blocks=2)
    budget = replace(BUDGET, batch_size=12, recipe=SGD)
    model, _ = last_blocks.adapt(options, net, data, budget)
    weights = model.get_weights()
    net.set_weights(made[1])
    # one unvaried view in batches of all: the same rows in another order
    cached, history = last_blocks.adapt(options.model_copy(update={"cached_views": 1}), net, data, budget)
    for ours, theirs in zip(cached.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert moved(net, made[1]) == [False, True, True]
    assert fit.evaluate(cached, data.validation)["val_accuracy"] == max(row["val_accuracy"] for row in history)
    models.save(cached, tmp_path / "model.keras")
    answers = [fit.predict(one, data.train.images) for one in (cached, models.load(tmp_path / "model.keras"))]
    np.testing.assert_array_equal(*answers)


def test_views_that_no_memory_would_hold_are_refused_with_a_number_that_would_do(net: Any, data: TrainData) -> None:
    many = replace(data, train=Split(np.broadcast_to(data.train.images[:1], (100_000, 16, 16, 3)), np.arange(100_000)))
    with pytest.raises(BadInput, match=r"cached_views is 90: 100000 pictures would take 13824 MB; 6 views or 0"):
        last_blocks._views(last_blocks.Options(cached_views=90), layers.parted(net, 2)[0], many, 0)


def test_the_pull_towards_the_start_keeps_the_backbone_near_it(net: Any, made: Any, data: TrainData) -> None:
    drift = {}
    for alpha in (0.0, 50.0):
        net.set_weights(made[1])
        _, history = l2_sp.adapt(l2_sp.Options(alpha=alpha), net, data, BUDGET)
        drift[alpha] = history[-1]["drift"]
    assert 0 < drift[50.0] < 0.5 * drift[0.0]


@pytest.mark.parametrize("unlabelled", [False, True])
def test_statistics_are_those_of_all_the_targets_pictures(net: Any, data: TrainData, unlabelled: bool) -> None:
    options = batch_norm.Options(unlabelled=unlabelled)
    batch_norm.adapt(options, net, data, BUDGET)
    every = [data.train.images, *([data.unlabelled] if unlabelled else [])]
    scaled = np.concatenate(every).astype(np.float32) / 127.5 - 1.0
    first, second = layers.batch_norms(net)
    maps = next(one for one in net.layers if one.weights)(scaled).numpy()  # before any normalisation: exact
    np.testing.assert_allclose(first.moving_mean, maps.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first.moving_variance, maps.var(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
    assert first.momentum == second.momentum == 0.9 and np.any(second.moving_mean.numpy() != 0)


def test_only_scales_and_shifts_learn_where_they_may(net: Any, made: Any, data: TrainData) -> None:
    options = batch_norm.Options(affine=True)
    _, history = batch_norm.adapt(options, net, data, BUDGET)
    kept = set(map(id, batch_norm.keeps(options, net)))
    assert history[-1]["step"] == 8 and len(kept) == 6
    for one, before in zip(net.weights, made[1], strict=True):
        assert np.array_equal(one.numpy(), before) == (id(one) in kept), one.path


@pytest.mark.parametrize("centre", [False, True])
def test_the_head_answers_with_the_nearest_class_mean_by_cosine(centre: bool) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 4
    features = generator.normal(3.0, 1.0, (40, 6)) + 0.7 * np.eye(4, 6)[labels]
    kernel, bias = prototypes.head(features, labels, 4, centre)
    middle = features.mean(axis=0) if centre else np.zeros(6)
    unit = (features - middle) / np.linalg.norm(features - middle, axis=1, keepdims=True)
    means = np.stack([unit[labels == label].mean(axis=0) for label in range(4)])
    cosines = unit @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    np.testing.assert_array_equal((features @ kernel + bias).argmax(axis=1), cosines.argmax(axis=1))


def test_probabilities_are_bold_only_where_a_row_left_out_is_told_right() -> None:
    labels = np.arange(30) % 3
    noise = np.random.default_rng(0).normal(0.0, 1.0, (30, 20))
    clear, _ = prototypes.head(noise + 20.0 * np.eye(3, 20)[labels], labels, 3, True)
    blind, _ = prototypes.head(noise, labels, 3, True)
    assert np.linalg.norm(clear) * 20.0 > 10 * np.linalg.norm(blind)


def test_a_class_without_a_picture_has_no_prototype() -> None:
    with pytest.raises(BadInput, match="class 1 has no training picture"):
        prototypes.head(np.ones((2, 3)), np.array([0, 2]), 3, True)


@pytest.mark.parametrize(("taps", "rank"), [("centre", 1), ("all", 2)])
def test_a_kernel_learns_no_more_than_its_rank_and_where_it_may(
    net: Any, made: Any, data: TrainData, taps: Any, rank: int
) -> None:
    adapter.adapt(adapter.Options(rank=rank, taps=taps), net, data, BUDGET)
    old = {id(one): value for one, value in zip(net.weights, made[1], strict=True)}
    for kernel in [one for one in net.weights if len(one.shape) == 4]:
        learned = kernel.numpy() - old[id(kernel)]
        flat = learned[1, 1] if taps == "centre" else learned.reshape(-1, learned.shape[-1])
        values = np.linalg.svd(flat, compute_uv=False)
        assert values[rank - 1] > 1e-5 > values[rank]
        beside = np.delete(learned.reshape(9, -1), 4, axis=0)
        assert np.any(beside) == (taps == "all")


def test_the_penalty_is_strong_where_features_tell_nothing_and_one_where_no_row_can_be_left_out() -> None:
    labels = np.arange(40) % 2
    noise = np.random.default_rng(0).normal(0.0, 1.0, (40, 12))
    rows = Split(np.zeros((40, 1, 1, 3), np.uint8), labels)
    assert linear_probe.chosen(noise, rows, 0) > 100 * linear_probe.chosen(noise + 9.0 * labels[:, None], rows, 0)
    lone = Split(rows.images, np.where(np.arange(40) == 7, 2, labels))
    assert linear_probe.chosen(noise, lone, 0) == 1.0
    units = replace(rows, units=labels)
    assert linear_probe.chosen(noise, units, 0) == 1.0


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("method", "options"),
    [
        (last_blocks, last_blocks.Options(blocks=2, cached_views=3)),
        (batch_norm, batch_norm.Options(affine=True)),
        (adapter, adapter.Options(rank=2, taps="all")),
    ],
    ids=lambda one: type(one).__module__.rpartition(".")[2],
)
def test_what_is_not_the_default_ends_as_if_it_had_not_been_killed_too(
    net: Any, made: Any, data: TrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any, options: Any
) -> None:
    def killed(done: int, total: int) -> None:
        if done == 4:
            raise Killed

    def weights(of: TrainData) -> list[Any]:
        net.set_weights(made[1])
        model, _ = method.adapt(options, net, of, replace(BUDGET, recipe=Recipe(ema=0.5)))
        return list(model.get_weights())

    varied = replace(data, augment=vary.standard)
    whole = weights(varied)
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0.0)
    checkpointed = replace(varied, checkpoint=Checkpoint(tmp_path / "one"))
    with pytest.raises(Killed):
        weights(replace(checkpointed, progress=killed))
    for ours, theirs in zip(weights(checkpointed), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
