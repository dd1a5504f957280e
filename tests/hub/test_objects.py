"""Objects known by their MD5: what arrives is what was meant, small or large, or nothing does."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.hub import objects
from graft.hub.objects import Altered, NoObject, Objects
from graft.hub.store import at
from tests.store import Server


@pytest.fixture
def kept(s3: Server, credentials: None) -> Iterator[Objects]:
    made = Objects(at(s3.bucket), "objects/")
    yield made
    made.close()


@pytest.fixture(params=["whole", "in parts"])
def file(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    if request.param == "in parts":
        monkeypatch.setattr(objects, "WHOLE_BYTES", 1_000)
        monkeypatch.setattr(objects, "PART_BYTES", 5 << 20)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 50_000)
    return path


def quiet(more: int) -> None:
    """Nobody looks."""


def test_a_file_goes_and_comes_back(kept: Objects, file: Path, tmp_path: Path) -> None:
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    told: list[int] = []
    kept.put("a", file, md5, told.append)
    assert kept.md5("a", quiet) == md5 == objects.md5_of(file)
    assert kept.get("a", tmp_path / "back", told.append) == md5
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert sum(told) == 2 * file.stat().st_size


def test_a_listing_says_the_md5_or_that_it_does_not_know(kept: Objects, file: Path) -> None:
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    kept.put("b", file, md5, quiet)
    listed = kept.listed()["b"]
    assert listed.n_bytes == file.stat().st_size
    assert listed.md5 == ("" if objects.WHOLE_BYTES == 1_000 else md5)


def test_other_bytes_than_meant_are_not_written(kept: Objects, file: Path) -> None:
    with pytest.raises(Altered):
        kept.put("c", file, hashlib.md5(b"other").hexdigest(), quiet)
    assert "c" not in kept.listed()
    with pytest.raises(NoObject, match="c is not in bucket"):
        kept.md5("c", quiet)
