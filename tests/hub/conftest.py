"""A bucket of one's own on the shared server, named by the environment, and a cache of one's own."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graft.hub.bucket import Bucket
from tests.hub import little_release


@pytest.fixture
def bucket(credentials: None, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A new, empty bucket."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAFT_USER", "ann")
    yield from little_release.opened(f"t-{uuid.uuid4().hex[:12]}", monkeypatch, s3.endpoint)
