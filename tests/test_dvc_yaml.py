"""dvc.yaml says what the code does, and lets no setting near a shell."""

import ast
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from graft.core import plugins
from tasks.workspace import STAGES

ROOT = Path(__file__).parents[1]
STAGE_FILE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
NO_FIGURE = {  # say where, when and how nicely; change one and every result stands
    "graft/core/cost.py",
    "graft/core/errors.py",
    "graft/core/drawing.py",
    "graft/core/export_figures.py",
    "graft/core/feature_figures.py",
    "graft/core/figures.py",
    "graft/core/page.py",
    "graft/core/plugins.py",
    "graft/core/report.py",
    "graft/core/sections.py",
    "graft/core/settings.py",
    "graft/hub/store.py",
    "tasks/adapters/board.py",
    "tasks/adapters/console.py",
    "tasks/adapters/files.py",
    "tasks/choices.py",
    "tasks/report.py",
    "tasks/stage.py",
    "tasks/streams.py",
    "tasks/workspace.py",
}


def imported(path: Path) -> set[Path]:
    """The project's own modules that the file at `path` imports anywhere."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    own = [ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith(("graft.", "tasks."))]
    return {file for file in own if file.exists()}


def reached(starts: set[Path]) -> set[str]:
    """Every module of the project that runs when `starts` do and may change a figure, relative to the root."""
    seen: set[str] = set()
    todo = list(starts)
    while todo:
        file = todo.pop()
        name = file.relative_to(ROOT).as_posix()
        if name not in seen | NO_FIGURE:
            seen.add(name)
            todo += imported(file)
    return seen


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


def test_fine_tuning_depends_on_every_method_that_makes_variants() -> None:
    named = [
        name for name in plugins.names("graft.methods") if hasattr(plugins.module("graft.methods", name), "SMALLER")
    ]
    assert named and {f"graft/methods/{name}.py" for name in named} <= set(STAGE_FILE["finetune"]["deps"])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_that_can_change_its_result(stage: str) -> None:
    deps = [re.sub(r"\$\{.*?\}", "*", dep) for dep in STAGE_FILE[stage]["deps"] if dep.startswith(("tasks/", "graft/"))]
    files = {file for dep in deps for file in ROOT.glob(dep)}
    folders = [file for file in files if file.is_dir()]
    starts = {file for file in files if file.suffix == ".py"} | {one for place in folders for one in place.glob("*.py")}
    named = {file.relative_to(ROOT).as_posix() for file in starts}
    assert reached(starts) - named == set()
