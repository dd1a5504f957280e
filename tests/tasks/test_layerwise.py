"""How far each layer carries over: from validation rows alone, frozen blocks that stay, and off unless asked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import layers, nets, settings
from graft.core.errors import BadInput
from tasks import layerwise
from tasks.adapters import models
from tasks.choices import Choices
from tasks.workspace import HELD_OUT, ROLES, Workspace
from tests.conftest import Finished

CHANGES = ("pretrain.backbone=article", "evaluate.layers=1", "finetune.steps=8", "finetune.evaluations=2")


@pytest.fixture
def place(finished: Finished, tmp_path: Path) -> Workspace:
    """The finished workspace without its test rows."""
    whole, bare = Workspace(finished[0].root), Workspace(tmp_path)
    shutil.copy(whole.params, bare.params)
    shutil.copytree(whole.pretrained, bare.pretrained)
    for split in ("train", "validation"):
        shutil.copytree(whole.packed("target", split), bare.packed("target", split))
    shutil.copy(whole.classes, bare.classes)
    bare.finetune_report.parent.mkdir()
    shutil.copy(whole.finetune_report, bare.finetune_report)
    assert all(not bare.held_out(role, split).exists() for role in ROLES for split in HELD_OUT)
    return bare


def chosen(place: Workspace, *changes: str) -> tuple[settings.Settings, Choices]:
    settings.set_values(place.params, list(changes), Choices.of)
    loaded = settings.load(place.params)
    return loaded, Choices.of(loaded)


def bench(place: Workspace, *changes: str) -> layerwise.Bench:
    loaded, choices = chosen(place, *changes)
    learned = models.load(place.pretrained / f"{choices.backbone.name}.keras").get_layer("backbone")
    return layerwise.Bench(place, loaded, choices, learned, 0.003)


def weights(net: Any, block: int) -> list[np.ndarray]:
    return [weight for layer in layers.blocks(net)[block] for weight in layer.get_weights()]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_every_number_of_blocks_is_measured_both_ways_and_the_report_can_draw_it(place: Workspace) -> None:
    found = layerwise.measure(place, *chosen(place, *CHANGES))
    assert found and len(found["blocks"]) == 3 and found["seeds"] == [0]
    for kind in layerwise.KINDS:
        assert len(found[kind]) == 4 and all(len(some) == 1 and 0 <= some[0] <= 1 for some in found[kind])
    assert found["frozen"][0] == found["learning"][0]
    assert json.loads(json.dumps(found)) == found


def test_it_is_off_unless_asked_for(place: Workspace) -> None:
    shutil.rmtree(place.features)
    assert layerwise.measure(place, *chosen(place)) is None


def test_no_more_seeds_can_measure_it_than_there_are(place: Workspace) -> None:
    with pytest.raises(BadInput, match="evaluate"):
        chosen(place, "evaluate.layers=3")


@pytest.mark.parametrize("taken", [0, 2, 4])
def test_taken_blocks_start_as_the_source_left_them_and_the_rest_anew(place: Workspace, taken: int) -> None:
    one = bench(place)
    spec = one.choices.modality.module.spec(one.choices.modality.options)
    fresh = nets.from_nothing(one.choices.backbone, spec, 1000)
    net, kept = layerwise.started(one.choices, one.learned, taken, 0)
    assert len(layers.blocks(net)) == 4
    for block in range(4):
        assert same(weights(net, block), weights(one.learned if block < taken else fresh, block))
        assert same(weights(net, block), weights(fresh if block < taken else one.learned, block)) is False
    assert {id(layer) for layer in kept} == {id(layer) for some in layers.blocks(net)[:taken] for layer in some}


def test_frozen_blocks_do_not_move_and_learning_ones_do(place: Workspace) -> None:
    one = bench(place, *CHANGES)
    for frozen in (True, False):
        net = layerwise.trained(one, 2, frozen, 0).get_layer("backbone")
        assert [same(weights(net, block), weights(one.learned, block)) for block in range(3)] == [frozen, frozen, False]
        assert all(layer.trainable for layer in net.layers)
