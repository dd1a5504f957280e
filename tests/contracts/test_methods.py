"""What every method promises."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones import article
from graft.core import fit, layers, loop, plugins
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.plugins import Plugin
from graft.core.resume import Checkpoint
from graft.core.sections import Choice
from graft.core.spec import Spec

BUDGET = Budget(steps=40, batch_size=16, learning_rate=3e-3, evaluations=2, seed=3)


@pytest.fixture(params=plugins.names("graft.methods"), scope="module")
def method(request: pytest.FixtureRequest) -> Plugin:
    return plugins.resolve("graft.methods", Choice(name=request.param), "method")


@dataclass(frozen=True)
class Net:
    """One network for all methods, so that what they share is traced once; each begins where it began."""

    backbone: Any
    start: list[Any]

    def adapt(self, method: Plugin, data: TrainData, budget: Budget = BUDGET) -> tuple[Any, list[dict[str, float]]]:
        self.backbone.set_weights(self.start)
        model, history = method.module.adapt(method.options, self.backbone, data, budget)
        return model, history


@pytest.fixture(scope="module")
def net(spec: Spec, data: TrainData) -> Net:
    """Three blocks, one of them residual, and batch norms: traced in a moment."""
    import keras
    from keras import layers as kinds

    seeds = iter(range(100))

    def conv(x: Any, stride: int) -> Any:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        made = kinds.Conv2D(16, 3, stride, "same", use_bias=False, kernel_initializer=initial)(x)
        return kinds.BatchNormalization(momentum=0.9)(made)

    inputs = keras.Input(spec.shape, dtype="float32")
    x = kinds.ReLU()(conv(kinds.Rescaling(1 / 127.5, offset=-1.0)(inputs), 4))
    x = kinds.ReLU()(kinds.Add()([x, conv(x, 1)]))
    x = kinds.ReLU()(conv(x, 2))
    backbone = keras.Model(inputs, kinds.GlobalAveragePooling2D()(x), name="backbone")
    for _ in range(30):  # statistics that fit pictures, as a pretrained net has
        backbone(data.train.images.astype(np.float32), training=True)
    return Net(backbone, backbone.get_weights())


@pytest.fixture(scope="module")
def plain(spec: Spec) -> Net:
    """One without batch norms."""
    backbone = article.build(article.Options(), spec, 3)
    return Net(backbone, backbone.get_weights())


class Unseen:
    """Pictures that nobody may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("a method that does not say USES_UNLABELLED looked at pictures without labels")

    def __len__(self) -> int:
        raise AssertionError("a method that does not say USES_UNLABELLED counted pictures without labels")


@dataclass(frozen=True)
class Adapted:
    """What one training left, looked at before the next one begins."""

    model: Any
    history: list[dict[str, float]]
    weights: list[Any]
    answers: Any
    trainable_before: tuple[bool, ...]
    trainable_after: tuple[bool, ...]
    loaded_answers: Any


@pytest.fixture(scope="module")
def adapted(method: Plugin, net: Net, few: TrainData, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    from tasks.adapters import models

    file, before = tmp_path_factory.mktemp("model") / "model.keras", layers.flags(net.backbone)
    uses = getattr(method.module, "USES_UNLABELLED", False)
    model, history = net.adapt(method, few if uses else replace(few, unlabelled=Unseen()))
    models.save(model, file)
    loaded = fit.predict(models.load(file), few.train.images)
    answers = fit.predict(model, few.train.images)
    return Adapted(model, history, model.get_weights(), answers, before, layers.flags(net.backbone), loaded)


def test_it_learns_sixteen_pictures(adapted: Adapted, few: TrainData) -> None:
    assert (adapted.answers.argmax(axis=1) == few.train.labels).mean() >= 0.9
    assert {"step", "val_accuracy", "val_loss"} <= set(adapted.history[-1])


def test_what_it_promises_to_freeze_does_not_move_and_the_rest_does(method: Plugin, adapted: Adapted, net: Net) -> None:
    kept = _kept(_chosen(method, adapted), net)
    for variable, before, after in zip(net.backbone.weights, net.start, adapted.weights, strict=False):
        same = np.array_equal(before, after)  # batch statistics are among the weights
        assert same == (id(variable) in kept), variable.path


def _chosen(method: Plugin, adapted: Adapted) -> Plugin:
    """The method itself, or the one that it picked by cross-validation, as its history tells."""
    scores = {name[3:]: score for name, score in adapted.history[-1].items() if name.startswith("cv_")}
    return plugins.resolve("graft.methods", Choice(name=max(scores, key=scores.__getitem__)), "") if scores else method


def _kept(method: Plugin, net: Net) -> set[int]:
    if hasattr(method.module, "keeps"):
        return set(map(id, method.module.keeps(method.options, net.backbone)))
    return set(map(id, net.backbone.weights)) if method.module.FREEZES_BACKBONE else set()


def test_what_comes_back_is_an_ordinary_classifier_around_the_same_backbone(adapted: Adapted, net: Net) -> None:
    assert adapted.model.get_layer("backbone") is net.backbone
    assert adapted.model.get_layer("head").units == 4
    assert adapted.trainable_after == adapted.trainable_before
    np.testing.assert_array_equal(adapted.answers, adapted.loaded_answers)


class Killed(Exception):
    pass


def killed_once() -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= 8:
            raise Killed

    return progress


def test_killed_and_taken_up_again_it_ends_as_if_it_had_not_been(
    method: Plugin, adapted: Adapted, net: Net, few: TrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0.0)
    checkpointed = replace(few, checkpoint=Checkpoint(tmp_path / "one"))
    if adapted.history[-1]["step"] > 0:
        with pytest.raises(Killed):
            net.adapt(method, replace(checkpointed, progress=killed_once()))
        assert list(tmp_path.iterdir())
    model, history = net.adapt(method, checkpointed)
    assert history == adapted.history
    for ours, theirs in zip(adapted.weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_two_classes_will_do_one_with_a_single_picture_and_the_same_seed_gives_the_same_model(
    method: Plugin, plain: Net, few: TrainData
) -> None:
    rows = np.concatenate([np.flatnonzero(few.train.labels == 0), np.flatnonzero(few.train.labels == 1)[:1]])
    both = few.validation.take(np.flatnonzero(few.validation.labels < 2))
    two = replace(few, train=few.train.take(rows), validation=both, n_classes=2)
    weights = []
    for _ in range(2):
        model, history = plain.adapt(method, two, replace(BUDGET, steps=8))
        assert model.output_shape == (None, 2) and np.isfinite(history[-1]["val_loss"])
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
