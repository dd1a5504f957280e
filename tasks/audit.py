"""What DVC does not look for: cached and stored objects that are not what their names say, and files of folders gone.

DVC takes a cached file of mode 0444 for whole without reading it, and a folder whose list is in the store for complete.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.processes import usable_cores
from graft.hub.objects import Altered, NoObject, Objects, Tell, md5_of
from graft.hub.store import Store
from tasks import transfer
from tasks.adapters import dvc_cache, dvc_config
from tasks.adapters.dvc_cache import Item, Run
from tasks.remote import Read, expanded, opened, reader
from tasks.transfer import JOBS, Damaged, Finding, Where
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

REPAIR = "graft audit --repair"
OTHER = "of another dvc.lock"  # where an object belongs that this one does not refer to


@dataclass(frozen=True)
class Audit:
    """What was looked at.

    Attributes:
        n_objects, n_bytes: how much was read.
        findings: what is damaged or missing, and was not mended.
        mended: what was damaged or missing.
    """

    n_objects: int
    n_bytes: int
    findings: list[Finding]
    mended: list[Finding]


def audit(
    place: Workspace,
    store: Store | None,
    console: "Console",
    where: Sequence[Where] = ("cache", "store"),
    every: bool = False,
    mend: bool = False,
) -> Audit:
    """Read every object that dvc.lock refers to and compare it with its name; look for every file of every folder.

    Args:
        store: None if there is none: then the cache alone is looked at.
        where: to look.
        every: at everything that is there, not only at what dvc.lock refers to.
        mend: one place from the other. What is damaged in the cache is moved aside, never deleted.

    Raises:
        BadInput: dvc.lock cannot be used.
        EnvironmentProblem: the store does not answer.
    """
    folder = dvc_config.cache_folder(place.root)
    outputs = dvc_cache.outputs(place.root)
    with _opened(store) as remote, tempfile.TemporaryDirectory() as scratch:
        looked = [_cache(folder, outputs, every, console)] if "cache" in where else []
        if remote and "store" in where:
            looked.append(_store(folder, outputs, remote, every, Path(scratch), console))
        found = [finding for one in looked for finding in one.findings]
        left = [_mend(place, folder, remote, finding) if mend else finding for finding in found]
    mended = [finding for finding, still in zip(found, left, strict=True) if still is None]
    n_objects, n_bytes = sum(one.n_objects for one in looked), sum(one.n_bytes for one in looked)
    return Audit(n_objects, n_bytes, [finding for finding in left if finding], mended)


@contextmanager
def _opened(store: Store | None) -> Iterator[Objects | None]:
    if store is None:
        yield None
    else:
        with opened(store) as remote:
            yield remote


def _cache(folder: Path, outputs: list[Item], every: bool, console: "Console") -> Audit:
    kept = [Item(name, OTHER, True) for name in dvc_cache.kept(folder)] if every else []
    items = expanded([*outputs, *kept], reader(folder))
    here = [item for item in items if (folder / item.key).exists()]
    n_bytes = sum((folder / item.key).stat().st_size for item in here)
    with transfer.meter("cache", n_bytes, console) as tell:
        hashes = transfer.spread(usable_cores(), here, lambda item: md5_of(folder / item.key, tell))
    tops = {output.name for output in outputs}  # one that is not here at all was not pulled, which is no damage
    gone = [item for item in items if item not in here and item.name not in tops]
    records = [Run(path.relative_to(folder).as_posix()) for path in (folder / "runs").glob("??/*/*")]
    bad = [record for record in records if not dvc_cache.is_sound_run(record.key, folder / record.key)]
    findings = [
        *_altered("cache", here, hashes),
        *(Finding("cache", item, "is missing, though the list of its folder is there", REPAIR) for item in gone),
        *(Finding("cache", record, "is altered", REPAIR) for record in bad),
    ]
    return Audit(len(here) + len(records), n_bytes, findings, [])


def _store(folder: Path, outputs: list[Item], remote: Objects, every: bool, scratch: Path, console: "Console") -> Audit:
    listed = remote.listed()
    stored = [Item(name, OTHER, True) for key in listed if (name := dvc_cache.name_of(key))] if every else []
    items = expanded([*outputs, *stored], _either(folder, remote, scratch))
    there = [item for item in items if item.key in listed]
    records = [Run(key) for key in listed if key.startswith("runs/")]
    n_bytes = sum(listed[key].n_bytes for key in [item.key for item in there] + [record.key for record in records])
    with transfer.meter("store", n_bytes, console) as tell:
        hashes = transfer.spread(JOBS, there, lambda item: _hash(remote, item, tell))
        sound = transfer.spread(JOBS, records, lambda record: _is_sound(remote, record, scratch, tell))
    gone = [item for item in items if item.needed and item.key not in listed]
    findings = [
        *_altered("store", there, hashes),
        *(Finding("store", item, "is missing", f"graft push, or {REPAIR}") for item in gone),
        *(
            Finding("store", record, "is altered", REPAIR)
            for record, well in zip(records, sound, strict=True)
            if not well
        ),
    ]
    return Audit(len(there) + len(records), n_bytes, findings, [])


def _altered(place: Where, items: list[Item], hashes: list[str]) -> list[Finding]:
    pairs = zip(items, hashes, strict=True)
    return [
        Finding(place, item, f"is altered: its bytes hash to {found}", REPAIR)
        for item, found in pairs
        if found != item.md5
    ]


def _either(folder: Path, remote: Objects, scratch: Path) -> Read:
    """Reads a folder's list from the cache or, if it is not there, from the store."""
    cached = reader(folder)

    def read(item: Item) -> bytes | None:
        try:
            return cached(item) or transfer.read(remote, item, scratch / item.name)
        except (NoObject, Damaged):
            return None

    return read


def _hash(remote: Objects, item: Item, tell: Tell) -> str:
    try:
        return remote.md5(item.key, tell)
    except NoObject:
        return "nothing: it went while it was looked at"


def _is_sound(remote: Objects, record: Run, scratch: Path, tell: Tell) -> bool:
    to = scratch / record.key.replace("/", "-")
    try:
        remote.get(record.key, to, tell)
    except NoObject:
        return True
    return dvc_cache.is_sound_run(record.key, to)


def _mend(place: Workspace, folder: Path, remote: Objects | None, found: Finding) -> Finding | None:
    """None if all is well now, else what still is not."""
    if found.place == "cache":
        return _mend_cached(place, folder, remote, found)
    if remote is None or not _resent(folder, remote, found.item):
        return replace(found, remedy="the cache here has no sound copy: repair from a machine that has, or: graft run")
    return None


def _mend_cached(place: Workspace, folder: Path, remote: Objects | None, found: Finding) -> Finding | None:
    path = folder / found.item.key
    moved = _aside(place, path)
    if isinstance(found.item, Run):
        return None
    try:
        if remote is not None:
            transfer.bring(remote, found.item, path, lambda more: None)
            return None
    except (NoObject, Damaged):
        pass  # as without a store
    return replace(found, remedy=f"no sound copy was found{moved}; graft run makes it again")


def _aside(place: Workspace, path: Path) -> str:
    """Move a damaged file out of the cache, for people to look at."""
    if not path.exists():
        return ""
    folder = place.private / "damaged"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{path.parent.name}{path.name}"
    to = next(to for count in range(10**6) if not (to := folder / f"{name}.{count}").exists())
    shutil.move(path, to)
    return f", the damaged one is now {to.relative_to(place.root)}"


def _resent(folder: Path, remote: Objects, item: Item | Run) -> bool:
    path = folder / item.key
    if not path.exists() or (isinstance(item, Run) and not dvc_cache.is_sound_run(item.key, path)):
        return False
    try:
        remote.put(item.key, path, item.md5 if isinstance(item, Item) else md5_of(path), lambda more: None)
    except Altered:
        return False
    return True


def show(done: Audit, console: "Console") -> bool:
    """Print a line for everything that was found, and a last one; whether all is well now."""
    for finding in done.mended:
        console.print(f"mended: {finding.line}", highlight=False, markup=False)
    for finding in done.findings:
        console.print(finding.line, highlight=False, markup=False)
    read = f"{done.n_objects} objects ({done.n_bytes / 1e6:.1f} MB) read"
    bad = len(done.findings)
    console.print(f"{read}; {f'{bad} damaged or missing' if bad else 'all as their names say'}", highlight=False)
    return not bad
