"""A release is published once, whole, and read with every byte checked."""

from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.hub import releases, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from graft.hub.pointer import Lost
from tests.hub.little_release import FILES, draft, published


def test_versions_count_up_and_hold_the_bytes(bucket: Bucket, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        held = published(bucket, tmp_path, seed)
        assert held.receipt.version == f"v{seed}"
        for name, path in draft(tmp_path, seed)[1].items():
            assert bucket.read(f"models/plants/v{seed}/{name}", 10_000).data == path.read_bytes()
    assert releases.versions(bucket, "plants") == ["v1", "v2", "v3"]
    assert releases.models(bucket) == ["plants"]


def test_version_ten_comes_after_nine(bucket: Bucket, tmp_path: Path) -> None:
    for seed in range(1, 12):
        releases.publish(bucket, *draft(tmp_path, seed))
    assert releases.versions(bucket, "plants") == [f"v{n}" for n in range(1, 12)]


def test_the_receipt_says_who_when_and_what_it_replaces(bucket: Bucket, tmp_path: Path) -> None:
    first = published(bucket, tmp_path, 1)
    assert first.receipt.replaces is None
    assert first.receipt.published.by == "ann"
    for stage in ("staging", "prod"):
        stages.promote(bucket, reference("plants@v1"), stage)
    replaces = published(bucket, tmp_path, 2).receipt.replaces
    assert replaces and (replaces.version, replaces.receipt) == ("v1", first.sha256)


def test_the_same_contents_are_published_once(bucket: Bucket, tmp_path: Path) -> None:
    first, second = published(bucket, tmp_path, 1), published(bucket, tmp_path, 2)
    assert published(bucket, tmp_path, 1).data == first.data
    assert published(bucket, tmp_path, 2).data == second.data
    assert releases.versions(bucket, "plants") == ["v1", "v2"]


def test_a_version_that_another_has_is_refused_and_nothing_is_overwritten(bucket: Bucket, tmp_path: Path) -> None:
    first = published(bucket, tmp_path, 1)
    with pytest.raises(Lost, match=r"^plants@v1 was taken by ann at .* UTC; nothing was published$"):
        releases.publish(bucket, *draft(tmp_path, 2), version="v1")
    assert releases.find(bucket, reference("plants@v1")).data == first.data
    releases.verify(bucket, first)


def test_a_file_that_changes_meanwhile_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    contents, files = draft(tmp_path, 1)
    files["model.tflite"].write_bytes(b"other")
    with pytest.raises(BadInput, match="changed while it was being published"):
        releases.publish(bucket, contents, files)
    assert bucket.keys("") == []


def test_an_attempt_that_was_left_unfinished_is_no_version_and_the_next_goes_on_with_it(
    bucket: Bucket, tmp_path: Path
) -> None:
    contents, files = draft(tmp_path, 1)
    with pytest.raises(BadInput, match="altered"):  # somebody wrote to the place of a file in between
        bucket.create("models/plants/v1/model.tflite", b"not ours")
        releases.publish(bucket, contents, files, version="v1")
    assert releases.versions(bucket, "plants") == []
    with pytest.raises(BadInput, match="no release of plants"):
        releases.find(bucket, reference("plants@v1"))
    assert releases.publish(bucket, *draft(tmp_path, 2)).receipt.version == "v2"
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key="models/plants/v1/model.tflite")
    assert releases.publish(bucket, contents, files).receipt.version == "v1"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_altered_file_is_named(bucket: Bucket, tmp_path: Path, name: str) -> None:
    held = published(bucket, tmp_path, 1)
    key, path = f"models/plants/v1/{name}", draft(tmp_path, 1)[1][name]
    raw = bucket._client
    for change in (path.read_bytes()[:-1], path.read_bytes() + b"!", b"", b"x" * path.stat().st_size):
        raw.put_object(Bucket=bucket.store.bucket, Key=key, Body=change)
        with pytest.raises(BadInput, match=f"^{key} is altered"):
            releases.verify(bucket, held)
    raw.delete_object(Bucket=bucket.store.bucket, Key=key)
    with pytest.raises(BadInput, match=f"^{key} is not in bucket"):
        releases.verify(bucket, held)


def test_a_receipt_of_another_version_in_its_place_is_found(bucket: Bucket, tmp_path: Path) -> None:
    older = published(bucket, tmp_path, 1)
    published(bucket, tmp_path, 2)
    bucket._client.put_object(Bucket=bucket.store.bucket, Key="models/plants/v2/receipt.json", Body=older.data)
    with pytest.raises(BadInput, match="^models/plants/v2/receipt.json is altered: it is the receipt of plants@v1"):
        releases.find(bucket, reference("plants@v2"))


def test_what_does_not_exist_is_answered_with_what_does(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no release of plants in bucket .*; models here: none"):
        releases.find(bucket, reference("plants@prod"))
    published(bucket, tmp_path, 1)
    with pytest.raises(BadInput, match="plants@v9 does not exist; versions of plants: v1"):
        releases.find(bucket, reference("plants@v9"))
    with pytest.raises(
        BadInput, match="nothing stands at plants@prod; stages of plants in use: candidate; versions: v1"
    ):
        releases.find(bucket, reference("plants@prod"))


def test_progress_ends_at_the_total(bucket: Bucket, tmp_path: Path) -> None:
    contents, files = draft(tmp_path, 1)
    total, seen = sum(file.bytes_ for file in contents.files.values()), []
    held = releases.publish(bucket, contents, files, progress=lambda done, of: seen.append((done, of)))
    releases.verify(bucket, held, progress=lambda done, of: seen.append((done, of)))
    assert seen.count((total, total)) == 2
