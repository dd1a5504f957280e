"""The training loop that every arm shares."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, probe
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.errors import GateRefused
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.spec import Spec

BUDGET = Budget(steps=20, batch_size=8, learning_rate=3e-3, evaluations=4, seed=1)


def plain(images: Any, seed: Any) -> Any:
    return images


@pytest.fixture(scope="module")
def data() -> TrainData:
    generator = np.random.default_rng(0)
    labels = np.arange(24) % 3
    images = generator.integers(0, 80, (24, 32, 32, 3), dtype=np.uint8)
    images[np.arange(24), :, :, labels] += 150
    split = Split(images, labels.astype(np.int64))
    return TrainData(split, split.take(np.arange(9)), 3, plain)


@pytest.fixture(scope="module")
def backbone() -> Any:
    return convnet.build(convnet.Options(width=4), Spec(32), 0)


def fresh(backbone: Any, seed: int = 0) -> Any:
    backbone.set_weights(convnet.build(convnet.Options(width=4), Spec(32), seed).get_weights())
    return fit.classifier(backbone, 3, seed)


def test_the_same_seed_gives_the_same_weights_again_in_the_same_object(backbone: Any, data: TrainData) -> None:
    first = fresh(backbone)
    history = fit.train(first, data, BUDGET)
    weights = first.get_weights()
    second = fresh(backbone)
    assert second is first  # traced once, trained twice
    assert fit.train(second, data, BUDGET) == history
    for ours, theirs in zip(weights, second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_model_is_left_at_its_best_validation_accuracy(backbone: Any, data: TrainData) -> None:
    model = fresh(backbone)
    history = fit.train(model, data, BUDGET)
    best = max(row["val_accuracy"] for row in history)
    assert fit.evaluate(model, data.validation)["val_accuracy"] == pytest.approx(best)
    assert [row["step"] for row in history] == [5.0, 10.0, 15.0, 20.0]


def test_a_diverging_training_is_refused_with_its_rate(backbone: Any, data: TrainData) -> None:
    def broken(images: Any, seed: Any) -> Any:
        return images * float("nan")

    poisoned = TrainData(data.train, data.validation, 3, broken)
    with pytest.raises(GateRefused, match="learning rate 0.003"):
        fit.train(fresh(backbone), poisoned, BUDGET)


def test_prediction_leaves_the_batch_statistics_alone(backbone: Any, data: TrainData) -> None:
    model = fresh(backbone)
    before = model.get_weights()
    answered = fit.predict(model, data.train.images, batch_size=7)
    assert answered.shape == (24, 3) and answered.dtype == np.float32
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_prediction_is_what_the_model_says_outside_training(backbone: Any, data: TrainData) -> None:
    import tensorflow as tf

    model = fresh(backbone)
    expected = model(tf.cast(data.train.images, tf.float32), training=False).numpy()
    np.testing.assert_allclose(fit.predict(model, data.train.images, batch_size=7), expected, atol=1e-5)


def test_a_classifier_keeps_its_object_and_gets_a_new_head(backbone: Any) -> None:
    model = fit.classifier(backbone, 3, 1)
    kernel, bias = model.get_layer("head").get_weights()
    model.get_layer("head").set_weights([kernel * 0 + 5, bias + 5])
    assert fit.classifier(backbone, 3, 1) is model
    np.testing.assert_array_equal(model.get_layer("head").get_weights()[0], kernel)
    assert not model.get_layer("head").get_weights()[1].any()
    fit.classifier(backbone, 3, 2)
    assert not np.array_equal(model.get_layer("head").get_weights()[0], kernel)
    assert fit.classifier(backbone, 4, 1) is not model
    assert probe.backbone_of(model) is backbone


def test_progress_is_told_up_to_the_budget(backbone: Any, data: TrainData) -> None:
    told: list[tuple[int, int]] = []
    fit.train(fresh(backbone), replace(data, progress=lambda done, total: told.append((done, total))), BUDGET)
    assert told == [(5, 20), (10, 20), (15, 20), (20, 20)]


def test_a_budget_that_does_not_divide_is_kept_too(backbone: Any, data: TrainData) -> None:
    history = fit.train(fresh(backbone), data, replace(BUDGET, steps=21, evaluations=2))
    assert history[-1]["step"] == 21


def test_softmax_rows_are_probabilities_even_for_large_logits() -> None:
    rows = fit.softmax(np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32))
    np.testing.assert_allclose(rows, [[1.0, 0.0], [0.5, 0.5]])


def test_the_better_history_wins_and_the_loss_breaks_ties() -> None:
    def history(accuracy: float, loss: float) -> list[dict[str, float]]:
        return [{"val_accuracy": 0.1, "val_loss": 9.0}, {"val_accuracy": accuracy, "val_loss": loss}]

    assert fit.mean_rank([history(0.5, 1.0)]) < fit.mean_rank([history(0.6, 3.0)])
    assert fit.mean_rank([history(0.6, 2.0)]) < fit.mean_rank([history(0.6, 1.0)])
    assert fit.mean_rank([history(0.5, 1.0), history(0.7, 2.0)]) == pytest.approx((0.6, -1.5))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_probe_is_logistic_regression_on_standardised_features(data: TrainData, n_classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    rows = np.flatnonzero(data.train.labels < n_classes)
    few = TrainData(data.train.take(rows), data.validation, n_classes, plain)
    net = convnet.build(convnet.Options(width=4), Spec(32), 5)
    model = fit.classifier(net, n_classes, 0)
    probe.fit_head(model, few, 1.0)
    features = fit.predict(net, few.train.images).astype(np.float64)
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.maximum(spread, 0.1 * spread.max())
    expected = LogisticRegression(max_iter=1000).fit(scaled, few.train.labels).predict_proba(scaled)
    np.testing.assert_allclose(fit.softmax(fit.predict(model, few.train.images)), expected, atol=1e-3)


def test_a_feature_that_hardly_moves_weighs_no_more_in_the_probe_than_others(data: TrainData) -> None:
    net = convnet.build(convnet.Options(width=4), Spec(32), 5)
    features = fit.predict(net, data.train.images)
    scales = np.ones(features.shape[1], np.float32)
    scales[features.std(axis=0).argmax()] = 1e-4
    model = fit.classifier(_scaled(net, scales), data.n_classes, 0)
    probe.fit_head(model, data, 1.0)
    largest = np.abs(model.get_layer("head").get_weights()[0]).max(axis=1)
    assert largest[scales < 1] < largest[scales == 1].max()


def _scaled(net: Any, scales: Any) -> Any:
    import keras

    return keras.Model(net.inputs, net.outputs[0] * scales, name="backbone")


def test_only_the_layers_named_learn_and_each_at_its_rate(backbone: Any, data: TrainData) -> None:
    model = fresh(backbone)
    before = [one.numpy() for one in model.trainable_weights]
    fit.train(model, data, replace(BUDGET, steps=1, evaluations=1), rates=[(model.get_layer("head"), 1.0)])
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.trainable_weights, strict=True)]
    assert moved == [False] * (len(before) - 2) + [True, True]
    far = []
    for factor in (1.0, 0.1):
        model = fresh(backbone)
        kernel = model.get_layer("head").kernel
        start = kernel.numpy()
        fit.train(model, data, replace(BUDGET, steps=1, evaluations=1), rates=[(model.get_layer("head"), factor)])
        far.append(np.abs(kernel.numpy() - start).max())
    assert far[0] == pytest.approx(10 * far[1], rel=0.05)


def test_rare_classes_weigh_more_and_the_rows_one_on_average(data: TrainData) -> None:
    rows = np.array([0, 3, 6, 9, 1, 2])  # four of class 0
    skewed = replace(data, train=data.train.take(rows))
    weights = np.array(fit.class_weights(skewed))
    assert weights[0] == pytest.approx(weights[1] / 4) and weights[1] == weights[2]
    assert weights[skewed.train.labels].mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "schedule": "step", "clip_norm": 1.0},
        {"mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1},
        {"schedule": "plateau", "class_weights": "balanced", "ema": 0.9},
    ],
)
def test_every_ingredient_learns(backbone: Any, data: TrainData, settings: dict[str, Any]) -> None:
    model = fresh(backbone)
    history = fit.train(model, data, replace(BUDGET, steps=60, learning_rate=0.01, recipe=Recipe(**settings)))
    assert history[-1]["val_accuracy"] == 1.0
