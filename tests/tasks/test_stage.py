"""A stage's command: one line for what is wrong, the exit code that says who can mend it, a record when done."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORK = """
import sys
from graft.core.errors import EnvironmentProblem, GateRefused
from tasks import stage

def work(workspace, settings, choices):
    raise {error}

stage.main("validate", work)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRAFT_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace whose domains are drawn, four pictures a class."""
    text = (ROOT / "params.yaml").read_text().replace("{name: glyphs}", "{name: shapes, images_per_class: 4}")
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "dvc.yaml").touch()
    return tmp_path


@pytest.mark.parametrize("stage", ["ingest", "export"])
def test_outside_a_workspace_a_stage_says_so_in_one_line(tmp_path: Path, stage: str) -> None:
    done = run(tmp_path, "-m", f"tasks.{stage}")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"{stage}: no params.yaml with dvc.yaml in ") and done.stderr.count("\n") == 1


def test_a_wrong_choice_is_refused_before_any_work(folder: Path) -> None:
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("{name: full}", "{name: ful}"))
    done = run(folder, "-m", "tasks.ingest")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("ingest: finetune.method.name is 'ful'; methods here: ")
    assert not (folder / "data").exists()


def test_a_stage_that_ends_well_records_its_seconds_and_memory(folder: Path) -> None:
    done = run(folder, "-m", "tasks.ingest")
    assert done.returncode == 0 and done.stderr == ""
    record = json.loads((folder / ".graft/stages/ingest.json").read_text())
    assert record["stage"] == "ingest" and 0 <= record["seconds"] < 60 and record["peak_memory_mb"] > 0
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["manifest.parquet", "source", "target"]


def test_a_stage_whose_input_is_missing_names_it_without_a_traceback(folder: Path) -> None:
    done = run(folder, "-m", "tasks.export")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("export: finetune.json is missing from ")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        ("EnvironmentProblem('store away')", 3, "validate: store away"),
        ("GateRefused('two\\nlines \\x1b[31m')", 1, "validate: two\\nlines \\x1b[31m"),
        ("OSError(28, 'No space left on device')", 3, "validate: the disk of "),
        ("PermissionError(13, 'Permission denied', 'reports')", 3, "validate: reports cannot be written: Permission"),
        ("MemoryError()", 3, "validate: out of memory; a smaller batch_size"),
    ],
)
def test_what_stops_a_stage_becomes_a_line_and_a_code(folder: Path, error: str, code: int, told: str) -> None:
    done = run(folder, "-c", WORK.format(error=error))
    assert done.returncode == code
    assert done.stderr.startswith(told) and done.stderr.count("\n") == 1
    assert not (folder / ".graft" / "stages").exists()


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="no oneDNN in TensorFlow here")
@pytest.mark.parametrize(("said", "fast"), [(None, "True"), ("0", "False")])
def test_a_stage_computes_by_onednn_unless_the_environment_says_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, fast: str
) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if said is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", said)
    script = """
from tasks import stage

def work(workspace, settings, choices):
    from tensorflow.python.util import _pywrap_util_port

    print(_pywrap_util_port.IsMklEnabled())

stage.main("validate", work)
"""
    done = run(folder, "-c", script)
    assert done.returncode == 0 and done.stdout.split() == [fast]


def test_a_flow_that_listens_is_told_the_error_as_an_event(folder: Path) -> None:
    from tasks.adapters import console

    script = f"import os; os.environ['{console.EVENTS}'] = '1'" + WORK.format(error="GateRefused('no')")
    (event,) = [console.parse(line) for line in run(folder, "-c", script).stdout.splitlines()]
    assert event == {"event": "error", "stage": "validate", "message": "no", "exit_code": 1}


def test_ordinary_output_is_no_event() -> None:
    from tasks.adapters import console

    for line in ("", "hello", f"{console.MARK}not json", f"{console.MARK}[1]"):
        assert console.parse(line) is None
