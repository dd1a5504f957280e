"""DVC's remote: what dvc.lock refers to goes to the store and comes back, each object checked against its name.

The layout is DVC's, so dvc push, dvc pull, dvc get and dvc repro --pull work on the same objects.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from graft.core.errors import BadInput
from graft.hub import store as stores
from graft.hub.objects import Listed, Objects, md5_of
from graft.hub.store import Store
from tasks import transfer
from tasks.adapters import dvc_cache, dvc_config, dvc_place, lock, tracked
from tasks.adapters.dvc_cache import Item
from tasks.adapters.files import remove_leftovers
from tasks.transfer import JOBS, Finding
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

Read = Callable[[Item], bytes | None]


def connect(place: Workspace) -> Store:
    """The store, once it has answered; DVC is told where it is.

    Raises:
        EnvironmentProblem: there is none, or it does not answer.
    """
    store = stores.known()
    stores.check(store)
    dvc_config.keep_private(place.root)
    dvc_config.point_at(place.root, store, stores.environment(store).get("AWS_REGION", ""))
    return store


@contextmanager
def opened(store: Store) -> Iterator[Objects]:
    """The objects of DVC's remote in `store`."""
    remote = Objects(store, dvc_config.PREFIX)
    try:
        yield remote
    finally:
        remote.close()


def push(place: Workspace, console: "Console", jobs: int = JOBS) -> None:
    """Bring what dvc.lock refers to, and the records of the runs that made it, to the store; look whether it is there.

    Files go before the lists that name them, so that what the store has is complete whenever this is killed. An object
    that DVC takes for pushed, because its folder's list is there, is missed and sent again.

    Raises:
        BadInput: an object is damaged, or nowhere to be found; everything else was sent.
        EnvironmentProblem: the store does not answer.
    """
    started = time.monotonic()
    cache = dvc_config.cache_folder(place.root)
    with opened(connect(place)) as remote:
        listed = remote.listed()
        wanted = expanded(dvc_cache.outputs(place.root), reader(cache))
        due = [item for item in wanted if not is_there(item, listed, cache)]
        here = [item for item in due if (cache / item.key).exists()]
        lost = [item for item in due if item.needed and item not in here]
        findings = _send(cache, remote, here, console, jobs)
        findings += [
            Finding("cache", item, "is neither here nor in the store", "graft run makes it again") for item in lost
        ]
        listed = remote.listed() if here else listed
        there = [item for item in wanted if is_there(item, listed, cache)]
        findings += _vanished(here, there, findings)
        n_runs = _send_runs(cache, remote, {item.name for item in there}, listed, jobs)
    _refuse(findings)
    n_bytes = sum(size_of(item, cache) for item in here)
    console.print(
        f"pushed {len(here)} of {len(there)} objects ({n_bytes / 1e6:.1f} MB) and {n_runs} runs "
        f"in {time.monotonic() - started:.1f} s; all {len(there)} are in the store",
        highlight=False,
    )


def pull(place: Workspace, console: "Console", jobs: int = JOBS) -> None:
    """Bring what dvc.lock refers to into the cache and the workspace; the workspace gets all of it or none.

    Raises:
        BadInput: an object is missing or altered in the store; or something stands where an output would be written.
        EnvironmentProblem: the store does not answer, or the disk is full.
    """
    started = time.monotonic()
    cache = dvc_config.cache_folder(place.root)
    outputs = [item for item in dvc_cache.outputs(place.root) if item.needed]
    tracked.refuse_links(place.root, [item.path for item in outputs])
    dvc_config.keep_private(place.root)
    with (
        dvc_place.begun(place, outputs) as placing,
        opened(connect(place)) as remote,
        lock.held(place.lock),
    ):
        remove_leftovers([place.private, *(cache / "files" / "md5").glob("??")])
        listed = remote.listed()
        lists = _absent([item for item in outputs if item.is_folder], cache)
        n_bytes = _fetch(cache, remote, lists, listed, console, jobs)
        items = expanded(outputs, reader(cache))
        due = _absent(items, cache)
        if placing:
            placing.expect(item for item in everything(outputs, reader(cache)) if not item.is_folder)
            transfer.spread(jobs, sorted(set(items) - set(due), key=lambda item: item.key), placing.take)
            n_bytes += _fetch(cache, remote, due, listed, console, jobs, placing.take)
            placing.finish()
        else:
            from tasks.adapters import dvc  # loads NumPy, which the rest can do without

            n_bytes += _fetch(cache, remote, due, listed, console, jobs)
            dvc.checkout(place.root, [item.path for item in outputs])
    console.print(
        f"pulled {len(lists) + len(due)} objects ({n_bytes / 1e6:.1f} MB) in {time.monotonic() - started:.1f} s; "
        f"{', '.join(item.path for item in outputs)} are as dvc.lock says",
        highlight=False,
    )


def everything(outputs: Iterable[Item], read: Read) -> Iterator[Item]:
    """`outputs` and the files of every folder whose list `read` finds."""
    for output in outputs:
        yield output
        listing = read(output) if output.is_folder else None
        yield from dvc_cache.files(output, listing) if listing is not None else ()


def expanded(outputs: Iterable[Item], read: Read) -> list[Item]:
    """As `everything`; an object at several places comes once."""
    found: dict[str, Item] = {}
    for item in everything(outputs, read):
        known = found.get(item.name)
        if known is None or (item.needed and not known.needed):
            found[item.name] = item
    return list(found.values())


def reader(cache: Path) -> Read:
    """Reads a folder's list from the cache; None if it is not there or not what its name says."""

    def read(item: Item) -> bytes | None:
        path = cache / item.key
        return path.read_bytes() if path.exists() and md5_of(path) == item.md5 else None

    return read


def is_there(item: Item, listed: dict[str, Listed], cache: Path) -> bool:
    """Whether the store's listing has the object, as its name says or, where a listing does not tell, in that size."""
    seen = listed.get(item.key)
    if seen is None:
        return False
    if seen.md5:
        return seen.md5 == item.md5
    path = cache / item.key
    return not path.exists() or path.stat().st_size == seen.n_bytes


def size_of(item: Item, cache: Path) -> int:
    """Bytes of an object in the cache; 0 if it is not there."""
    path = cache / item.key
    return path.stat().st_size if path.exists() else 0


def _send(cache: Path, remote: Objects, items: list[Item], console: "Console", jobs: int) -> list[Finding]:
    """Files first; then the lists of those folders of which every file went."""
    if not items:
        return []
    n_bytes = sum(size_of(item, cache) for item in items)
    console.print(f"sending {len(items)} objects ({n_bytes / 1e6:.1f} MB) to {remote.store.bucket}", highlight=False)
    with transfer.meter("push", n_bytes, console) as tell:
        findings = transfer.send(cache, remote, [item for item in items if not item.is_folder], tell, jobs)
        bad = {found.item.key for found in findings}
        whole = [item for item in items if item.is_folder and not bad & _keys(item, cache)]
        return findings + transfer.send(cache, remote, whole, tell, jobs)


def _keys(item: Item, cache: Path) -> set[str]:
    listing = reader(cache)(item)
    return {file.key for file in dvc_cache.files(item, listing)} if listing is not None else set()


def _vanished(sent: list[Item], there: list[Item], findings: list[Finding]) -> list[Finding]:
    """What the store acknowledged and does not list."""
    told = {found.item.key for found in findings} | {item.key for item in there}
    return [
        Finding(
            "store", item, "was sent and is not listed", "graft push again; if it stays so, the store loses objects"
        )
        for item in sent
        if item.key not in told and not item.is_folder
    ]


def _send_runs(cache: Path, remote: Objects, there: set[str], listed: dict[str, Listed], jobs: int) -> int:
    """Records of runs all of whose outputs the store has: `dvc repro --pull` elsewhere takes those for its own."""
    due = [run.key for run in dvc_cache.runs(cache) if run.made <= there and run.key not in listed]
    sound = [key for key in due if dvc_cache.is_sound_run(key, cache / key)]
    transfer.spread(jobs, sound, lambda key: remote.put(key, cache / key, md5_of(cache / key), lambda more: None))
    return len(sound)


def _absent(items: Iterable[Item], cache: Path) -> list[Item]:
    return [item for item in items if not (cache / item.key).exists()]


def _fetch(
    cache: Path,
    remote: Objects,
    items: list[Item],
    listed: dict[str, Listed],
    console: "Console",
    jobs: int,
    then: Callable[[Item], None] = lambda item: None,
) -> int:
    """Bring `items` into the cache, large ones first lest the last one keep everybody waiting; the bytes that came."""
    if not items:
        return 0
    size = {item: listed[item.key].n_bytes if item.key in listed else 0 for item in items}
    n_bytes = sum(size.values())
    console.print(f"fetching {len(items)} objects ({n_bytes / 1e6:.1f} MB) from {remote.store.bucket}", highlight=False)
    with transfer.meter("pull", n_bytes, console) as tell:
        _refuse(transfer.fetch(cache, remote, sorted(items, key=size.__getitem__, reverse=True), tell, jobs, then))
    return n_bytes


def _refuse(findings: list[Finding]) -> None:
    if findings:
        more = f" (and {len(findings) - 1} more: graft audit)" if len(findings) > 1 else ""
        raise BadInput(findings[0].line + more)
