"""Folders that travel by name: cut into parts known by the hash of their bytes, brought to a machine once.

A worker on another machine shares nothing but the store with whoever gave it a job; it is told a name of 64 hexadecimal
digits and brings the folder here, unless an earlier job did. Who sends a folder that the store has sends nothing.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput, EnvironmentProblem
from graft.hub import sealed
from graft.hub.bucket import Bucket, Missing

PREFIX = "spread/"
PART_BYTES = 32_000_000
AT_ONCE = 4
_NAME = re.compile(r"[A-Za-z0-9_=+@-][A-Za-z0-9_.=+@-]{0,199}")
_HASH = re.compile(r"[0-9a-f]{64}")

Part = tuple[str, int]
"""SHA-256 in hex digits, and bytes."""


def send(bucket: Bucket, place: Path) -> str:
    """Put every file below a folder into the store, unless it is there; the bundle's name. Or a file, alone in its own.

    The list of parts is written last: whoever sees it finds all of them.

    Raises:
        BadInput: a file has a name that would not travel.
        EnvironmentProblem: the store does not answer.
    """
    folder, found = (place.parent, [place]) if place.is_file() else (place, sorted(place.rglob("*")))
    files = {path.relative_to(folder).as_posix(): path for path in found if path.is_file()}
    listed = {_checked(name): [_part(data) for data in _parts(path)] for name, path in files.items()}
    data = sealed.seal({"files": listed})
    name = sealed.sha256(data)
    if not _there(bucket, name, len(data)):
        every = (data for path in files.values() for data in _parts(path))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while some := list(islice(every, AT_ONCE)):  # no more in memory than these
                list(pool.map(lambda part: bucket.create(_object(_part(part)[0]), part), some))
        bucket.create(_list(name), data)
    return name


def fetch(bucket: Bucket, name: str, shelf: Path) -> Path:
    """The folder `shelf`/`name`, brought here by one process however many ask for it at once.

    Raises:
        BadInput: there is no such bundle, or a byte of it is not as it was sent.
        EnvironmentProblem: the store does not answer, or the disk is full.
    """
    if not _HASH.fullmatch(name):
        raise BadInput(f"{name!r} names no bundle; 64 hexadecimal digits do")
    folder = shelf / name
    try:
        shelf.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(shelf / f".{name}.lock"):
            if not folder.exists():
                aside = shelf / f".{name}.part"
                shutil.rmtree(aside, ignore_errors=True)
                aside.mkdir()
                _bring(bucket, name, aside)
                aside.rename(folder)
    except OSError as error:
        raise EnvironmentProblem(f"{shelf}: {error.strerror or error}; make room, or set GRAFT_CACHE") from None
    return folder


@contextmanager
def held(bucket: Bucket, names: Mapping[str, str], shelf: Path) -> Iterator[dict[str, Path]]:
    """The folders of several bundles, by the same names, which `trim` leaves alone in the block. Raises as `fetch`."""
    shelf.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as stack:
        found = {}
        for name, bundle in names.items():
            file = stack.enter_context((shelf / f".{bundle}.used").open("w"))
            fcntl.flock(file, fcntl.LOCK_SH)
            found[name] = fetch(bucket, bundle, shelf)
            os.utime(found[name])
        yield found


def trim(shelf: Path, most_bytes: int) -> list[str]:
    """Remove bundles that nobody holds, the longest unused first, until the rest has `most_bytes` or less; which."""
    folders = sorted((one for one in shelf.glob("[!.]*") if one.is_dir()), key=lambda one: one.stat().st_mtime)
    sizes = {one: sum(file.stat().st_size for file in one.rglob("*") if file.is_file()) for one in folders}
    total, gone = sum(sizes.values()), []
    for folder in folders:
        if total <= most_bytes:
            break
        with (shelf / f".{folder.name}.used").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]
            gone.append(folder.name)
    return gone


def _bring(bucket: Bucket, name: str, to: Path) -> None:
    data = bucket.read(_list(name), sealed.MAX_BYTES).data
    if sealed.sha256(data) != name:
        raise BadInput(f"{_list(name)} is altered: its content does not match its name; {sealed.REMEDY}")
    listed: dict[str, list[Any]] = sealed.unseal(data, _list(name))["files"]
    for file, parts in listed.items():
        path = to / _checked(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as opened, ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(parts), AT_ONCE):
                for part in pool.map(lambda one: _read(bucket, *one), parts[start : start + AT_ONCE]):
                    opened.write(part)


def _read(bucket: Bucket, sha256: str, n_bytes: int) -> bytes:
    if not _HASH.fullmatch(sha256) or not 0 <= n_bytes <= PART_BYTES:
        raise BadInput(f"a bundle lists a part of {n_bytes} bytes; parts have {PART_BYTES} at most")
    data = bucket.read(_object(sha256), n_bytes).data
    if sealed.sha256(data) != sha256:
        raise BadInput(f"{_object(sha256)} is altered: its content does not match its name; {sealed.REMEDY}")
    return data


def _there(bucket: Bucket, name: str, n_bytes: int) -> bool:
    try:
        return sealed.sha256(bucket.read(_list(name), n_bytes).data) == name
    except Missing:
        return False


def _checked(name: str) -> str:
    """A relative path that leads nowhere but below the folder it is joined to."""
    if not all(_NAME.fullmatch(part) for part in name.split("/")):
        raise BadInput(f"a bundle cannot hold {name[:100]!r}; letters, digits and _.=+@- make names that travel")
    return name


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(PART_BYTES):
            yield data


def _part(data: bytes) -> Part:
    return hashlib.sha256(data).hexdigest(), len(data)


def _list(name: str) -> str:
    return f"{PREFIX}bundles/{name}.json"


def _object(sha256: str) -> str:
    return f"{PREFIX}parts/{sha256}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While no other process or thread of this machine has the file; the system frees it when we die."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
