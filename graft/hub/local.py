"""The store that `graft up` keeps in a workspace: found by two files that its owner alone can have written."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line

FOLDER = Path(".graft") / "store"
PROFILE = "graft"
REGION = "us-east-1"


@dataclass(frozen=True)
class Connection:
    """How the workspace's own store is reached.

    Attributes:
        endpoint: base URL.
        bucket: its one bucket.
        region: what requests are signed for.
        profile: whose key, of those in the file `credentials`.
        credentials: an AWS shared credentials file.
    """

    endpoint: str
    bucket: str
    region: str
    profile: str
    credentials: Path


def connection_file(folder: Path) -> Path:
    """Where `graft up` says how the store in `folder` is reached."""
    return folder / "store.json"


def credentials_file(folder: Path) -> Path:
    """The keys to the store in `folder`, in AWS's shared-credentials format; nobody else may read it."""
    return folder / "credentials"


def find(start: Path | None = None) -> Connection | None:
    """The store of the workspace around `start` (the current folder), up or down; None if none was ever started.

    Raises:
        EnvironmentProblem: the files belong to somebody else, are readable by others, or are damaged.
    """
    start = (start or Path.cwd()).resolve()
    for root in (start, *start.parents):
        if (root / "params.yaml").exists() and (root / "dvc.yaml").exists():
            return read(root / FOLDER)
    return None


def read(folder: Path) -> Connection | None:
    """The connection to the store in `folder`; see `find`."""
    file, credentials = connection_file(folder), credentials_file(folder)
    if not file.exists():
        return None
    for path in (folder, file, credentials):
        _refuse_unless_private(path, secret=path == credentials)
    try:
        said: dict[str, Any] = json.loads(file.read_bytes())
        endpoint, bucket, region, profile = (str(said[name]) for name in ("endpoint", "bucket", "region", "profile"))
    except (ValueError, KeyError, TypeError):
        raise EnvironmentProblem(f"{file} is damaged; type: graft up") from None
    return Connection(endpoint, bucket, region, profile, credentials)


def _refuse_unless_private(path: Path, secret: bool) -> None:
    try:
        state = path.stat()
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {one_line(error.strerror or '')}; type: graft up") from None
    if state.st_uid != os.geteuid():
        raise EnvironmentProblem(f"{path} belongs to another user and is not trusted; set GRAFT_BUCKET, or remove it")
    if not secret and state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EnvironmentProblem(f"{path} can be written by others and is not trusted; type: chmod go-w {path}")
    if secret and state.st_mode & 0o077:
        raise EnvironmentProblem(f"{path} can be read by others; type: chmod 600 {path}")
