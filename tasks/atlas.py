"""The atlas of this workspace: a file for each record, which tells when it was altered; shared through the store."""

from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from graft.core import atlas as records
from graft.core.atlas import Record
from graft.core.errors import EnvironmentProblem
from graft.hub import atlas as hub
from graft.hub import releases, store
from graft.hub.bucket import Bucket
from tasks.adapters import commit
from tasks.adapters.files import written_aside
from tasks.training import LIBRARIES
from tasks.workspace import Workspace


def place(workspace: Workspace, kind: str, key: str) -> Path:
    """The file of a record."""
    return workspace.atlas / kind / f"{key}.json"


def has(workspace: Workspace, kind: str, decides: dict[str, Any]) -> bool:
    """Whether what decides so was measured already, here or by whoever shares the store."""
    return place(workspace, kind, records.key(kind, decides)).exists()


def find(workspace: Workspace, kind: str, decides: dict[str, Any]) -> Record | None:
    """The record of what decides so, if there is one. Raises BadInput if it was altered."""
    path = place(workspace, kind, records.key(kind, decides))
    return _read(path) if path.exists() else None


def keep(workspace: Workspace, record: Record) -> None:
    """Write a record, unless it stands."""
    _write(place(workspace, record.kind, record.key), hub.spelt(record))


def read(workspace: Workspace) -> list[Record]:
    """Every record, by kind and key.

    Raises:
        BadInput: a file was altered.
    """
    return [_read(path) for path in sorted(workspace.atlas.glob("*/*.json"))]


def made(workspace: Workspace) -> dict[str, Any]:
    """Who measures, when, from which commit and with which versions."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": releases.who(),
        **commit.at_hand(workspace.root),
        "versions": {name: version(name) for name in ("graft", *LIBRARIES)},
    }


def exchange(workspace: Workspace) -> str:
    """Bring what the store has and send what it lacks; what came of it, in a line."""
    found = store.from_environment()
    if found is None:
        return "no store is named, so the atlas stays here; graft up starts one"
    try:
        with closing(Bucket(found)) as bucket:
            there = hub.listed(bucket)
            mine = {path.stem: path for path in workspace.atlas.glob("*/*.json")}
            lacking = {key: name for key, name in there.items() if key not in mine}
            hub.fetch(bucket, lacking, lambda one, data: _write(place(workspace, one.kind, one.key), data))
            unsent = [(path.parent.name, key, path.read_bytes()) for key, path in mine.items() if key not in there]
            sent = hub.send(bucket, unsent)
    except EnvironmentProblem as problem:
        return f"the atlas stays here for now: {problem}"
    return f"the store's atlas: {len(lacking)} records came, {sent} went"


def _read(path: Path) -> Record:
    return hub.read(path.read_bytes(), f"{path.parent.name}/{path.name} in {path.parents[1]}", path.stem)


def _write(path: Path, data: bytes) -> None:
    if not path.exists():
        with written_aside(path) as aside:
            aside.write_bytes(data)
