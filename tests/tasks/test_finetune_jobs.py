"""Which trainings are to be done elsewhere: those that can be done now and have not been, each for its own place."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from graft.core import settings as settings_file
from tasks import curve, finetune_jobs
from tasks.jobs import Due
from tasks.training import Kept
from tasks.workspace import Workspace
from tests.conftest import Place


@pytest.fixture
def asked(copied: Place) -> tuple[Workspace, Any]:
    copied.set("finetune.smaller=[quantized]", "curve.enabled=true", "curve.labels=[2, 9]", "curve.seeds=1")
    return Workspace(copied.root), settings_file.load(copied.root / "params.yaml")


def name_of(folder: Path) -> str:
    return folder.name


def end(one: Due, accuracy: float | None) -> None:
    """What a job leaves; None: it diverged."""
    one.into.mkdir(parents=True, exist_ok=True)
    name = one.last.removesuffix(".cost")
    (one.into / one.last).write_text("{}")
    if accuracy is not None:
        (one.into / f"{name}.keras").write_bytes(b"weights")
        told = {
            "sha256": hashlib.sha256(b"weights").hexdigest(),
            "facts": [{"val_accuracy": accuracy, "val_loss": 1.0}],
        }
        (one.into / f"{name}.json").write_text(json.dumps(told))


@pytest.mark.parametrize("diverged", [False, True])
def test_rates_come_first_then_the_other_seeds_then_the_variants_of_what_ships(
    asked: tuple[Workspace, Any], diverged: bool
) -> None:
    workspace, settings = asked
    kept = finetune_jobs.kept_of(workspace, settings)

    def due() -> list[Due]:
        return list(finetune_jobs.due(workspace, settings, kept, name_of))

    first = due()
    assert [one.last for one in first] == [f"{arm}-0-0.003.cost" for arm in ("transfer", "scratch", "article")]
    assert all(one.into == kept.folder and one.job.work == "training" for one in first)
    for one in first:
        end(one, 0.5)
    second = due()
    assert [one.last for one in second] == [f"{arm}-1-0.003.cost" for arm in ("transfer", "scratch", "article")]
    for one in second:
        end(one, None if diverged else 0.6)
    variants = due()
    assert [one.last for one in variants] == ([] if diverged else ["transfer-1-0.003-quantized.cost"])
    for one in variants:
        end(one, None)
    assert due() == []


def test_the_curve_s_trainings_go_to_their_budget_s_folder(asked: tuple[Workspace, Any]) -> None:
    workspace, settings = asked
    kept = curve.kept_of(workspace, settings)

    def due() -> list[Due]:
        return list(finetune_jobs.curve_due(workspace, settings, kept, name_of))

    first = due()
    assert [one.into for one in first] == [kept.folder / str(labels) for labels in (2, 5, 9) for _ in range(3)]
    assert [one.job.said["settings"]["finetune"]["labels_per_class"] for one in first] == [2] * 3 + [5] * 3 + [9] * 3
    assert len({one.job.key for one in first}) == 9
    end(first[0], 0.5)
    first[1].into.joinpath("scratch-0-0.003.hits.json").write_text("{}")  # by the stage, which a kill ended
    assert [one.job.key for one in due()] == [one.job.key for one in first[2:]]


def test_budgets_that_no_class_has_the_pictures_for_are_left_to_the_stage(asked: tuple[Workspace, Any]) -> None:
    workspace, settings = asked
    other = settings.model_copy(update={"curve": settings.curve.model_copy(update={"labels": (500, 600)})})
    assert list(finetune_jobs.curve_due(workspace, other, Kept(workspace.private / "kept"), name_of)) == []
