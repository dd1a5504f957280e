"""What every origin promises, and what a folder must not let in."""

import os
import sys
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
from tasks.origins import folder, shapes

FEW: dict[str, dict[str, Any]] = {"glyphs": {"images_per_class": 8}, "shapes": {"images_per_class": 8}}


def request(tmp_path: Path, seed: int = 3, role: str = "source") -> Request:
    return Request("animals", seed, 32, tmp_path / "cache", role=role)


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label in ("ash", "birch"):
        for number in range(3):
            picture(tmp_path / "root" / label / f"{number}.png", 10 * len(label) + number)
    return tmp_path / "root"


def fetched(name: str, tmp_path: Path, root: Path, seed: int = 3, role: str = "source") -> list[Picture]:
    options = {"root": str(root)} if name == "folder" else FEW.get(name, {})
    chosen = plugins.resolve("tasks.origins", Choice(name=name, **options), "origin")
    try:
        return list(chosen.module.fetch(chosen.options, request(tmp_path, seed, role)))
    except EnvironmentProblem as error:
        pytest.skip(f"the npm registry cannot be reached: {error}")


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize("name", plugins.names("tasks.origins"))
def test_the_same_request_gives_the_same_sound_pictures(name: str, role: str, tmp_path: Path, root: Path) -> None:
    first, second = (fetched(name, tmp_path, root, role=role) for _ in range(2))
    assert first == second
    assert len({one.data for one in first}) == len(first)
    assert len({one.path for one in first}) == len(first)
    assert len({one.label for one in first}) >= 2
    for one in first:
        assert image.inspect(one.data).problem == ""
        assert ".." not in one.path.split("/") and not one.path.startswith("/")


def test_another_seed_draws_other_pictures(tmp_path: Path) -> None:
    options, seeds = shapes.Options(images_per_class=4), (3, 4)
    one, other = (list(shapes.fetch(options, request(tmp_path, seed))) for seed in seeds)
    assert [a.path for a in one] == [b.path for b in other]
    assert not {a.data for a in one} & {b.data for b in other}


def test_progress_ends_at_the_total(tmp_path: Path, root: Path) -> None:
    told: list[tuple[int, int]] = []
    asked = Request("any", 3, 32, tmp_path, lambda done, total: told.append((done, total)))
    for pictures in (folder.fetch(folder.Options(root=str(root)), asked), shapes.fetch(shapes.Options(), asked)):
        count = len(list(pictures))
        assert told[-1] == (count, count)
        assert told == sorted(told)
        told.clear()


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


@pytest.mark.parametrize(
    "label", ["a\nb", "-rf", "<img onerror>", "q'uo\"te", "caf\u00e9", "cafe\u0301", "..ash", "$(x)"]
)
def test_hostile_class_names_survive(root: Path, tmp_path: Path, label: str) -> None:
    for number in range(2):
        picture(root / label / f"{number}.png")
    if label.startswith("."):
        return  # hidden, like .git
    found = list(folder.fetch(folder.Options(root=str(root)), request(tmp_path)))
    assert {(one.label, one.path) for one in found} >= {(label, f"{label}/0.png"), (label, f"{label}/1.png")}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf_8_is_refused(root: Path, tmp_path: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(root / "ash") + b"/\xff.png"))
    picture(strange)
    assert "ash/\\udcff.png is not UTF-8; rename it" in refused(root, tmp_path)
    with pytest.raises(BadInput, match="not UTF-8"):
        folder.fingerprint(folder.Options(root=str(root)))
    strange.unlink()
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).mkdir()
    assert "is not UTF-8; rename it" in refused(root, tmp_path)


def test_a_file_that_is_too_large_is_refused_unread(root: Path, tmp_path: Path) -> None:
    with (root / "ash" / "large.png").open("wb") as file:
        file.truncate(folder.MAX_FILE_BYTES + 1)
    assert "large.png has 32000001 bytes; at most 32000000 are taken" in refused(root, tmp_path)


def test_what_is_no_picture_by_name_is_left_out(root: Path, tmp_path: Path) -> None:
    (root / "ash" / "notes.txt").write_text("x")
    (root / "README.md").write_text("x")
    (root / ".git").mkdir()
    found = list(folder.fetch(folder.Options(root=str(root)), request(tmp_path)))
    assert {one.label for one in found} == {"ash", "birch"} and len(found) == 6


def test_the_fingerprint_tells_a_changed_folder(root: Path) -> None:
    options = folder.Options(root=str(root))
    before = folder.fingerprint(options)
    assert before == folder.fingerprint(options)
    picture(root / "ash" / "new.png")
    assert folder.fingerprint(options) != before
