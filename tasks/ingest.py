"""ingest: both domains as they came, packed into shards, and the manifest that says what is where."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput
from graft.core.plugins import Plugin
from graft.core.settings import Settings, SplitShares
from tasks import stage
from tasks.adapters import console, files, manifest
from tasks.adapters.manifest import Row
from tasks.adapters.shards import ShardWriter
from tasks.choices import Choices
from tasks.workspace import ROLES, Workspace

MAX_PATH = 1024


def ingest(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Fetch the pictures of both domains; write their shards and the manifest.

    A picture that does not decode is kept and its `problem` listed: refusing it is the data gate's part.

    Raises:
        BadInput: an origin has nothing usable, or a name is unsafe.
        EnvironmentProblem: a registry or store is unavailable.
    """
    seen = {role: fingerprint(choices.origin(role)) for role in ROLES}
    rows: list[Row] = []
    for role in ROLES:
        rows += _materialise(role, workspace, settings, choices)
    manifest.write(workspace.manifest, rows)
    files.write_json(workspace.origins_record, seen)


def fingerprint(origin: Plugin) -> str:
    """What tells one state of an origin from the next; "" for those that only depend on the settings."""
    tell = getattr(origin.module, "fingerprint", None)
    return str(tell(origin.options)) if tell else ""


def cache_folder() -> Path:
    """Where downloads are kept, outside the clone: `GRAFT_CACHE`, or `graft` in the user's cache folder."""
    if named := os.environ.get("GRAFT_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "graft"


def _materialise(role: str, workspace: Workspace, settings: Settings, choices: Choices) -> list[Row]:
    domain = settings.data.source if role == "source" else settings.data.target
    origin = choices.origin(role)
    spec = choices.modality.module.spec(choices.modality.options)
    with (
        console.progress(f"ingest {domain.name}") as progress,
        files.folder_aside(workspace.raw(role)) as folder,
    ):
        request = Request(domain.name, settings.seed, spec.size_px, cache_folder(), progress, role)
        rows = _pack(role, folder, origin.module.fetch(origin.options, request), choices.modality)
        if not rows:
            raise BadInput(f"data.{role}.origin: 0 pictures from {origin.name}")
        return assign_splits(rows, settings.data.split, settings.seed)


def _pack(role: str, folder: Path, pictures: Iterable[Picture], modality: Plugin) -> list[tuple[Row, bool]]:
    rows: list[tuple[Row, bool]] = []
    paths: set[str] = set()
    with ShardWriter(folder) as shards:
        for picture in pictures:
            _check_path(role, picture.path, paths)
            paths.add(picture.path)
            facts = modality.module.inspect(picture.data)
            place = shards.add(picture.path, picture.data)
            row = Row(
                domain=role,
                path=picture.path,
                sha256=hashlib.sha256(picture.data).hexdigest(),
                label=picture.label,
                split="unseen",
                width=facts.width,
                height=facts.height,
                mode=facts.mode,
                bytes=len(picture.data),
                group=picture.group,
                shard=place.shard,
                offset=place.offset,
                problem=facts.problem,
            )
            rows.append((row, picture.unseen))
    return rows


def assign_splits(rows: list[tuple[Row, bool]], shares: SplitShares, seed: int) -> list[Row]:
    """Give every row its split: by hash of its content, class by class, so that one more picture moves few others.

    Args:
        rows: each with whether its group is kept out of training; those become the second test set.
    """
    from dataclasses import replace

    by_label: dict[str, list[Row]] = {}
    for row, unseen in rows:
        if not unseen:
            by_label.setdefault(row.label, []).append(row)
    split_of: dict[str, str] = {}
    for members in by_label.values():
        ordered = sorted(members, key=lambda row: hashlib.sha256(f"{seed}:{row.sha256}:{row.path}".encode()).digest())
        n_validation = max(1, round(shares.validation * len(ordered)))
        n_test = max(1, round(shares.test * len(ordered)))
        for index, row in enumerate(ordered):
            in_test = index < n_validation + n_test
            split_of[row.path] = "validation" if index < n_validation else "test" if in_test else "train"
    return [replace(row, split=split_of.get(row.path, "unseen")) for row, _ in rows]


def _check_path(role: str, path: str, taken: set[str]) -> None:
    parts = path.split("/")
    if len(path) > MAX_PATH or path.startswith("/") or "\\" in path or any(p in ("", ".", "..") for p in parts):
        raise BadInput(f"data.{role}.origin: {path[:200]!r} is not a safe relative path")
    if path in taken:
        raise BadInput(f"data.{role}.origin: {path[:200]!r} comes twice")


if __name__ == "__main__":
    stage.main("ingest", ingest)
