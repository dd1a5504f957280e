"""The atlas in a real store: a record is there once, whoever was first, and never other than it was measured."""

import pytest

from graft.core.atlas import Record
from graft.core.errors import BadInput
from graft.hub import atlas, sealed
from graft.hub.bucket import Bucket
from tests.core.records import cell, look

RECORDS = [cell("a", "t", seed, [1, 0, seed]) for seed in range(3)] + [look("a", "t")]


def sent(bucket: Bucket, records: list[Record]) -> int:
    return atlas.send(bucket, [(one.kind, one.key, atlas.spelt(one)) for one in records])


def fetched(bucket: Bucket) -> dict[str, Record]:
    found: dict[str, Record] = {}
    atlas.fetch(bucket, atlas.listed(bucket), lambda one, data: found.update({one.key: one}))
    return found


def test_records_go_and_come_back_and_are_there_once(bucket: Bucket) -> None:
    assert sent(bucket, RECORDS) == 4 and fetched(bucket) == {one.key: one for one in RECORDS}
    sent(bucket, RECORDS)
    assert len(bucket.keys("atlas/")) == 4


def test_who_measured_first_stands(bucket: Bucket) -> None:
    first, second = cell("a", "t", 0, [1, 1, 1]), cell("a", "t", 0, [0, 0, 0])
    assert sent(bucket, [first]) == 1 and sent(bucket, [second]) == 0
    assert fetched(bucket)[first.key] == first


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
