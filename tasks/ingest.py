"""ingest: both domains as they came, packed into shards, and the manifest that says what is where."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from graft.core import names
from graft.core.dataset import SPLITS, Picture, Request
from graft.core.errors import BadInput, one_line
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import splits, stage
from tasks.adapters import console, files, manifest
from tasks.adapters.manifest import Row
from tasks.adapters.shards import ShardWriter
from tasks.choices import INBOX, Choices
from tasks.workspace import ROLES, Workspace

SCRATCH = "ingest-"
RECENT = 20_000
"""Paths that are kept as they are, to be compared with the next one."""


def ingest(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Fetch the pictures of both domains; write their shards and the manifest.

    Rows wait in a file until their domain's splits are known: memory holds some of them, and some 60 bytes of each.
    Nothing is decoded: headers are read, and a picture that has a `problem` is kept and listed. Refusing is the data
    gate's part.

    Raises:
        BadInput: an origin has nothing usable, or a name is unsafe.
        EnvironmentProblem: a registry or store is unavailable.
    """
    seen = fingerprints(choices)
    workspace.private.mkdir(exist_ok=True)
    for left in workspace.private.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=workspace.private, prefix=SCRATCH) as scratch:
        rows = [_materialise(role, workspace, settings, choices, Path(scratch)) for role in ROLES]
        manifest.write(workspace.manifest, chain.from_iterable(rows))
    files.write_json(workspace.origins_record, seen | {"manifest": _md5(workspace.manifest)})


def fingerprint(origin: Plugin) -> str:
    """What tells one state of an origin from the next; "" for those that only depend on the settings."""
    tell = getattr(origin.module, "fingerprint", None)
    return str(tell(origin.options)) if tell else ""


def fingerprints(choices: Choices) -> dict[str, str]:
    """By role, what tells one state of its origin and inbox from the next; one look at each."""
    both = {role: (choices.origin(role), choices.inbox(role)) for role in ROLES}
    return {role: " ".join(filter(None, (fingerprint(one) for one in found if one))) for role, found in both.items()}


def cache_folder() -> Path:
    """Where downloads are kept, outside the clone: `GRAFT_CACHE`, or `graft` in the user's cache folder."""
    if named := os.environ.get("GRAFT_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "graft"


def _materialise(role: str, workspace: Workspace, settings: Settings, choices: Choices, scratch: Path) -> Iterator[Row]:
    """Pack a domain; its rows with their splits, read back from a file in `scratch` when they are asked for."""
    domain = settings.data.source if role == "source" else settings.data.target
    spec = choices.modality.module.spec(choices.modality.options)
    with (
        console.progress(f"ingest {domain.name}") as progress,
        files.folder_aside(workspace.raw(role)) as folder,
    ):
        request = Request(domain.name, settings.seed, spec.size_px, cache_folder(), progress, role)
        draw, waiting = splits.Draw(settings.seed), scratch / f"{role}.parquet"
        packed = _pack(role, folder, _pictures(choices, request), choices.modality)
        if not manifest.write(waiting, _told(packed, draw)):
            raise BadInput(f"data.{role}.origin: 0 pictures from {choices.origin(role).name}")
    drawn = draw.splits(settings.data.split)
    return (replace(row, split=split) for row, split in zip(manifest.stream(waiting), drawn, strict=True))


def _told(rows: Iterable[Row], draw: splits.Draw) -> Iterator[Row]:
    for row in rows:
        draw.add(row)
        yield row


def _pictures(choices: Choices, request: Request) -> Iterator[Picture]:
    """Those of the origin, then those of the inbox."""
    origin, inbox = choices.origin(request.role), choices.inbox(request.role)
    yield from origin.module.fetch(origin.options, request)
    if inbox:
        for picture in inbox.module.fetch(inbox.options, request):
            yield picture._replace(path=f"{INBOX}/{picture.path}")


def _pack(role: str, folder: Path, pictures: Iterable[Picture], modality: Plugin) -> Iterator[Row]:
    paths = _Paths()
    with ShardWriter(folder) as shards:
        for picture in pictures:
            _check(role, picture)
            if again := paths.add(picture.path):
                raise BadInput(f"data.{role}.origin: {again[:200]!r} comes twice")
            facts = modality.module.peek(picture.data)
            place = shards.add(picture.path, picture.data)
            yield Row(
                domain=role,
                path=picture.path,
                sha256=hashlib.sha256(picture.data).hexdigest(),
                label=picture.label,
                split=picture.split,
                width=facts.width,
                height=facts.height,
                mode=facts.mode,
                format=facts.format,
                bytes=len(picture.data),
                group=picture.group,
                unit=picture.unit,
                shard=place.shard,
                offset=place.offset,
                problem=picture.problem or facts.problem,
                etag=picture.etag,
                version=picture.version,
            )
        if again := paths.look_back():
            raise BadInput(f"data.{role}.origin: {again[:200]!r} comes twice")


class _Paths:
    """Which paths have come: the last ones as they are, those before them as 16 bytes each."""

    def __init__(self) -> None:
        self._recent: dict[bytes, str] = {}
        self._before = np.empty(0, "S16")

    def add(self, path: str) -> str:
        """`path` if it is among the last; now and then one that had come long before; else ""."""
        key = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key in self._recent:
            return path
        self._recent[key] = path
        return self.look_back() if len(self._recent) >= RECENT else ""

    def look_back(self) -> str:
        """One of the last paths that had come long before; "" if there is none, and then they are long before, too."""
        keys = np.array(list(self._recent), "S16")
        at = np.searchsorted(self._before, keys)
        known = np.append(self._before, b"")[at] == keys
        if known.any():
            return list(self._recent.values())[int(known.argmax())]
        order = np.argsort(keys)
        self._before = np.insert(self._before, at[order], keys[order])
        self._recent.clear()
        return ""


def _md5(path: Path) -> str:
    """What DVC will know the file by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check(role: str, picture: Picture) -> None:
    where = f"data.{role}.origin: {picture.path[:200]!r}"
    if not names.is_safe(picture.path):
        raise BadInput(f"{where} is not a safe relative path")
    if picture.split not in ("", *SPLITS):
        raise BadInput(f"{where} asks for split {one_line(picture.split, 40)!r}; splits: {', '.join(SPLITS)}")


if __name__ == "__main__":
    stage.main("ingest", ingest)
