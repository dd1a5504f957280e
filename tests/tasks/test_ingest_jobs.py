"""Pictures of a bucket fetched in jobs: ingest asks for none of them again, and makes what it makes without."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.core import settings as settings_file
from graft.core.sections import Settings
from graft.hub import bundles
from graft.hub.bucket import Bucket
from tasks import ingest, ingest_jobs, jobs, works
from tasks.choices import Choices
from tasks.ingest_jobs import FETCHED, PART
from tasks.jobs import Due
from tasks.workspace import ROLES, Workspace
from tests.hub import little_release
from tests.origins.test_s3 import small, upload
from tests.relay import Relay, relay
from tests.store import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def watched(credentials: None, s3: Server) -> Iterator[Relay]:
    with relay(s3.endpoint) as running:
        yield running


@pytest.fixture
def bucket(watched: Relay, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A new bucket with pictures of both domains, and a cache of one's own."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", watched.endpoint)
    name = f"ingest-{abs(hash(tmp_path)) % 10**9}"
    for opened in little_release.opened(name, monkeypatch, watched.endpoint):
        for role in ROLES:
            upload(s3, small(role, 12), name)
        yield opened


@pytest.fixture
def asked(bucket: Bucket, tmp_path: Path) -> tuple[Workspace, Settings]:
    """Settings whose target alone lies in the bucket, and an inbox that nobody has sent anything to."""
    workspace = Workspace(tmp_path / "clone")
    workspace.root.mkdir()
    shutil.copy(ROOT / "params.yaml", workspace.params)
    values = ["data.target.origin={name: s3, uri: 's3:///target'}", "data.source.origin={name: shapes}"]
    settings_file.set_values(workspace.params, [*values, "data.modality={name: image, size_px: 16}"], Choices.of)
    return workspace, settings_file.load(workspace.params)


def every(bucket: Bucket, parts: list[ingest_jobs.Part]) -> list[Due]:
    return list(ingest_jobs.due(parts, lambda path: bundles.send(bucket, path)))


def packed(workspace: Workspace, settings: Settings) -> dict[str, bytes]:
    """All that ingest makes."""
    ingest.ingest(workspace, settings, Choices.of(settings))
    files = [path for path in (workspace.root / "data").rglob("*") if path.is_file()]
    return {str(path.relative_to(workspace.root)): path.read_bytes() for path in files}


def test_what_was_fetched_in_jobs_is_not_asked_for_again(
    asked: tuple[Workspace, Settings], bucket: Bucket, watched: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, settings = asked
    parts = ingest_jobs.wanted(workspace, settings)
    (one,) = every(bucket, parts)
    assert one.job.work == "fetch" and one.job.label.endswith(": fetch 12 pictures") and one.last == FETCHED
    assert json.dumps(one.job.said) and "target" not in json.dumps(one.job.reads)

    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "elsewhere"))
    watched.gets()
    jobs.do(one.job, works.WORK[one.job.work])
    there = [key for key in watched.gets() if key.startswith("target/")]
    assert len(there) == 12
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    assert jobs.collect(bucket, one.job, one.into, one.last)
    assert every(bucket, parts) == [] and not any(part.folder.exists() for part in parts)
    assert ingest_jobs.wanted(workspace, settings) == [] and not list(workspace.ahead("ingest").iterdir())

    watched.gets()
    ours = packed(workspace, settings)
    assert not [key for key in watched.gets() if key.startswith("target/")]
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "a third"))
    assert packed(workspace, settings) == ours
    assert len([key for key in watched.gets() if key.startswith("target/")]) == 12


def test_what_an_earlier_run_left_is_taken_up_or_removed(asked: tuple[Workspace, Settings], bucket: Bucket) -> None:
    workspace, settings = asked
    (one,) = every(bucket, ingest_jobs.wanted(workspace, settings))
    jobs.do(one.job, works.WORK[one.job.work])
    assert jobs.collect(bucket, one.job, one.into, one.last)
    other = workspace.ahead("ingest") / "of other parts"
    other.mkdir()
    (other / PART).write_text("[]")
    again = ingest_jobs.wanted(workspace, settings)  # the command was killed before it kept what had come
    assert [part.folder for part in again] == [one.into] and not other.exists()
    assert every(bucket, again) == [] and ingest_jobs.wanted(workspace, settings) == []
