"""What every origin promises, and what a folder must not let in."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.core import plugins
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.settings import Choice
from graft.modalities import image
from tasks.origins import folder

FEW: dict[str, dict[str, Any]] = {"glyphs": {"images_per_class": 8}, "shapes": {"images_per_class": 8}}


def request(tmp_path: Path, seed: int = 3) -> Request:
    return Request("animals", seed, 32, tmp_path / "cache")


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label in ("ash", "birch"):
        for number in range(3):
            picture(tmp_path / "root" / label / f"{number}.png", hash((label, number)) % 1000)
    return tmp_path / "root"


def fetched(name: str, tmp_path: Path, root: Path, seed: int = 3) -> list[Picture]:
    options = {"root": str(root)} if name == "folder" else FEW.get(name, {})
    chosen = plugins.resolve("tasks.origins", Choice(name=name, **options), "origin")
    try:
        return list(chosen.module.fetch(chosen.options, request(tmp_path, seed)))
    except EnvironmentProblem as error:
        pytest.skip(f"the npm registry cannot be reached: {error}")


@pytest.mark.parametrize("name", plugins.names("tasks.origins"))
def test_the_same_request_gives_the_same_sound_pictures(name: str, tmp_path: Path, root: Path) -> None:
    first, second = fetched(name, tmp_path, root), fetched(name, tmp_path, root)
    assert first == second
    assert len({one.path for one in first}) == len(first)
    assert len({one.label for one in first}) >= 2
    for one in first:
        assert image.inspect(one.data).problem == ""
        assert ".." not in one.path.split("/") and not one.path.startswith("/")


def refused(root: Path, tmp_path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        list(folder.fetch(folder.Options(root=str(root)), request(tmp_path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_missing_empty_or_of_one_class_is_named(root: Path, tmp_path: Path) -> None:
    assert "no folder" in refused(tmp_path / "nowhere", tmp_path)
    (root / "cedar").mkdir()
    assert "cedar" in refused(root, tmp_path) and "is empty" in refused(root, tmp_path)
    assert "at least 2 class folders; found none" in refused(root / "ash", tmp_path)


def test_links_and_special_files_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "ash" / "9.png").symlink_to(root / "birch" / "0.png")
    assert "9.png is no regular file" in refused(root, tmp_path)
    (root / "ash" / "9.png").unlink()
    os.mkfifo(root / "ash" / "pipe.png")
    assert "pipe.png is no regular file" in refused(root, tmp_path)
    (root / "ash" / "pipe.png").unlink()
    (root / "linked").symlink_to(root / "ash")
    assert "linked is a symbolic link" in refused(root, tmp_path)


def test_hostile_names_survive(root: Path, tmp_path: Path) -> None:
    names = ["a\nb.png", "-rf.png", "<img onerror>.png", "q'uo\"te.png", "caf\u00e9.png", "cafe\u0301.png", "$(x).png"]
    for name in names:
        picture(root / "ash" / name)
    found = {one.path for one in folder.fetch(folder.Options(root=str(root)), request(tmp_path))}
    assert {f"ash/{name}" for name in names} <= found


def test_the_fingerprint_tells_a_changed_folder(root: Path) -> None:
    options = folder.Options(root=str(root))
    before = folder.fingerprint(options)
    assert before == folder.fingerprint(options)
    picture(root / "ash" / "new.png")
    assert folder.fingerprint(options) != before
