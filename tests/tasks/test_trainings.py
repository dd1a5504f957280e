"""pretrain and finetune with settings that the default leaves alone, on the little workspace."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import settings as settings_file
from graft.core.errors import BadInput
from tasks import training
from tasks.adapters import files, models
from tasks.choices import Choices
from tasks.workspace import ARMS, Workspace
from tests.conftest import Place, wait_until

ROOT = Path(__file__).parents[2]


def stage(place: Place, name: str) -> subprocess.CompletedProcess[str]:
    return place.run("python", "-m", f"tasks.{name}")


@pytest.mark.sweep
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
        "finetune.smaller=[{name: pruned, share: 0.5}, quantized]",
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
    variants = {"transfer, pruned": 1, "transfer, quantized": 1}
    told = {arm: one["trainings"] for arm, one in costs["finetune"].items()}
    assert told == dict.fromkeys(ARMS, tried) | variants
    every = [one for told in costs.values() for one in told.values()]
    assert all(one["seconds"] > 0 and one["cpu_seconds"] > 0 and one["peak_memory_mb"] > 100 for one in every)
    after = models.load(workspace.classifier("transfer", 0))
    assert after.get_layer("views") and after.count_params() < before
    pruned, quantized = (models.load(workspace.variant(name)) for name in ("pruned", "quantized"))
    assert pruned.get_layer("views") and quantized.get_layer("views")
    assert len({one.get_weights()[-1].tobytes() for one in (after, pruned, quantized)}) == 3
    assert set(files.read_json(workspace.finetune_report)["transfer"]["variants"]) == {"pruned", "quantized"}
    assert list(workspace.trainings.iterdir()) == []


@pytest.mark.sweep
def test_a_kill_while_a_variant_is_trained_costs_no_other_training(copied: Place) -> None:
    workspace = Workspace(copied.root)
    copied.set("finetune.smaller=[{name: pruned, share: 0.5}]", "finetune.steps=200")
    before = {path.name: path.read_bytes() for path in workspace.finetuned.iterdir()}
    running = subprocess.Popen([sys.executable, "-m", "tasks.finetune"], cwd=copied.root, env=copied.environment)
    wait_until(lambda: [*workspace.trainings.glob("*/transfer-*-pruned.state*")], 120, "a variant at work")
    running.kill()
    running.wait()
    assert {path.name: path.read_bytes() for path in workspace.finetuned.iterdir()} == before
    [folder] = workspace.trainings.iterdir()
    trained = {path: path.stat().st_mtime_ns for path in folder.glob("*.keras")}
    assert len(trained) == 6
    again = subprocess.Popen([sys.executable, "-m", "tasks.finetune"], cwd=copied.root, env=copied.environment)
    wait_until(lambda: [*folder.glob("transfer-*-pruned.keras")] or again.poll() is not None, 120, "its end")
    assert {path: path.stat().st_mtime_ns for path in trained if path.exists()} in (trained, {})
    assert again.wait(60) == 0
    seed = training.shipped_seed(files.read_json(workspace.finetune_report)["transfer"]["validation_accuracy"])
    whole, smaller = (
        models.load(path) for path in (workspace.classifier("transfer", seed), workspace.variant("pruned"))
    )
    assert smaller.count_params() < 0.8 * whole.count_params()
    resumed = smaller.get_weights()
    assert stage(copied, "finetune").returncode == 0
    for ours, theirs in zip(resumed, models.load(workspace.variant("pruned")).get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


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
