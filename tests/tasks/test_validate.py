"""The gate as a stage: sound data pass, bad ones are named a line per rule, and everything found can be looked at."""

import io
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from graft.core import settings as settings_file
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, DataRejected, UsageError
from graft.core.plugins import Plugin
from tasks import ingest, validate
from tasks.adapters import expectations, files
from tasks.choices import Choices
from tasks.gate import listing, profile, rules
from tasks.origins import shapes
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[2]


def drawn(role: str, seed: int = 1) -> list[Picture]:
    """Sound pictures of two classes."""
    asked = Request("any", seed, 32, Path(), role=role)
    every = list(shapes.fetch(shapes.Options(images_per_class=40), asked))
    labels = sorted({one.label for one in every})[:2]
    return [one for one in every if one.label in labels]


def origin(handed: list[Picture]) -> Plugin:
    def fetch(options: object, request: Request) -> Iterator[Picture]:
        yield from handed

    return Plugin("handmade", SimpleNamespace(fetch=fetch), None)


def gate(root: Path, source: list[Picture], target: list[Picture], *assignments: str) -> Workspace:
    """A workspace through whose gate these pictures went."""
    if not (root / "params.yaml").exists():
        shutil.copy(ROOT / "params.yaml", root)
    workspace = Workspace(root)
    settings_file.set_values(workspace.params, ["data.modality.size_px=32", *assignments], Choices.of)
    settings = settings_file.load(workspace.params)
    choices = replace(Choices.of(settings), source_origin=origin(source), target_origin=origin(target))
    ingest.ingest(workspace, settings, choices)
    validate.validate(workspace, settings, choices)
    return workspace


def found(workspace: Workspace) -> dict[str, list[rules.Breach]]:
    told: dict[str, list[rules.Breach]] = {}
    for one in rules.read(workspace.findings):
        told.setdefault(one.rule, []).append(one)
    return told


def resaved(picture: Picture, path: str, **changes: Any) -> Picture:
    """The same pixels in other bytes."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture.data)).save(buffer, "PNG", compress_level=1)
    return picture._replace(path=path, data=buffer.getvalue(), **changes)


def commit(root: Path) -> None:
    for command in (
        ("init", "-q"),
        ("add", "reports"),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)


def test_sound_data_pass_and_drift_is_told_from_what_was_committed(tmp_path: Path) -> None:
    source, target = drawn("source"), drawn("target")
    workspace = gate(tmp_path, source, target)
    verdict = files.read_json(workspace.validation)
    assert verdict["passed"] and verdict["stops"] == [] and verdict["rejected"] == 0
    assert verdict["rows"] == len(source) + len(target) == sum(verdict["kept"].values())
    assert verdict["drift"] == {} and rules.read(workspace.rejected) == []
    page = workspace.validation_page.read_text()
    assert "Passed." in page and "Nothing to compare with" in page and "://" not in page
    commit(tmp_path)

    again = gate(tmp_path, source, target)  # the data that were accepted
    assert {one["effect"] for told in files.read_json(again.validation)["drift"].values() for one in told.values()} == {
        0
    }

    def brighter(picture: Picture) -> Picture:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(picture.data)).point(lambda value: min(255, value + 70)).save(buffer, "PNG")
        return picture._replace(data=buffer.getvalue())

    changed = gate(tmp_path, source, [brighter(one) for one in target])
    drifted = {rule: one for rule, one in found(changed).items() if rule.startswith("drift_")}
    assert "drift_brightness" in drifted and "drift_classes" not in drifted
    assert [one.domain for one in drifted["drift_brightness"]] == ["target"]
    with pytest.raises(
        DataRejected, match="drift_brightness: target differs from the accepted data in brightness: mean"
    ):
        gate(tmp_path, source, [brighter(one) for one in target], "validate.rules.drift_brightness=stop")


def test_a_damaged_profile_is_named() -> None:
    names = {"source": "animals", "target": "plants"}
    with pytest.raises(BadInput, match="profile.csv of the accepted revision is damaged"):
        profile.accepted("domain,what,key,count\nplants,class,a,many\n", names)
    assert profile.accepted("domain,what,key,count\nbirds,class,a,3\n", names) == profile.accepted(None, names) == {}


def test_what_is_bad_is_left_out_or_stops_the_run_a_line_per_rule(tmp_path: Path) -> None:
    source, target = drawn("source"), drawn("target")
    label, other = sorted({one.label for one in target})
    twin = next(one for one in target if one.label == label)
    bad = [
        Picture(f"{label}/broken.png", label, twin.data[:-40]),
        Picture(f"{label}/also\nbroken.png", label, twin.data[:60]),
        Picture(f"{label}/a.gif", label, b"GIF89a" + bytes(40)),
        Picture(f"{label}/link.png", label, b"", problem="unsafe_file: is a symbolic link"),
        resaved(twin, f"{other}/twin.png", label=other),
    ]
    with pytest.raises(DataRejected) as stopped:
        gate(tmp_path, source, [*target, *bad])
    lines = str(stopped.value).split("\n")
    assert [line.partition(":")[0] for line in lines] == ["unsafe_file", "label_conflict", "unreadable"]
    assert f"unsafe_file: target picture {label}/link.png is a symbolic link" in lines
    assert "(and 1 more)" in lines[2] and all(line.isprintable() for line in lines)
    workspace = Workspace(tmp_path)
    assert [(one.path, one.rule) for one in rules.read(workspace.rejected)] == [(f"{label}/a.gif", "format")]
    assert files.read_json(workspace.validation)["stops"] == lines
    page = workspace.validation_page.read_text()
    assert "Stopped." in page and "3 rules are broken" in page and 'id="label_conflict"' in page

    again = [*target, *bad[:1], resaved(twin, f"{label}/again.png", split="train")]
    workspace = gate(tmp_path, source, again, "validate.rules.unreadable=reject")
    left_out = {one.path: one for one in rules.read(workspace.rejected)}
    assert len(left_out) == 2
    assert left_out[f"{label}/broken.png"].rule == "unreadable"
    assert "picture" in left_out[f"{label}/broken.png"].reason
    copy = next(one for one in left_out.values() if one.rule in ("exact_duplicate", "split_leak"))
    assert copy.partner.startswith(f"target/{label}/") and "has the pixels of target picture" in copy.reason
    assert files.read_json(workspace.validation)["passed"]

    console = Console(file=io.StringIO(), width=200)
    listing.show(workspace, "target", None, 10, console)
    listing.show(workspace, "target", "unreadable", 10, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "unreadable" in printed and f"{label}/broken.png" in printed and str(workspace.validation_page) in printed
    with pytest.raises(BadInput, match="nothing broke 'dark' here; broken rules: "):
        listing.show(workspace, "target", "dark", 10, console)
    with pytest.raises(UsageError, match="takes source or target, got 'plants'"):
        listing.show(workspace, "plants", None, 10, console)


def test_nothing_can_be_shown_before_the_gate_has_looked(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="findings.parquet is missing; the data gate makes it: graft run"):
        listing.show(Workspace(tmp_path), "target", None, 10, Console())


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"row": range(3)} | columns)


def test_findings_come_in_the_rules_order_and_name_the_rows() -> None:
    asked = {
        "small": {"column": "size", "between": ["$least", None]},
        "name": {"column": "name", "in": ["a", "b"]},
        "flaw": {"column": "flaw", "not_in": ["bad"]},
        "also_small": {"column": "size", "between": [1, 9]},
    }
    frame = table(size=[1, 2, 1], name=["a", "b", "c"], flaw=["", "bad", ""])
    told = expectations.check(frame, asked, {"least": 2})
    assert [(one.rule, one.rows, one.expected) for one in told] == [
        ("small", (0, 2), "at least 2"),
        ("name", (2,), "a or b"),
        ("flaw", (1,), "not bad"),
        ("also_small", (), "1 to 9"),
    ]


def test_a_rule_on_a_column_that_is_missing_is_an_error() -> None:
    with pytest.raises((RuntimeError, KeyError), match="depth"):
        expectations.check(table(), {"deep": {"column": "depth", "between": [1, 2]}}, {})
