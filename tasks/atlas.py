"""The atlas of this workspace: a file for each record, which tells when it was altered; shared through the store."""

from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import graft
from graft.core import atlas as records
from graft.core.atlas import Record
from graft.core.errors import EnvironmentProblem
from graft.hub import atlas as hub
from graft.hub import releases, sealed, store
from graft.hub.bucket import Bucket
from tasks.adapters import commit, files
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
    path = place(workspace, record.kind, record.key)
    if not path.exists():
        _write(path, hub.spelt(record))


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
        "versions": {"graft": graft.__version__} | {name: version(name) for name in LIBRARIES},
    }


def exchange(workspace: Workspace) -> str:
    """Bring what the store has and send what it lacks; what came of it, in a line.

    Where somebody else was first with a record, theirs takes the place of the one here.
    """
    found = store.from_environment()
    if found is None:
        return "no store is named, so the atlas stays here; graft up starts one"
    shared = workspace.atlas / f"shared-{sealed.sha256(f'{found.endpoint} {found.bucket}'.encode())[:12]}.json"
    same = set(files.read_json(shared)) if shared.exists() else set()
    try:
        with closing(Bucket(found)) as bucket:
            there = hub.listed(bucket)
            mine = {path.stem: path for path in workspace.atlas.glob("*/*.json")}
            unsent = [(path.parent.name, key, path.read_bytes()) for key, path in mine.items() if key not in there]
            late = hub.send(bucket, unsent)
            there |= hub.listed(bucket) if late else {}
            coming = {key: name for key, name in there.items() if key not in mine or key not in same}
            hub.fetch(bucket, coming, lambda one, data: _write(place(workspace, one.kind, one.key), data))
    except EnvironmentProblem as problem:
        return f"the atlas stays here for now: {problem}"
    files.write_json(shared, sorted({*there, *(key for _, key, _ in unsent)}))
    return f"the store's atlas: {len(coming)} records came, {len(unsent) - len(late)} went"


def _read(path: Path) -> Record:
    return hub.read(path.read_bytes(), f"{path.parent.name}/{path.name} in {path.parents[1]}", path.stem)


def _write(path: Path, data: bytes) -> None:
    with written_aside(path) as aside:
        aside.write_bytes(data)
