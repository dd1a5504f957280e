"""The atlas in a real store: a record is there once, whoever was first, and never other than it was measured."""

from pathlib import Path

import pytest

from graft.core.atlas import Record
from graft.core.errors import BadInput
from graft.hub import atlas, sealed
from graft.hub.bucket import Bucket
from tasks import atlas as kept
from tasks.workspace import Workspace
from tests.core.records import cell, look

RECORDS = [cell("a", "t", seed, [1, 0, seed]) for seed in range(3)] + [look("a", "t")]


def sent(bucket: Bucket, records: list[Record]) -> list[str]:
    return atlas.send(bucket, [(one.kind, one.key, atlas.spelt(one)) for one in records])


def fetched(bucket: Bucket) -> dict[str, Record]:
    found: dict[str, Record] = {}
    atlas.fetch(bucket, atlas.listed(bucket), lambda one, data: found.update({one.key: one}))
    return found


def test_records_go_and_come_back_and_are_there_once(bucket: Bucket) -> None:
    assert sent(bucket, RECORDS) == [] and fetched(bucket) == {one.key: one for one in RECORDS}
    assert sent(bucket, RECORDS) == []  # the same bytes are no conflict
    assert len(bucket.keys("atlas/")) == 4


def test_who_measured_first_stands(bucket: Bucket) -> None:
    first, second = cell("a", "t", 0, [1, 1, 1]), cell("a", "t", 0, [0, 0, 0])
    assert sent(bucket, [first]) == [] and sent(bucket, [second]) == [second.key]
    assert fetched(bucket)[first.key] == first


def test_a_workspace_that_came_late_takes_over_what_the_store_holds(bucket: Bucket, tmp_path: Path) -> None:
    """Two machines measure the same: one is first, and both end with its record."""
    first, second = Workspace(tmp_path / "1"), Workspace(tmp_path / "2")
    ours, theirs = cell("a", "t", 0, [1, 1, 1]), cell("a", "t", 0, [0, 0, 0])
    kept.keep(first, ours)
    kept.keep(second, theirs)
    kept.keep(second, cell("a", "t", 1, [1, 0, 1]))
    assert kept.exchange(first) == "the store's atlas: 0 records came, 1 went"
    assert kept.exchange(second) == "the store's atlas: 1 records came, 1 went"
    assert kept.exchange(second) == "the store's atlas: 0 records came, 0 went"
    assert kept.exchange(first) == "the store's atlas: 1 records came, 0 went"
    assert {one.key: one for one in kept.read(second)} == {one.key: one for one in kept.read(first)} == fetched(bucket)
    assert kept.find(second, "cell", ours.decides) == ours


def test_a_record_that_was_altered_or_stands_under_another_name_is_refused(bucket: Bucket) -> None:
    data = atlas.spelt(RECORDS[0])
    bucket.create(f"atlas/cell/{RECORDS[0].key}.json", data.replace(b'"rows": 3', b'"rows": 2'))
    with pytest.raises(BadInput, match="is altered: its content does not match its own hash"):
        fetched(bucket)
    with pytest.raises(BadInput, match="atlas/x is altered: its content is that of"):
        atlas.read(data, "atlas/x", RECORDS[1].key)
    with pytest.raises(BadInput, match="is no record of the atlas"):
        atlas.read(sealed.seal({"a": 1}), "atlas/x", RECORDS[0].key)


def test_what_else_lies_there_is_left_alone(bucket: Bucket) -> None:
    bucket.create("atlas/cell/readme.txt", b"x")
    bucket.create("atlas/tree/" + 64 * "0" + ".json", b"x")
    assert atlas.listed(bucket) == {}
