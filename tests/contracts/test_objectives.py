"""What every objective promises."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, loop, parallel, plugins
from graft.core.budget import Budget
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.loop import History
from graft.core.parallel import Way
from graft.core.plugins import Plugin
from graft.core.recipe import Recipe
from graft.core.resume import Checkpoint
from graft.core.sections import Choice
from graft.core.spec import Spec
from tests.core import ways

BUDGET = Budget(steps=24, batch_size=16, learning_rate=1e-3, evaluations=4, seed=1, recipe=Recipe(weight_decay=0.0))

Pretrain = Callable[..., tuple[Any, History]]
Outcome = tuple[History, list[Any], list[Any]]


@pytest.fixture(params=plugins.names("graft.objectives"), scope="module")
def objective(request: pytest.FixtureRequest) -> Plugin:
    return plugins.resolve("graft.objectives", Choice(name=request.param), "objective")


@pytest.fixture(scope="module")
def two(data: TrainData) -> TrainData:
    """Two classes: the least that can be told apart."""
    train, validation = (split.take(np.flatnonzero(split.labels < 2)) for split in (data.train, data.validation))
    return replace(data, train=train, validation=validation, n_classes=2)


@pytest.fixture(scope="module")
def starts(spec: Spec) -> dict[int, Any]:
    return {seed: convnet.build(convnet.Options(width=4), spec, seed).get_weights() for seed in (1, 2)}


@pytest.fixture(scope="module")
def pretrain(objective: Plugin, spec: Spec, starts: dict[int, Any]) -> Pretrain:
    """From the seed's weights, in one net that is traced once: the source classifier and the history."""
    net = convnet.build(convnet.Options(width=4), spec, 0)

    def run(data: TrainData, seed: int = 1, **changes: Any) -> tuple[Any, History]:
        net.set_weights(starts[seed])
        model, history = objective.module.pretrain(objective.options, net, data, replace(BUDGET, seed=seed, **changes))
        assert model.get_layer("backbone") is net
        return model, history

    return run


@pytest.fixture(scope="module")
def pretrained(pretrain: Pretrain, two: TrainData) -> Outcome:
    """History, the classifier's weights, what it answers on training pictures."""
    model, history = pretrain(two)
    return history, model.get_weights(), fit.predict(model, two.train.images)


def test_the_loss_falls_and_every_weight_learns_or_nothing_is_trained_and_none_moves(
    pretrained: Outcome, starts: dict[int, Any]
) -> None:
    history, weights, _ = pretrained
    moved = [not np.array_equal(a, b) for a, b in zip(starts[1], weights[:-2], strict=True)]
    assert all({"step", "val_loss", "val_accuracy"} <= set(row) for row in history)
    if history[-1]["step"] == 0:
        assert not any(moved)
    else:
        assert history[-1]["step"] == BUDGET.steps
        assert history[-1]["loss"] < history[0]["loss"]
        assert all(moved)


def test_it_gives_a_classifier_of_the_source_that_beats_chance(pretrained: Outcome, two: TrainData) -> None:
    answers = pretrained[2]
    assert answers.shape == (len(two.train), two.n_classes) and np.all(np.isfinite(answers))
    assert np.mean(answers.argmax(axis=1) == two.train.labels) > 1.5 / two.n_classes


def test_the_seed_decides_the_weights(pretrain: Pretrain, pretrained: Outcome, two: TrainData) -> None:
    model, history = pretrain(two)
    assert history == pretrained[0]
    for ours, theirs in zip(pretrained[1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other, _ = pretrain(two, seed=2, steps=4, evaluations=1)
    assert any(not np.array_equal(a, b) for a, b in zip(pretrained[1], other.get_weights(), strict=True))


class Killed(Exception):
    pass


def test_a_pretraining_that_was_killed_ends_as_if_it_had_not_been(
    pretrain: Pretrain, pretrained: Outcome, two: TrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(done: int, total: int) -> None:
        if done == 12:
            raise Killed

    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0.0)  # after each step
    kept = replace(two, checkpoint=Checkpoint(tmp_path / "one"))
    if pretrained[0][-1]["step"]:
        with pytest.raises(Killed):
            pretrain(replace(kept, progress=killed))
    told: list[int] = []
    model, history = pretrain(replace(kept, progress=lambda done, total: told.append(done)))
    assert history == pretrained[0]
    assert told[:1] in ([], [11])  # the step's own state was not written yet
    for ours, theirs in zip(pretrained[1], model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_two_pictures_of_a_class_will_do(pretrain: Pretrain, two: TrainData) -> None:
    rows = np.flatnonzero((two.train.labels == 0) | (np.arange(len(two.train)) < 4))
    few = replace(two, train=two.train.take(rows))
    assert np.count_nonzero(few.train.labels == 1) == 2
    model, history = pretrain(few, steps=2, evaluations=1)
    assert fit.predict(model, few.validation.images).shape == (len(few.validation), 2)
    assert np.all(np.isfinite([*history[-1].values()]))


def test_what_learns_by_rows_learns_the_same_in_parts_and_the_rest_refuses_to_be_cut(objective: Plugin) -> None:
    def run(way: Way) -> list[Any]:
        budget = replace(BUDGET, steps=4, batch_size=8, evaluations=1)
        with parallel.use(way):
            model, _ = objective.module.pretrain(objective.options, ways.net("plain"), ways.data(), budget)
        return list(model.get_layer("backbone").get_weights())

    if getattr(objective.module, "BY_ROWS", False):
        for whole, parts in zip(run(Way()), run(Way(accumulate=4)), strict=True):
            np.testing.assert_allclose(whole, parts, rtol=1e-3, atol=1e-4)
    elif objective.name != "none":  # which learns nothing
        with pytest.raises(BadInput, match="compares the pictures of a batch"):
            run(Way(accumulate=4))
