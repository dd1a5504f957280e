"""pretrain and finetune with settings that the default leaves alone, on the little workspace."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from graft.core import settings as settings_file
from graft.core.errors import BadInput
from tasks.adapters import files, models
from tasks.choices import Choices
from tasks.workspace import ARMS, Workspace
from tests.conftest import Place

ROOT = Path(__file__).parents[2]


def stage(place: Place, name: str) -> subprocess.CompletedProcess[str]:
    return place.run("python", "-m", f"tasks.{name}")


def test_rates_are_tried_on_folds_and_what_the_lasso_silenced_is_cut_out(copied: Place) -> None:
    workspace = Workspace(copied.root)
    before = models.load(workspace.classifier("article", 0)).count_params()
    copied.set(
        "pretrain.backbone=article",
        "pretrain.objective=autoencoder",
        "pretrain.unlabelled=target",
        "pretrain.epochs=1",
        "pretrain.learning_rates=[0.001, 0.003]",
        "pretrain.folds=2",
        "finetune.method={name: full, start: random}",
        "finetune.training={augment: none, group_lasso: 5.0}",
        "finetune.views=1",
        "evaluate.seeds=1",
    )
    for name in ("pretrain", "finetune"):
        done = stage(copied, name)
        assert done.returncode == 0, done.stderr
    report = files.read_json(workspace.pretrain_report)
    assert all(one["learning_rate"] in one["learning_rates_tried"] for one in report.values()) and len(report) == 1
    costs = {stage: files.read_json(workspace.cost(stage)) for stage in ("pretrain", "finetune")}
    assert {name: one["trainings"] for name, one in costs["pretrain"].items()} == {"article": 5}
    tried = len(files.read_json(workspace.finetune_report)["transfer"]["learning_rates_tried"])
    assert {arm: one["trainings"] for arm, one in costs["finetune"].items()} == dict.fromkeys(ARMS, tried)
    every = [one for told in costs.values() for one in told.values()]
    assert all(one["seconds"] > 0 and one["cpu_seconds"] > 0 and one["peak_memory_mb"] > 100 for one in every)
    after = models.load(workspace.classifier("transfer", 0))
    assert after.get_layer("views") and after.count_params() < before
    assert list(workspace.trainings.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pretrain.unlabelled": "target"}, "pretrain.unlabelled is target and objective supervised learns nothing"),
        ({"pretrain.objective": "none", "pretrain.learning_rates": "[0.1]"}, "objective none has no learning rate"),
        ({"train.accumulate": "3"}, "train.accumulate is 3, and pretrain.batch_size is 64"),
        ({"train.strategy": "mirrored", "pretrain.objective": "supcon"}, "train.strategy is mirrored and objective"),
        ({"train.precision": "float16", "pretrain.objective": "simclr"}, "float32; auto or float32 would do"),
        ({"train.strategy": "horovod"}, "train.strategy is 'horovod'; it should be 'auto', 'single', 'mirrored'"),
        ({"finetune.views": "6"}, "finetune.views is 6; 0 to 5 would do"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_a_line(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    params = tmp_path / "params.yaml"
    params.write_text((ROOT / "params.yaml").read_text())
    before = params.read_text()
    with pytest.raises(BadInput, match=said) as caught:
        settings_file.set_values(params, [f"{name}={value}" for name, value in changes.items()], Choices.of)
    assert "\n" not in str(caught.value) and params.read_text() == before
