"""Artefacts appear whole or not at all."""

import csv
import tarfile
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from tasks.adapters import files, shards


def test_a_file_is_replaced_only_when_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "a" / "out.txt"
    with files.written_aside(path) as aside:
        aside.write_text("one")
    with pytest.raises(RuntimeError), files.written_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "one"
    assert [one.name for one in path.parent.iterdir()] == ["out.txt"]


def test_a_folder_is_replaced_whole_and_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    path = tmp_path / "models"
    (tmp_path / ".models.999.part").mkdir()
    with files.folder_aside(path) as aside:
        (aside / "first").touch()
    with pytest.raises(RuntimeError), files.folder_aside(path) as aside:
        (aside / "half").touch()
        raise RuntimeError
    assert [one.name for one in path.iterdir()] == ["first"]
    with files.folder_aside(path) as aside:
        (aside / "second").touch()
    assert [one.name for one in path.iterdir()] == ["second"]
    assert [one.name for one in tmp_path.iterdir()] == ["models"]


def test_json_is_readable_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    files.write_json(path, {"a": 1})
    assert files.read_json(path) == {"a": 1}
    with pytest.raises(ValueError):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == {"a": 1}
    path.write_text("{")
    with pytest.raises(BadInput, match="is damaged"):
        files.read_json(path)
    with pytest.raises(BadInput, match=r"gone.json is missing"):
        files.read_json(tmp_path / "gone.json")


def test_a_spreadsheet_executes_no_label(tmp_path: Path) -> None:
    files.write_csv(tmp_path / "a.csv", [{"label": "=cmd()", "x": -1.5}, {"label": "rose", "x": 2}])
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"label": "'=cmd()", "x": "-1.5"} and rows[1]["label"] == "rose"


PICTURES = [(f"class/{number}.png", bytes([number]) * (700 + number)) for number in range(9)]


def pack(folder: Path, shard_bytes: int = shards.SHARD_BYTES) -> list[shards.Place]:
    folder.mkdir()
    with shards.ShardWriter(folder, shard_bytes) as writer:
        return [writer.add(path, data) for path, data in PICTURES]


def test_pictures_come_back_from_shards_of_bounded_size(tmp_path: Path) -> None:
    places = pack(tmp_path / "a", shard_bytes=4000)
    assert len({place.shard for place in places}) > 1
    assert list(shards.read(tmp_path / "a", places)) == [data for _, data in PICTURES]
    assert list(shards.read(tmp_path / "a", places[::-1]))[0] == PICTURES[-1][1]


def test_a_shard_is_a_plain_tar_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    pack(tmp_path / "a")
    pack(tmp_path / "b")
    assert (tmp_path / "a/shard-00000.tar").read_bytes() == (tmp_path / "b/shard-00000.tar").read_bytes()
    with tarfile.open(tmp_path / "a/shard-00000.tar") as tar:
        assert [(one.name, one.mtime, one.uid) for one in tar] == [(path, 0, 0) for path, _ in PICTURES]


def test_a_long_or_foreign_name_does_not_move_the_offsets(tmp_path: Path) -> None:
    names = ["x" * 300 + "/" + "y" * 250, "caf\u00e9/ü.png", "a\nb/c"]
    with shards.ShardWriter(tmp_path) as writer:
        places = [writer.add(name, name.encode()) for name in names]
    assert [data.decode() for data in shards.read(tmp_path, places)] == names


@pytest.mark.parametrize("name", ["../x.tar", "shard-1.tar", "/etc/passwd", ""])
def test_a_manifest_cannot_point_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a shard's name"):
        list(shards.read(tmp_path, [shards.Place(name, 0, 1)]))
