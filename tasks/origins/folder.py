"""Anybody's pictures: `root/<class>/*.jpg|png`, one folder per class."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, one_line

SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_FILE_BYTES = 32_000_000


class Options(BaseModel):
    """Where the class folders are."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    root: str = Field(min_length=1, max_length=4096, description="folder that holds one folder per class")


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Every picture below `root`, class by class in name order. Files that are no JPEG or PNG by name are left out.

    Raises:
        BadInput: `root` or a class has nothing usable, or a link or special file lies in the way.
    """
    classes = _classes(options)
    listed = [(folder.name, file) for folder in classes for file in _pictures(folder)]
    for done, (label, file) in enumerate(listed, start=1):
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"{_shown(file)} has {file.stat().st_size} bytes; at most {MAX_FILE_BYTES} are taken")
        yield Picture(f"{label}/{file.name}", label, file.read_bytes(), "", False)
        request.progress(done, len(listed))


def fingerprint(options: Options) -> str:
    """Changes when a picture is added, removed or written to."""
    digest = hashlib.sha256()
    for folder in _classes(options):
        for file in _pictures(folder):
            status = file.stat()
            digest.update(f"{folder.name}/{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _classes(options: Options) -> list[Path]:
    root = Path(options.root).expanduser()
    if not root.is_dir():
        raise BadInput(f"origin folder: root {options.root!r} is no folder; it should hold one folder per class")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    _refuse_undecodable(folders)
    if len(folders) < 2:
        found = ", ".join(_shown(folder) for folder in folders) or "none"
        raise BadInput(f"origin folder: {options.root!r} needs at least 2 class folders; found {found}")
    return folders


def _pictures(folder: Path) -> list[Path]:
    if folder.is_symlink():
        raise BadInput(f"origin folder: {_shown(folder)} is a symbolic link; copy the pictures instead")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    _refuse_undecodable(files)
    for file in files:
        if file.is_symlink() or not file.is_file():
            raise BadInput(f"origin folder: {_shown(file)} is no regular file; links and devices are refused")
    if not files:
        raise BadInput(f"origin folder: class {_shown(folder)} is empty: no {', '.join(SUFFIXES)} in it")
    return files


def _refuse_undecodable(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise BadInput(f"origin folder: the name {_shown(path)} is not UTF-8; rename it") from None


def _shown(path: Path) -> str:
    return one_line(str(path))
