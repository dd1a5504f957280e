"""Anybody's pictures: `root/<class>/**/*.jpg|png`, one folder per class, or a table that names files and labels."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, one_line
from graft.core.names import is_safe, to_path
from tasks.origins._folder import labels
from tasks.origins._folder.listing import Entry, class_folders
from tasks.origins._folder.reading import read

ON_THIS_MACHINE = True
"""Other machines do not have what the options name."""
MAX_FILE_BYTES = 32_000_000
MAX_MANIFEST_BYTES = 256_000_000


class Options(BaseModel):
    """Where the pictures are, and what says which class they are of."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    root: str = Field(
        min_length=1, max_length=4096, description="Folder that holds one folder per class, or the table."
    )
    manifest: str | None = Field(
        None,
        description="CSV or parquet file below root, with columns path and label, and split and group if wanted; "
        "none: the class folders say it. Pictures of one group never straddle splits.",
    )

    @field_validator("manifest")
    @classmethod
    def _below_root(cls, value: str | None) -> str | None:
        if value is not None and not is_safe(value):
            raise ValueError("should be a file's path relative to root, and below it")
        return value


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Every picture of the class folders in name order, or of the manifest in its order.

    What is no picture by name, is hidden, or is named by no row of the manifest is left out. What must not be read (a
    link, a pipe, a device, a file too large) or cannot be is a Picture without data and with a `problem`.

    Raises:
        BadInput: `root`, a class or the manifest cannot be used.
    """
    root = _root(options)
    total = sum(1 for _ in _entries(options, root))  # listed twice rather than kept: memory holds one class
    for done, entry in enumerate(_entries(options, root), start=1):
        data, problem = (b"", entry.problem) if entry.problem else read(root, entry.name, MAX_FILE_BYTES)
        path = to_path(entry.name)
        yield Picture(path, entry.label, data, entry.group, entry.split, unit=entry.group, problem=problem)
        request.progress(done, total)


def fingerprint(options: Options) -> str:
    """Changes when a picture or the manifest is added, removed or written to."""
    root = _root(options)
    digest = hashlib.sha256(_manifest(options, root))
    for entry in _entries(options, root):
        try:
            status = os.lstat(root / entry.name)
            state = f"{status.st_mode} {status.st_size} {status.st_mtime_ns}"
        except OSError as error:
            state = str(error.errno)
        digest.update(os.fsencode(f"{entry.name}\0{state}\n"))
    return digest.hexdigest()


def _root(options: Options) -> Path:
    root = Path(options.root).expanduser()
    if not root.is_dir():
        raise BadInput(one_line(f"origin folder: root {options.root!r} is no folder; it should hold the pictures"))
    return root


def _entries(options: Options, root: Path) -> Iterable[Entry]:
    if options.manifest is None:
        return class_folders(root)
    return labels.entries(root, options.manifest, _manifest(options, root))


def _manifest(options: Options, root: Path) -> bytes:
    """The bytes of the manifest; b"" if there is to be none."""
    if options.manifest is None:
        return b""
    data, problem = read(root, options.manifest, MAX_MANIFEST_BYTES)
    if problem:
        raise BadInput(one_line(f"origin folder: manifest {options.manifest!r}: {problem.partition(': ')[2]}"))
    return data
