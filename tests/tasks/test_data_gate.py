"""Splits, and what the data gate refuses."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from graft.core import settings as settings_file
from graft.core.errors import GateRefused
from graft.core.settings import Settings, SplitShares
from tasks import validate
from tasks.adapters import files, manifest
from tasks.adapters.manifest import Row
from tasks.choices import Choices
from tasks.ingest import assign_splits
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[2]
SHARES = SplitShares(validation=0.1, test=0.2)


def row(number: int, label: str = "rose", domain: str = "target", **facts: Any) -> Row:
    base: dict[str, Any] = {
        "domain": domain, "path": f"{label}/{number}.png", "sha256": f"{domain}-{label}-{number}", "label": label,
        "split": "train", "width": 64, "height": 64, "mode": "RGB", "bytes": 900, "group": "", "shard": "s",
        "offset": 0, "problem": "",
    }  # fmt: skip
    return Row(**(base | facts))


def split(rows: list[Row], unseen: frozenset[int] = frozenset()) -> list[Row]:
    return assign_splits([(one, index in unseen) for index, one in enumerate(rows)], SHARES, 7)


def test_splits_have_their_shares_in_every_class() -> None:
    rows = split([row(n, label) for label in ("rose", "tulip") for n in range(50)])
    for label in ("rose", "tulip"):
        counts = pd.Series([one.split for one in rows if one.label == label]).value_counts()
        assert counts.to_dict() == {"train": 35, "test": 10, "validation": 5}
    assert rows == split([row(n, label) for label in ("rose", "tulip") for n in range(50)])


def test_a_group_that_is_kept_out_is_never_trained_on() -> None:
    rows = split([row(n) for n in range(20)], unseen=frozenset({3, 4, 5}))
    assert [one.split for one in rows[3:6]] == ["unseen"] * 3
    assert "unseen" not in {one.split for one in rows[:3] + rows[6:]}


def test_one_more_picture_moves_few_others() -> None:
    before = split([row(n) for n in range(100)])
    after = split([row(n) for n in range(101)])
    moved = sum(a.split != b.split for a, b in zip(before, after, strict=False))
    assert moved <= 3


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return Workspace(tmp_path)


@pytest.fixture
def settings(workspace: Workspace) -> Settings:
    return settings_file.load(workspace.params)


def sound() -> list[Row]:
    rows = [row(n, label, domain) for domain in ("source", "target") for label in ("a", "b") for n in range(40)]
    return [row for domain in ("source", "target") for row in split([one for one in rows if one.domain == domain])]


def gate(workspace: Workspace, settings: Settings, rows: list[Row]) -> str:
    """What the gate says to these rows; "" if it lets them pass."""
    manifest.write(workspace.manifest, rows)
    try:
        validate.validate(workspace, settings, Choices.of(settings))
    except GateRefused as refused:
        assert not files.read_json(workspace.validation)["passed"]
        return str(refused)
    assert files.read_json(workspace.validation)["passed"]
    return ""


def test_sound_rows_pass(workspace: Workspace, settings: Settings) -> None:
    assert gate(workspace, settings, sound()) == ""


BAD = {
    "problem is OSError: truncated, should be none": {"problem": "OSError: truncated"},
    "mode is F": {"mode": "F"},
    "bytes is 0": {"bytes": 0},
    "shorter_edge is 3, should be at least 8": {"height": 3},
    "aspect is 10.0, should be at most 8.0": {"width": 640},
    "domain is elsewhere": {"domain": "elsewhere"},
}


@pytest.mark.parametrize("told", BAD)
def test_a_bad_row_is_named_with_what_was_found(workspace: Workspace, settings: Settings, told: str) -> None:
    rows = sound()
    bad = row(99, "a", **({"split": "train"} | BAD[told]))
    said = gate(workspace, settings, [*rows, bad])
    assert "picture a/99.png: " in said and told in said


def test_the_same_picture_in_two_splits_or_classes_is_named(workspace: Workspace, settings: Settings) -> None:
    rows = sound()
    twin = next(one for one in rows if one.domain == "target" and one.split == "train")
    leak = row(98, twin.label, sha256=twin.sha256, split="test")
    assert "splits_of_sha256 is 2, should be exactly 1" in gate(workspace, settings, [*rows, leak])
    other = row(98, "b" if twin.label == "a" else "a", sha256=twin.sha256, split="train")
    assert "labels_of_sha256 is 2, should be exactly 1" in gate(workspace, settings, [*rows, other])


def test_a_class_with_too_few_pictures_is_named(workspace: Workspace, settings: Settings) -> None:
    rows = sound()
    assert "target class c has 3 pictures; validate.min_images_per_class asks for 5" in gate(
        workspace, settings, rows + [row(n, "c") for n in range(3)]
    )
    few = split([row(n, "c") for n in range(9)])
    assert "target class c has 6 training pictures; finetune.labels_per_class asks for 10" in gate(
        workspace, settings, rows + few
    )
    assert "class c has no picture in split validation, test" in gate(
        workspace, settings, rows + [row(n, "c") for n in range(30)]
    )


def test_one_class_is_not_enough(workspace: Workspace, settings: Settings) -> None:
    rows = [one for one in sound() if one.domain == "target" or one.label == "a"]
    assert "source has 1 class; at least 2 are needed" in gate(workspace, settings, rows)
