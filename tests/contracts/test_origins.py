"""What every origin promises."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graft.core import names, plugins
from graft.core.dataset import SPLITS, Picture, Request
from graft.core.errors import EnvironmentProblem
from graft.core.sections import Choice
from graft.modalities import image
from tasks.origins import folder, shapes
from tests import little_set
from tests.store import Server, connect

FEW: dict[str, dict[str, Any]] = {
    "glyphs": {"images_per_class": 8},
    "noise": {"classes": 2, "images_per_class": 8},
    "s3": {"uri": "s3://models/contract"},
    "shapes": {"images_per_class": 8},
    "tfds": {"uri": "tfds:little_trees"},
}


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


@pytest.fixture
def in_bucket(root: Path, s3: Server, credentials: None) -> None:
    """What lies in the folder as objects, too."""
    with closing(connect(s3)) as client:
        for file in root.rglob("*.png"):
            client.upload_file(str(file), s3.bucket, f"contract/{file.relative_to(root).as_posix()}")


def fetched(name: str, tmp_path: Path, root: Path, packages: Path, role: str) -> list[Picture]:
    options = {"root": str(root)} if name == "folder" else FEW.get(name, {})
    if name == "tfds":
        given = {"train": little_set.rows("train", 9), "test": little_set.rows("test", 6)}
        little_set.prepare(tmp_path / "cache" / "tfds", given)
    chosen = plugins.resolve("tasks.origins", Choice(name=name, **options), "origin")
    asked = request(tmp_path, role=role)
    try:
        return list(chosen.module.fetch(chosen.options, replace(asked, cache=packages) if name == "glyphs" else asked))
    except EnvironmentProblem as error:
        if name != "glyphs":
            raise
        pytest.skip(f"the npm registry cannot be reached: {error}")


@pytest.fixture(autouse=True)
def no_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.mark.parametrize("role", ["source", "target"])
@pytest.mark.parametrize("name", plugins.names("tasks.origins"))
def test_the_same_request_gives_the_same_sound_pictures(
    name: str, role: str, tmp_path: Path, root: Path, packages: Path, request: pytest.FixtureRequest
) -> None:
    if name == "s3":
        request.getfixturevalue("in_bucket")
    first, second = (fetched(name, tmp_path, root, packages, role) for _ in range(2))
    assert first == second
    assert len({one.data for one in first}) == len(first)
    assert len({one.path for one in first}) == len(first)
    assert len({one.label for one in first}) >= 2
    for one in first:
        assert one.problem == "" and image.peek(one.data).problem == ""
        assert names.is_safe(one.path)
        assert one.split in ("", *SPLITS)


def test_another_seed_draws_other_pictures(tmp_path: Path) -> None:
    options, seeds = shapes.Options(images_per_class=4), (3, 4)
    one, other = (list(shapes.fetch(options, request(tmp_path, seed))) for seed in seeds)
    assert [a.path for a in one] == [b.path for b in other]
    assert not {a.data for a in one} & {b.data for b in other}


def test_progress_ends_at_the_total(tmp_path: Path, root: Path) -> None:
    told: list[tuple[int, int]] = []
    asked = Request("any", 3, 32, tmp_path, lambda done, total: told.append((done, total)))
    few = shapes.Options(images_per_class=4)
    for pictures in (folder.fetch(folder.Options(root=str(root)), asked), shapes.fetch(few, asked)):
        count = len(list(pictures))
        assert told[-1] == (count, count)
        assert told == sorted(told)
        told.clear()
