"""Rows in the store: sent once, read as they are needed, every byte checked, on disk up to a limit."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import batches, vary
from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.hub import shards, streamed
from graft.hub.bucket import Bucket
from graft.hub.shards import Index
from graft.hub.store import Store, at
from graft.hub.streamed import Cache
from tests import store as servers
from tests.store import Server

N, EDGE = 150, 8
KEY = shards.key_of("abc", "source", "train")


@pytest.fixture(scope="module")
def rows() -> Split:
    """Sorted by class, as they are packed."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (N, EDGE, EDGE, 3), dtype=np.uint8)
    return Split(images, np.sort(np.arange(N) % 3), np.arange(N))


@pytest.fixture
def store(s3: Server, credentials: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(shards, "SHARD_BYTES", 10 * EDGE * EDGE * 3)  # ten rows
    return at(s3.bucket)


@pytest.fixture
def bucket(store: Store) -> Iterator[Bucket]:
    with closing(Bucket(store)) as made:
        yield made


@pytest.fixture
def index(bucket: Bucket, rows: Split) -> Index:
    return shards.push(bucket, KEY, rows, ["a", "b", "c"])


@pytest.fixture
def objects(s3: Server) -> Iterator[Callable[..., Any]]:
    """Change the store behind everybody's back."""
    with closing(servers.connect(s3)) as client:
        yield lambda what, key, **more: getattr(client, what)(Bucket=s3.bucket, Key=key, **more)


def test_rows_come_back_as_they_were_mixed_so_that_each_shard_has_all_classes(
    store: Store, index: Index, rows: Split, tmp_path: Path
) -> None:
    got = streamed.split(store, index, Cache(tmp_path, 10**9))
    assert got.images.shape == rows.images.shape and len(got) == N and index.classes == ["a", "b", "c"]
    assert got.units is not None
    back = np.argsort(got.units)  # the units are the rows' numbers
    np.testing.assert_array_equal(np.asarray(got.images)[back], rows.images)
    np.testing.assert_array_equal(got.labels[back], rows.labels)
    assert [len(set(got.labels[start : start + 10])) for start in range(0, N, 10)] == [3] * 15
    np.testing.assert_array_equal(got.images[3], got.images[2:5][1])
    np.testing.assert_array_equal(got.images[np.array([140, 3, 3])], got.images[:][[140, 3, 3]])


def test_what_is_there_is_not_sent_again(bucket: Bucket, index: Index, rows: Split, s3: Server) -> None:
    with closing(servers.connect(s3)) as client:
        told = client.list_objects_v2(Bucket=s3.bucket, Prefix=shards.PREFIX)["Contents"]
        assert shards.push(bucket, KEY, rows, ["a", "b", "c"]) == index == shards.find(bucket, KEY)
        again = client.list_objects_v2(Bucket=s3.bucket, Prefix=shards.PREFIX)["Contents"]
    assert [(one["Key"], one["LastModified"]) for one in told] == [(one["Key"], one["LastModified"]) for one in again]
    assert shards.find(bucket, KEY + "x") is None


def test_other_rows_under_the_same_name_are_refused(bucket: Bucket, index: Index, rows: Split) -> None:
    with pytest.raises(BadInput, match="names other shards"):
        shards.push(bucket, KEY, rows.take(np.arange(20)), ["a", "b", "c"])


def test_a_streamed_batch_is_the_one_that_memory_gives_in_the_same_order(
    store: Store, index: Index, tmp_path: Path
) -> None:
    got = streamed.split(store, index, Cache(tmp_path, 10**9))

    class InMemory(np.ndarray[Any, Any]):
        blocks = index.blocks

        def expect(self, *_: int) -> None:
            """It is here."""

    here = Split(np.asarray(got.images).view(InMemory), got.labels)
    for start in (0, 4):  # in the middle, as after a kill
        pairs = zip(*(batches.labelled(one, vary.standard, 16, 7, start).take(12) for one in (got, here)), strict=True)
        for ours, theirs in pairs:
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_the_cache_holds_no_more_than_its_limit_and_all_rows_are_still_read(
    store: Store, index: Index, rows: Split, tmp_path: Path
) -> None:
    one = index.shards[0].bytes_
    got = streamed.split(store, index, Cache(tmp_path, 3 * one))
    for step in range(30):
        got.images.expect(step, 16, 0)  # type: ignore[attr-defined]
        got.images[batches.blocks.rows_of(step, index.blocks, 16, 0)]
    held = [path.stat().st_size for path in tmp_path.glob("[0-9a-f]*")]
    assert sum(held) <= 3 * one + max(index.labels.bytes_, one)
    np.testing.assert_array_equal(np.sort(np.asarray(got.images).ravel()), np.sort(rows.images.ravel()))
    assert not list(tmp_path.glob(".*.part"))


def test_a_warm_cache_needs_no_store_and_a_damaged_file_is_fetched_again(
    store: Store, bucket: Bucket, index: Index, tmp_path: Path, objects: Callable[..., Any]
) -> None:
    before = np.asarray(streamed.split(store, index, Cache(tmp_path, 10**9)).images)
    damaged, whole = tmp_path / index.shards[0].sha256, (tmp_path / index.shards[0].sha256).read_bytes()
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    np.testing.assert_array_equal(streamed.split(store, index, Cache(tmp_path, 10**9)).images[:], before)
    assert damaged.read_bytes() == whole
    for one in index.shards:
        objects("delete_object", one.key)
    try:
        np.testing.assert_array_equal(streamed.split(store, index, Cache(tmp_path, 10**9)).images[:], before)
        with pytest.raises(BadInput, match="is not in bucket"):
            streamed.split(store, index, Cache(tmp_path / "empty", 10**9)).images[0]
    finally:
        for one in index.shards:
            bucket.upload(one.key, tmp_path / one.sha256, one.sha256)


def test_altered_bytes_in_the_store_are_never_learned_from(
    store: Store, index: Index, tmp_path: Path, objects: Callable[..., Any]
) -> None:
    key = index.shards[2].key
    whole = objects("get_object", key)["Body"].read()
    objects("put_object", key, Body=whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(BadInput, match="altered"):
            np.asarray(streamed.split(store, index, Cache(tmp_path, 10**9)).images)
        assert index.shards[2].sha256 not in {path.name for path in tmp_path.iterdir()}
    finally:
        objects("put_object", key, Body=whole)


def test_an_index_that_is_none_is_named(bucket: Bucket, objects: Callable[..., Any]) -> None:
    key = shards.key_of("damaged", "source", "train")
    objects("put_object", key, Body=b'{"shape": [8, 8]}')
    with pytest.raises(BadInput, match="is no index of shards"):
        shards.find(bucket, key)
