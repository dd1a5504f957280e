"""Folders through a real store: they arrive as they were, once on a machine, or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.hub import bundles, sealed
from graft.hub.bucket import Bucket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a folder in it, an empty file and one of several parts."""
    made = tmp_path / "sent"
    (made / "train").mkdir(parents=True)
    (made / "train" / "labels.npy").write_bytes(b"")
    (made / "domain.json").write_text("{}")
    (made / "train" / "images.npy").write_bytes(bytes(range(256)) * (bundles.PART_BYTES // 256) + b"the last part")
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_arrives_as_it_was_and_has_the_name_of_its_content(
    bucket: Bucket, folder: Path, tmp_path: Path
) -> None:
    name = bundles.send(bucket, folder)
    there = bucket.keys(bundles.PREFIX)
    assert bundles.send(bucket, folder) == name and bucket.keys(bundles.PREFIX) == there
    assert len(there) == 4  # the list, domain.json and two parts: an empty file has none
    assert content(bundles.fetch(bucket, name, tmp_path / "shelf")) == content(folder)
    (folder / "domain.json").write_text("[]")
    assert bundles.send(bucket, folder) != name


def test_many_who_ask_at_once_bring_it_once(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    name, shelf = bundles.send(bucket, folder), tmp_path / "shelf"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: bundles.fetch(bucket, name, shelf), range(16)))
    assert found == {shelf / name} and content(shelf / name) == content(folder)
    assert [path.name for path in shelf.iterdir() if path.is_dir()] == [name]


def test_what_was_altered_in_the_store_does_not_arrive(bucket: Bucket, folder: Path, tmp_path: Path) -> None:
    name = bundles.send(bucket, folder)
    [part] = [key for key in bucket.keys(f"{bundles.PREFIX}parts/") if bucket.read(key, 50_000_000).data == b"{}"]
    held = bucket.read(part, 10)
    assert bucket.replace(part, b"[]", held.etag)
    with pytest.raises(BadInput, match="is altered: its content does not match its name"):
        bundles.fetch(bucket, name, tmp_path / "shelf")
    assert not (tmp_path / "shelf" / name).exists()


@pytest.mark.parametrize("file", ["../x", "/etc/x", "a/../../x", "a//x", ".ssh/x", "a\\x", "a\nx", ""])
def test_a_list_cannot_lead_out_of_its_folder(bucket: Bucket, tmp_path: Path, file: str) -> None:
    data = sealed.seal({"files": {file: []}})
    name = sealed.sha256(data)
    assert bucket.create(f"{bundles.PREFIX}bundles/{name}.json", data)
    with pytest.raises(BadInput, match=r"a bundle cannot hold .* make names that travel"):
        bundles.fetch(bucket, name, tmp_path / "shelf")
    assert [path.name for path in tmp_path.rglob("x")] == []


def test_a_part_larger_than_any_is_not_read(bucket: Bucket, tmp_path: Path) -> None:
    data = sealed.seal({"files": {"x": [["0" * 64, 10**12]]}})
    name = sealed.sha256(data)
    assert bucket.create(f"{bundles.PREFIX}bundles/{name}.json", data)
    with pytest.raises(BadInput, match="parts have 32000000 at most"):
        bundles.fetch(bucket, name, tmp_path / "shelf")


def test_a_name_that_is_none_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names no bundle; 64 hexadecimal digits do"):
        bundles.fetch(bucket, "../models/plants", tmp_path)
    with pytest.raises(BadInput, match="No object|no object|spread/bundles"):
        bundles.fetch(bucket, "0" * 64, tmp_path)


def test_what_nobody_holds_makes_room_and_the_longest_unused_goes_first(bucket: Bucket, tmp_path: Path) -> None:
    shelf, names = tmp_path / "shelf", []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x").write_bytes(bytes([number]) * 100)
        names.append(bundles.send(bucket, tmp_path / str(number)))
        bundles.fetch(bucket, names[-1], shelf)
        os.utime(shelf / names[-1], (number, number))
    assert bundles.trim(shelf, 300) == []
    with bundles.held(bucket, {"first": names[0]}, shelf) as held:
        os.utime(held["first"], (0, 0))
        assert bundles.trim(shelf, 200) == [names[1]] and content(held["first"]) == {"x": bytes(100)}
        assert bundles.trim(shelf, 0) == [names[2]]
    assert bundles.trim(shelf, 0) == [names[0]]
    with bundles.held(bucket, {"again": names[0]}, shelf) as held:
        assert content(held["again"]) == {"x": bytes(100)}
