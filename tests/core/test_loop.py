"""A training that is killed goes on and ends where it would have ended; averages, patience and phases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones import convnet
from graft.core import fit, loop, vary
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.fit import TrainData
from graft.core.recipe import Recipe
from graft.core.resume import Checkpoint, unpacked
from graft.core.spec import Spec

BUDGET = Budget(steps=12, batch_size=5, learning_rate=3e-3, evaluations=3, seed=1, recipe=Recipe(ema=0.5, mixup=0.2))


@pytest.fixture(scope="module")
def data() -> TrainData:
    generator = np.random.default_rng(0)
    split = Split(generator.integers(0, 255, (24, 32, 32, 3), dtype=np.uint8), np.arange(24) % 3)
    return TrainData(split, split.take(np.arange(9)), 3, vary.standard)


@pytest.fixture(scope="module")
def backbone() -> Any:
    return convnet.build(convnet.Options(width=4), Spec(32), 0)


def trained(backbone: Any, data: TrainData, budget: Budget = BUDGET) -> tuple[loop.History, list[Any]]:
    backbone.set_weights(convnet.build(convnet.Options(width=4), Spec(32), 0).get_weights())
    model = fit.classifier(backbone, 3, 0)
    history = fit.train(model, data, budget)
    return history, model.get_weights()


class Killed(Exception):
    pass


def killed_at(step: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


@pytest.mark.parametrize("step", [4, 8])
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(
    backbone: Any, data: TrainData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    history, weights = trained(backbone, data)
    monkeypatch.setattr(loop, "SAVED_EVERY_S", 0.0)  # after each step
    with pytest.raises(Killed):
        trained(backbone, replace(data, checkpoint=Checkpoint(tmp_path / "one"), progress=killed_at(step)))
    told: list[int] = []
    resumed = replace(data, checkpoint=Checkpoint(tmp_path / "one"), progress=lambda done, total: told.append(done))
    assert trained(backbone, resumed)[0] == history
    assert told[0] == step - 1  # the step's own state was not written yet
    for ours, theirs in zip(weights, trained(backbone, resumed)[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    told.clear()
    assert trained(backbone, resumed)[0] == history and told == [12]  # one that had ended is not run again


@pytest.mark.parametrize("left", [b"", b"no archive", None])
def test_half_a_checkpoint_or_another_nets_is_none(
    backbone: Any, data: TrainData, tmp_path: Path, left: bytes | None
) -> None:
    checkpoint = Checkpoint(tmp_path / "one")
    history, weights = trained(backbone, replace(data, checkpoint=checkpoint))
    file = tmp_path / "one.train"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    if left is None:
        checkpoint.phase("train").save({"step": 3}, {"state": [np.zeros(3)]})
    else:
        file.write_bytes(left or file.read_bytes()[: file.stat().st_size // 2])
    again = trained(backbone, replace(data, checkpoint=checkpoint))
    assert again[0] == history
    for ours, theirs in zip(weights, again[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_average_is_what_is_evaluated_and_kept(backbone: Any, data: TrainData) -> None:
    slow = replace(BUDGET, recipe=Recipe(ema=0.999))
    _, weights = trained(backbone, data, slow)
    _, fast = trained(backbone, data, replace(BUDGET, recipe=Recipe()))
    _, start = trained(backbone, data, replace(BUDGET, steps=1, evaluations=1, learning_rate=1e-9, recipe=Recipe()))

    def far(ours: list[Any]) -> float:
        return float(np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(ours[:3], start[:3], strict=True))))

    assert 0 < far(weights) < 0.1 * far(fast)


def test_patience_ends_a_training_that_does_not_get_better(backbone: Any, data: TrainData) -> None:
    still = replace(BUDGET, steps=40, evaluations=20, learning_rate=1e-9, recipe=Recipe(patience=3))
    history, _ = trained(backbone, data, still)
    assert len(history) < 10


def test_a_checkpoint_travels_as_bytes(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "one")
    assert checkpoint.raw() == b"" and unpacked(b"") is None
    checkpoint.save({"step": 3}, {"state": [np.arange(4)]})
    found = unpacked(checkpoint.raw())
    assert found and found[0] == {"step": 3}
    np.testing.assert_array_equal(found[1]["state"][0], np.arange(4))
    assert unpacked(checkpoint.raw()[:50]) is None
