"""A run is found by the name of a release, of a revision or of a folder, and refused in one line when there is none."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graft.core.errors import BadInput
from graft.core.side_by_side import Run
from graft.hub import cache
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from tasks import side_by_side
from tasks.workspace import Workspace
from tests.hub import little_release

GAIN = {"points": 3.0, "ci95": [1.0, 5.0]}


def finished(root: Path, steps: int = 400) -> Workspace:
    """As much of a finished workspace as tells its results."""
    (root / "reports").mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(f"data: {{target: {{name: plants}}}}\nfinetune: {{steps: {steps}}}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "dvc.lock").write_text("stages: {ingest: {outs: [{path: data/target, md5: abc.dir}]}}\n")
    (root / "requirements.lock").write_text(
        "numpy==2.4.6 \\\n    --hash=sha256:00\ncoverage[toml]==7.1 ; python_version > '3'\n"
    )
    (root / "reports/evaluation.json").write_text(json.dumps({"gain": {"seen": GAIN}}))
    (root / "reports/export.json").write_text(json.dumps({"files": {"model.tflite": {"bytes": steps}}}))
    (root / "reports/validation.json").write_text(json.dumps({"kept": {"target": 40}}))
    return Workspace(root)


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    """Steps 400 at the tag `first`, 500 at hand."""
    place = finished(tmp_path / "here")
    for command in (("init", "-q"), ("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=place.root, check=True)
    subprocess.run(["git", "tag", "first"], cwd=place.root, check=True)
    return finished(place.root, steps=500)


@pytest.fixture
def bucket(credentials: None, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAFT_USER", "ann")
    yield from little_release.opened(f"s-{uuid.uuid4().hex[:12]}", monkeypatch, s3.endpoint)


def find(named: str, here: Workspace | None = None) -> Run:
    return side_by_side.find(named, here, lambda done, total: None)


@pytest.mark.parametrize(("named", "steps"), [("first", 400), ("HEAD~0", 400), ("HEAD@{0}", 400), ("folder", 500)])
def test_a_revision_is_read_as_it_was_and_a_folder_as_it_is(here: Workspace, named: str, steps: int) -> None:
    found = find(str(here.root) if named == "folder" else named, here)
    assert found.settings["finetune"] == {"steps": steps}
    assert found.export == {"files": {"model.tflite": {"bytes": steps}}}
    assert found.evaluation == {"gain": {"seen": GAIN}}
    assert found.data["target"] == {"name": "plants", "pictures": 40, "md5": "abc.dir"}
    assert found.versions == {"numpy": "2.4.6", "coverage[toml]": "7.1"}


def test_a_release_tells_what_its_receipt_holds(bucket: Bucket, tmp_path: Path) -> None:
    little_release.published(bucket, tmp_path, 1, accuracy=0.6)
    found = find("plants@v1")
    assert found.export == {"files": {"model.tflite": {"accuracy": 0.6}}}
    assert found.settings == {"seed": 1}
    assert found.data["target"]["md5"] == "0" * 32
    assert found.origin.startswith("plants@v1, published ") and "by ann" in found.origin
    copied = cache.copy(cache.pull(reference("plants@candidate")), tmp_path / "copied")
    assert find(str(copied)).evaluation == found.evaluation


def test_an_altered_release_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    little_release.published(bucket, tmp_path, 1)
    copied = cache.copy(cache.pull(reference("plants@v1")), tmp_path / "copied")
    (copied / "model.tflite").write_bytes(b"other")
    with pytest.raises(BadInput, match="model.tflite is missing or altered"):
        find(str(copied))


@pytest.mark.parametrize("named", ["nowhere", "--output=x", "first:params.yaml", "", "a\x00b", "\x1b[31m", "x" * 5000])
def test_an_unknown_run_is_refused_in_one_line(here: Workspace, named: str) -> None:
    with pytest.raises(BadInput, match="is no run: ") as caught:
        find(named, here)
    assert str(caught.value).isprintable()


def test_outside_a_workspace_a_revision_is_refused() -> None:
    with pytest.raises(BadInput, match="inside a graft checkout alone"):
        find("first")


def test_an_unfinished_run_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    place = finished(tmp_path / "one")
    place.export_report.write_text("{")
    with pytest.raises(BadInput, match="reports/export.json of .*one is damaged"):
        find(str(place.root))
    place.evaluation.unlink()
    with pytest.raises(BadInput, match="one is not finished: reports/evaluation.json is missing"):
        find(str(place.root))


def test_the_page_is_written_whole(here: Workspace, tmp_path: Path) -> None:
    side_by_side.write(find("first", here), find(str(here.root), here), tmp_path / "new" / "page.html")
    text = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "finetune.steps" in text and "not paired" in text
