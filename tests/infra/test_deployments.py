"""When forms are registered anew: whenever what they were made from is not what it was."""

import shutil
from pathlib import Path

import pytest

from infra.deployments import Deployments
from infra.server import Server

ROOT = Path(__file__).parents[2]


def made_from(root: Path) -> str:
    return Deployments(Server(root))._now()


@pytest.mark.parametrize("changed", ["flows/form.py", "graft/methods/another.py", "tasks/origins/another.py"])
def test_a_flow_that_changed_and_a_plugin_that_was_added_are_registered(tmp_path: Path, changed: str) -> None:
    for name in ("flows", "graft/methods", "tasks/origins"):
        shutil.copytree(ROOT / name, tmp_path / "clone" / name)
    before = made_from(tmp_path / "clone")
    assert made_from(tmp_path / "clone") == before
    with (tmp_path / "clone" / changed).open("a") as file:
        file.write("# more\n")
    assert made_from(tmp_path / "clone") != before


def test_a_workspace_that_moved_is_registered_where_it_is(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flows", tmp_path / "one" / "flows")
    before = made_from(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "other")
    assert made_from(tmp_path / "other") != before
