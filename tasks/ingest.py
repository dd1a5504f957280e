"""ingest: both domains as they came, packed into shards, and the manifest that says what is where."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

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


def ingest(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Fetch the pictures of both domains; write their shards and the manifest.

    Nothing is decoded: headers are read, and a picture that has a `problem` is kept and listed. Refusing is the data
    gate's part.

    Raises:
        BadInput: an origin has nothing usable, or a name is unsafe.
        EnvironmentProblem: a registry or store is unavailable.
    """
    seen = fingerprints(choices)
    rows: list[Row] = []
    for role in ROLES:
        rows += _materialise(role, workspace, settings, choices)
    manifest.write(workspace.manifest, rows)
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


def _materialise(role: str, workspace: Workspace, settings: Settings, choices: Choices) -> list[Row]:
    domain = settings.data.source if role == "source" else settings.data.target
    spec = choices.modality.module.spec(choices.modality.options)
    with (
        console.progress(f"ingest {domain.name}") as progress,
        files.folder_aside(workspace.raw(role)) as folder,
    ):
        request = Request(domain.name, settings.seed, spec.size_px, cache_folder(), progress, role)
        rows = _pack(role, folder, _pictures(choices, request), choices.modality)
        if not rows:
            raise BadInput(f"data.{role}.origin: 0 pictures from {choices.origin(role).name}")
        return splits.assign(rows, settings.data.split, settings.seed)


def _pictures(choices: Choices, request: Request) -> Iterator[Picture]:
    """Those of the origin, then those of the inbox."""
    origin, inbox = choices.origin(request.role), choices.inbox(request.role)
    yield from origin.module.fetch(origin.options, request)
    if inbox:
        for picture in inbox.module.fetch(inbox.options, request):
            yield picture._replace(path=f"{INBOX}/{picture.path}")


def _pack(role: str, folder: Path, pictures: Iterable[Picture], modality: Plugin) -> list[Row]:
    rows: list[Row] = []
    paths: set[str] = set()
    with ShardWriter(folder) as shards:
        for picture in pictures:
            _check(role, picture, paths)
            paths.add(picture.path)
            facts = modality.module.peek(picture.data)
            place = shards.add(picture.path, picture.data)
            row = Row(
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
            rows.append(row)
    return rows


def _md5(path: Path) -> str:
    """What DVC will know the file by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check(role: str, picture: Picture, taken: set[str]) -> None:
    where = f"data.{role}.origin: {picture.path[:200]!r}"
    if not names.is_safe(picture.path):
        raise BadInput(f"{where} is not a safe relative path")
    if picture.path in taken:
        raise BadInput(f"{where} comes twice")
    if picture.split not in ("", *SPLITS):
        raise BadInput(f"{where} asks for split {one_line(picture.split, 40)!r}; splits: {', '.join(SPLITS)}")


if __name__ == "__main__":
    stage.main("ingest", ingest)
