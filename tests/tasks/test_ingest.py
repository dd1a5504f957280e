"""ingest: what an origin hands over is packed as it is, listed row by row, or refused by name."""

import hashlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from graft.core import settings as settings_file
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import ingest
from tasks.adapters import files, manifest, shards
from tasks.adapters.manifest import Row
from tasks.choices import Choices
from tasks.workspace import ROLES, Workspace

ROOT = Path(__file__).parents[2]


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png(seed))).save(buffer, "JPEG")
    return buffer.getvalue()


def pictures(n: int = 10) -> list[Picture]:
    """Two classes; the last two pictures of each are of a group that is kept out."""
    return [
        Picture(
            f"{label}/{number}.png", label, png(100 * index + number), *(("odd", "unseen") if number >= n - 2 else ())
        )
        for index, label in enumerate(("ash", "birch"))
        for number in range(n)
    ]


def origin(handed: list[Picture], end: Exception | None = None) -> Plugin:
    """An origin that hands over these pictures, and then raises."""

    def fetch(options: object, request: Request) -> Iterator[Picture]:
        yield from handed
        if end:
            raise end

    return Plugin("handmade", SimpleNamespace(fetch=fetch), None)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return Workspace(tmp_path)


@pytest.fixture
def settings(workspace: Workspace) -> Settings:
    return settings_file.load(workspace.params)


def run(workspace: Workspace, settings: Settings, source: Plugin, target: Plugin | None = None) -> list[Row]:
    chosen = replace(Choices.of(settings), source_origin=source, target_origin=target or origin(pictures()))
    ingest.ingest(workspace, settings, chosen)
    return manifest.read(workspace.manifest)


def test_every_picture_is_listed_once_and_lies_where_its_row_says(workspace: Workspace, settings: Settings) -> None:
    handed = pictures()
    rows = run(workspace, settings, origin(handed))
    for role in ROLES:
        mine = [row for row in rows if row.domain == role]
        assert [(row.path, row.label, row.group) for row in mine] == [(p.path, p.label, p.group) for p in handed]
        packed = list(shards.read(workspace.raw(role), [row.place for row in mine]))
        assert packed == [picture.data for picture in handed]
        assert [row.sha256 for row in mine] == [hashlib.sha256(data).hexdigest() for data in packed]
        assert {(row.width, row.height, row.mode, row.format, row.problem) for row in mine} == {
            (24, 20, "RGB", "PNG", "")
        }
        assert [row.split == "unseen" for row in mine] == [picture.split == "unseen" for picture in handed]
        assert {row.split for row in mine} == {"train", "validation", "test", "unseen"}


def test_the_same_pictures_give_the_same_bytes(workspace: Workspace, settings: Settings) -> None:
    def made() -> list[bytes]:
        run(workspace, settings, origin(pictures()))
        return [path.read_bytes() for path in sorted((workspace.root / "data").rglob("*.*"))]

    first = made()
    assert len(first) == 3 and first == made()


def test_what_an_origin_knows_of_a_picture_is_listed(workspace: Workspace, settings: Settings) -> None:
    one = Picture("ash/x.png", "ash", png(999), "cam 1", "test", "cam 1", etag="abc", version="v1")
    listed = run(workspace, settings, origin([*pictures(), one]))
    row = next(row for row in listed if row.path == "ash/x.png")
    assert (row.group, row.split, row.unit, row.etag, row.version) == ("cam 1", "test", "cam 1", "abc", "v1")


def test_a_picture_that_cannot_be_used_is_kept_with_its_problem(workspace: Workspace, settings: Settings) -> None:
    handed = [
        *pictures(),
        Picture("ash/animated.gif", "ash", b"GIF89a and more"),
        Picture("ash/link.png", "ash", b"", problem="unsafe_file: is a symbolic link"),
        Picture("ash/empty.png", "ash", b""),
    ]
    rows = run(workspace, settings, origin(handed))
    found = {row.path: row.problem for row in rows if row.problem}
    assert list(found) == [picture.path for picture in handed[-3:]]
    assert found["ash/animated.gif"].startswith("format: ")
    assert found["ash/link.png"] == "unsafe_file: is a symbolic link"
    assert ": " in found["ash/empty.png"]
    assert [row.bytes for row in rows if row.problem] == [15, 0, 0]


def test_a_picture_that_is_cut_short_is_left_to_the_gate(workspace: Workspace, settings: Settings) -> None:
    rows = run(workspace, settings, origin([*pictures(), Picture("ash/broken.jpg", "ash", jpeg(0)[:-300])]))
    assert [row for row in rows if row.problem] == []


@pytest.mark.parametrize(
    "path", ["../x.png", "/etc/x.png", "ash/../../x.png", "ash//x.png", "./x.png", "ash\\x.png", "", "x" * 4097]
)
def test_an_unsafe_path_is_refused_and_leaves_nothing(workspace: Workspace, settings: Settings, path: str) -> None:
    with pytest.raises(BadInput, match=r"data.source.origin: '.*' is not a safe relative path"):
        run(workspace, settings, origin([*pictures(), Picture(path, "ash", png(0))]))
    assert list((workspace.root / "data").iterdir()) == []


def test_a_path_that_comes_twice_is_refused(workspace: Workspace, settings: Settings) -> None:
    with pytest.raises(BadInput, match="'ash/0.png' comes twice"):
        run(workspace, settings, origin([*pictures(), pictures()[0]]))


def test_a_split_that_does_not_exist_is_refused(workspace: Workspace, settings: Settings) -> None:
    with pytest.raises(BadInput, match="'ash/x.png' asks for split 'dev'; splits: train, validation, test, unseen"):
        run(workspace, settings, origin([*pictures(), Picture("ash/x.png", "ash", png(0), split="dev")]))


def test_an_origin_without_a_picture_is_named(workspace: Workspace, settings: Settings) -> None:
    with pytest.raises(BadInput, match="data.target.origin: 0 pictures from handmade"):
        run(workspace, settings, origin(pictures()), origin([]))
    assert not workspace.manifest.exists()


def test_an_origin_that_breaks_off_leaves_the_earlier_shards_alone(workspace: Workspace, settings: Settings) -> None:
    run(workspace, settings, origin(pictures()))
    before = (workspace.raw("source") / "shard-00000.tar").read_bytes()
    with pytest.raises(EnvironmentProblem):
        run(workspace, settings, origin(pictures(4), EnvironmentProblem("the registry is gone")))
    assert [path.name for path in workspace.raw("source").iterdir()] == ["shard-00000.tar"]
    assert (workspace.raw("source") / "shard-00000.tar").read_bytes() == before
    assert sorted(path.name for path in workspace.manifest.parent.iterdir()) == ["manifest.parquet", "source", "target"]


def test_what_an_origin_looked_like_is_recorded(workspace: Workspace, settings: Settings) -> None:
    told = Plugin("a", SimpleNamespace(fetch=origin(pictures()).module.fetch, fingerprint=lambda options: "abc"), None)
    run(workspace, settings, told)
    md5 = hashlib.md5(workspace.manifest.read_bytes()).hexdigest()
    assert files.read_json(workspace.origins_record) == {"source": "abc", "target": "", "manifest": md5}


def test_downloads_are_cached_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ingest.cache_folder() == tmp_path / "graft"
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "other"))
    assert ingest.cache_folder() == tmp_path / "other"
