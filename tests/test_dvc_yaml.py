"""dvc.yaml says what the code does, and lets no setting near a shell."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks.workspace import STAGES

ROOT = Path(__file__).parents[1]
STAGE_FILE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def test_the_stages_are_those_of_the_code_in_order() -> None:
    assert tuple(STAGE_FILE) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_is_the_stage_module_and_holds_no_setting(stage: str) -> None:
    assert STAGE_FILE[stage]["cmd"] == f"python -m tasks.{stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_every_code_dependency_exists(stage: str) -> None:
    code = [dep for dep in STAGE_FILE[stage]["deps"] if dep.startswith(("tasks/", "graft/")) and "${" not in dep]
    assert f"tasks/{stage}.py" in code
    assert [dep for dep in code if not (ROOT / dep).exists()] == []


@pytest.mark.parametrize(
    ("stage", "kind", "setting"),
    [
        ("ingest", "tasks/origins", "data.source.origin"),
        ("ingest", "tasks/origins", "data.target.origin"),
        ("extract", "graft/modalities", "data.modality"),
        ("pretrain", "graft/backbones", "pretrain.backbone"),
        ("pretrain", "graft/objectives", "pretrain.objective"),
        ("finetune", "graft/methods", "finetune.method"),
    ],
)
def test_a_stage_depends_on_the_chosen_plug_in_alone(stage: str, kind: str, setting: str) -> None:
    assert f"{kind}/${{{setting}.name}}.py" in STAGE_FILE[stage]["deps"]
    assert kind not in STAGE_FILE[stage]["deps"]
