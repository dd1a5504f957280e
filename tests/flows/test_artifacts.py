"""What a run shows: pictures that stand alone, kept where the platform serves them; what cannot be is a warning."""

import json
import xml.etree.ElementTree as xml
from typing import Any

from graft.core import drawing, figures
from tasks.adapters import files
from tasks.workspace import Workspace
from tests.conftest import Place
from tests.flows.server import Server

PROGRAM = """
from pathlib import Path
from prefect import flow
from flows import artifacts
from tasks.stage import keep_to_itself
from tasks.workspace import Workspace
@flow
def show():
    place = Workspace(Path.cwd())
    keep_to_itself(place)
    for stage in ("ingest", "pretrain", "finetune", "evaluate", "export"):
        artifacts.of_stage(stage, place)
    return artifacts.report_address(place)
print(show())
"""


def test_pictures_are_kept_for_the_platform_and_what_is_damaged_is_a_warning(copied: Place) -> None:
    url = copied.environment["PREFECT_API_URL"]
    place, server = Workspace(copied.root), Server(url)
    for name, said in {"prefect": {"address": url}, "pages": {"address": "http://127.0.0.1:1"}}.items():
        place.private.joinpath(name).mkdir(exist_ok=True)
        files.write_json(place.private / name / "server.json", said)
    place.pages.joinpath("key").write_text("secret")

    shown, address = _show(copied, server)
    tables, pictures = {"pictures", "metrics", "files"}, {"pretrain-curves", "finetune-curves", "confusion"}
    assert shown["keys"] == tables | pictures and shown["warnings"] == []
    (folder,) = place.pages.joinpath("kept").iterdir()
    assert address == f"http://127.0.0.1:1/{folder.name}/report.html"
    assert {path.name for path in folder.iterdir()} == {f"{name}.svg" for name in pictures} | {"report.html"}
    for path in folder.glob("*.svg"):
        assert xml.fromstring(path.read_bytes()).attrib["width"].isdigit() and "var(--" in path.read_text()

    place.curve("finetune").write_text("arm,seed\ntransfer,0\n")
    place.evaluation.write_text("{")
    (place.pages / "kept").rename(place.pages / "before")
    (place.pages / "kept").write_text("no folder")
    shown, address = _show(copied, server)
    assert shown["keys"] == {"pictures", "files"} and address == place.report.as_uri()
    told = "\n".join(shown["warnings"])
    for what in ("pretrain: not all", "finetune: not all", "evaluate: not all", "the report is not kept as a page"):
        assert told.count(what) == 1, told


def test_a_name_that_looks_like_markup_is_a_name_in_the_picture() -> None:
    rows: list[dict[str, Any]] = [{"arm": "<b>&\x00$x$", "step": step, "val_accuracy": 0.5} for step in (1, 2)]
    drawn = figures.curves(rows, "val_accuracy", "accuracy")
    assert drawn is not None
    texts = [one.text for one in xml.fromstring(drawing.alone(drawn)).iter("{http://www.w3.org/2000/svg}text")]
    assert "<b>&\\x00$x$" in texts


def _show(copied: Place, server: Server) -> tuple[dict[str, Any], str]:
    """Keys of what a run showed and its warnings; and the report's address."""
    done = copied.run("python", "-c", PROGRAM)
    assert done.returncode == 0, done.stdout + done.stderr
    run = server.last_run()
    assert run["state_type"] == "COMPLETED"
    found = server.post("artifacts/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    logs = server.post("logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}, "level": {"ge_": 30}}})
    shown = {"keys": {one["key"] for one in found}, "warnings": [one["message"] for one in logs]}
    assert json.dumps(shown["warnings"]).count("Traceback") == 0
    return shown, done.stdout.strip().splitlines()[-1]
