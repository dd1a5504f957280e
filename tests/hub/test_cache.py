"""The cache on this machine: filled once however many ask, whole or empty, and checked each time it is opened."""

import os
from collections import Counter
from pathlib import Path

import pytest

from graft.core.errors import BadInput, EnvironmentProblem
from graft.hub import cache, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from tests.hub import child
from tests.hub.little_release import FILES, draft, published
from tests.relay import relay

PROCESSES = 16
V1 = reference("plants@v1")


@pytest.fixture(autouse=True)
def at_prod(bucket: Bucket, tmp_path: Path) -> None:
    """plants@v1 stands at prod, v2 waits at staging."""
    for seed in (1, 2):
        version = published(bucket, tmp_path, seed).receipt.version
        for stage in ("staging", "prod") if seed == 1 else ("staging",):
            stages.promote(bucket, reference(f"plants@{version}"), stage)


def check_whole(folder: Path, drafts: Path, seed: int = 1) -> None:
    files = draft(drafts, seed)[1]
    assert {path.name for path in folder.iterdir()} == {*files, "receipt.json"}
    assert all((folder / name).read_bytes() == path.read_bytes() for name, path in files.items())


def nothing_half_written(folder: Path) -> bool:
    return not list(folder.rglob("*.part")) and not list(folder.glob("cache/releases/*/models/*/v*"))


def test_sixteen_processes_pull_at_once_and_each_file_is_downloaded_once(bucket: Bucket, tmp_path: Path) -> None:
    with relay(bucket.store.endpoint) as between:
        command = ("graft", "pull", "plants@prod", "-o", "pulled")
        children = [child.start(tmp_path, *command, AWS_ENDPOINT_URL_S3=between.endpoint) for _ in range(PROCESSES)]
        said = {one.end().done() for one in children}
        gets = Counter(between.gets())
    assert said == {f"plants@v1 is in {tmp_path / 'pulled'}\n"}
    assert [gets[f"models/plants/v1/{name}"] for name in FILES] == [1, 1]
    check_whole(tmp_path / "pulled", tmp_path)
    (cached,) = (tmp_path / "cache").glob("releases/*/models/plants/v*")
    check_whole(cached, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_version_that_is_here_needs_no_store_and_a_stage_says_what_it_was(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(bucket.store.endpoint) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        first = cache.pull(reference("plants@prod"))
        between.asked.clear()
        assert cache.pull(V1) == first
        assert between.asked == []
        between.busy = lambda told: True
        again = cache.pull(reference("plants@prod"))
        assert again.folder == first.folder
        assert again.warning.endswith("plants@prod was v1 when it was last asked")
        monkeypatch.setenv("GRAFT_OFFLINE", "1")
        between.asked.clear()
        assert cache.pull(reference("plants@prod")).warning.startswith("GRAFT_OFFLINE is set; ")
        with pytest.raises(BadInput, match="plants@v2 is not on this machine, and GRAFT_OFFLINE is set"):
            cache.pull(reference("plants@v2"))
        assert between.asked == []


@pytest.mark.parametrize("harm", ["altered", "emptied", "removed", "linked", "receipt", "receipt removed"])
def test_a_damaged_copy_is_fetched_again_and_never_used(bucket: Bucket, tmp_path: Path, harm: str) -> None:
    folder = cache.pull(V1).folder
    path = folder / ("receipt.json" if harm.startswith("receipt") else "model.tflite")
    if harm in ("removed", "receipt removed", "linked"):
        path.unlink()
    if harm == "linked":
        path.symlink_to(draft(tmp_path, 1)[1]["model.tflite"])
    if harm in ("altered", "receipt"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    if harm == "emptied":
        path.write_bytes(b"")
    with pytest.raises(BadInput, match=r"missing|altered"):
        cache.open_folder(folder)
    again = cache.pull(V1)
    assert again.folder == folder
    check_whole(folder, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_store_that_was_set_back_is_noticed(bucket: Bucket, tmp_path: Path) -> None:
    first = bucket.read("stages/plants/prod.json", 10**5).data
    stages.promote(bucket, reference("plants@v2"), "prod")
    assert cache.pull(reference("plants@prod")).receipt.version == "v2"
    bucket._client.put_object(Bucket=bucket.store.bucket, Key="stages/plants/prod.json", Body=first)
    bucket._client.delete_object(Bucket=bucket.store.bucket, Key="history/plants/prod/000002.json")
    with pytest.raises(BadInput, match="plants@prod is at move 1 and was at move 2 .*: the store was set back"):
        cache.pull(reference("plants@prod"))


def test_a_folder_gets_a_release_as_a_whole_or_stays_what_it_was(bucket: Bucket, tmp_path: Path) -> None:
    pulled, other = cache.pull(V1), cache.pull(reference("plants@v2"))
    to = tmp_path / "model"
    for one, seed in ((pulled, 1), (other, 2), (other, 2)):
        assert cache.copy(one, to) == to
        check_whole(to, tmp_path, seed)
    (to / "model.tflite").write_bytes(b"x")
    cache.copy(other, to)
    check_whole(to, tmp_path, 2)
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "thesis.txt").write_text("the only copy")
    file.write_text("x")
    for taken in (full, file):
        with pytest.raises(BadInput, match="holds something that is no release; name a new folder with -o"):
            cache.copy(pulled, taken)
    assert [path.name for path in full.iterdir()] == ["thesis.txt"]


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing_half_written(bucket: Bucket, tmp_path: Path) -> None:
    line = child.run(tmp_path, "small", "pull", "plants@v1").line(3)
    assert "File too large; make room, or set GRAFT_CACHE" in line and str(tmp_path / "cache") in line
    assert nothing_half_written(tmp_path)
    child.run(tmp_path, "graft", "pull", "plants@v1").done()
    line = child.run(tmp_path, "small", "pull", "plants@v1", "-o", "pulled").line(3)
    assert line.startswith(f"{tmp_path}/.pulled.")
    assert line.endswith("model.tflite: File too large; make room, or name another folder with -o")
    assert not (tmp_path / "pulled").exists() and not list(tmp_path.rglob("*.part"))
    child.run(tmp_path, "graft", "pull", "plants@v1", "-o", "pulled").done()
    check_whole(tmp_path / "pulled", tmp_path)


def test_a_cache_that_cannot_be_written_is_named(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "file" / "cache"))
    for wanted in ("plants@v1", "plants@prod"):
        with pytest.raises(EnvironmentProblem, match="file.*Not a directory; make room, or set GRAFT_CACHE"):
            cache.pull(reference(wanted))
    if os.geteuid():  # nothing is forbidden to root
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        monkeypatch.setenv("GRAFT_CACHE", str(locked / "cache"))
        with pytest.raises(EnvironmentProblem, match="Permission denied; make room, or set GRAFT_CACHE"):
            cache.pull(V1)


def test_a_full_disk_does_not_matter_to_what_is_here(bucket: Bucket, tmp_path: Path) -> None:
    child.run(tmp_path, "graft", "pull", "plants@prod").done()
    for wanted in ("plants@v1", "plants@prod"):
        assert "plants@v1 is in" in child.run(tmp_path, "small", "pull", wanted).done()
