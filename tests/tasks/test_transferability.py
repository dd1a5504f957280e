"""What the features say of the transfer: complete, from training rows alone, and told where it cannot be measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import outlook, plugins, settings
from tasks import transferability
from tasks.choices import Choices
from tasks.workspace import ROLES, Workspace
from tests.conftest import Finished


@pytest.fixture
def training_only(finished: Finished, tmp_path: Path) -> Workspace:
    """The finished workspace with training rows and the pretrained network, and nothing else."""
    whole, bare = Workspace(finished[0].root), Workspace(tmp_path)
    shutil.copy(whole.params, bare.params)
    shutil.copytree(whole.pretrained, bare.pretrained)
    for role in ROLES:
        shutil.copytree(whole.packed(role, "train"), bare.packed(role, "train"))
    return bare


def measured(place: Workspace, *changes: str) -> dict[str, Any]:
    settings.set_values(place.params, list(changes), Choices.of)
    chosen = settings.load(place.params)
    transferability.write(place, chosen, Choices.of(chosen))
    report: dict[str, Any] = json.loads(place.transferability.read_text())
    return report


def test_every_score_and_distance_is_measured_from_training_rows_alone(
    finished: Finished, training_only: Workspace
) -> None:
    whole = json.loads(Workspace(finished[0].root).transferability.read_text())
    again = measured(training_only)
    assert whole["rows"] == again["rows"] and whole["rows"]["labelled"] == 5 * 6
    for arm in ("transfer", "scratch"):
        for kind in ("scores", "distances"):
            assert list(again[arm][kind]) == plugins.names(f"graft.{kind}")
            assert list(again[arm][kind].values()) == pytest.approx(list(whole[arm][kind].values()), rel=0.02, abs=0.02)
        for directions in again[arm]["directions"].values():
            for role in ROLES:
                assert np.all(np.isfinite(directions[role]["separability"]))
                assert 0 < sum(directions[role]["explained_variance"])
        assert again[arm]["notes"] == []
    assert again["transfer"]["scores"] != again["scratch"]["scores"]


def test_one_label_per_class_leaves_the_scores_out_and_says_why(training_only: Workspace) -> None:
    report = measured(training_only, "finetune.labels_per_class=1")
    for arm in ("transfer", "scratch"):
        assert set(report[arm]["scores"].values()) == {None}
        assert None not in report[arm]["distances"].values()
        assert "class 0 has 1 row" in report[arm]["notes"][0]
    assert outlook.sentence(report).startswith("No score could be measured: class 0 has 1 row;")
    assert {row.transfer for row in outlook.rows(report, "scores")} == {"–"}


def test_of_all_labels_no_more_are_scored_than_figures_need(
    training_only: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transferability, "MOST_ROWS", 60)
    report = measured(training_only, "finetune.labels_per_class=all")
    assert report["rows"] == {"source": 60, "target": 60, "labelled": 60}
