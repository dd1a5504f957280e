"""Objects between DVC's cache and the store: several at once, each checked against its name, none half written."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeVar

from graft.core.errors import EnvironmentProblem, one_line
from graft.hub.objects import Altered, NoObject, Objects, Tell
from tasks.adapters.dvc_cache import Item, Run
from tasks.adapters.files import written_aside

if TYPE_CHECKING:
    from rich.console import Console

JOBS = 8
TOLD_EVERY_S = 10.0
READ_ONLY = 0o444  # DVC's mark of an object that is whole

Where = Literal["cache", "store"]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Finding:
    """An object that is not as it should be.

    Attributes:
        place: where it was looked for.
        what: what was found.
        remedy: what would do.
    """

    place: Where
    item: Item | Run
    what: str
    remedy: str

    @property
    def line(self) -> str:
        return one_line(f"{self.place}: {self.item.title} {self.what}; {self.remedy}", 600)


def spread(jobs: int, items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """`work` done for all items, `jobs` at a time; results in order. After a failure no further one starts."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        failed = [one for one in futures if one.done() and not one.cancelled() and one.exception()]
        return [one.result() for one in failed or futures]


def send(cache: Path, remote: Objects, items: list[Item], tell: Tell, jobs: int = JOBS) -> list[Finding]:
    """Bring objects from the cache to the store; those whose bytes are not what their name says stay behind."""

    def one(item: Item) -> Finding | None:
        try:
            remote.put(item.key, cache / item.key, item.md5, tell)
        except Altered:
            return Finding("cache", item, "is damaged and was not sent", "graft audit --cache --repair")
        except FileNotFoundError:
            return Finding("cache", item, "is missing", "graft run makes it again, or graft pull --data")
        return None

    return [found for found in spread(jobs, items, one) if found]


def fetch(
    cache: Path,
    remote: Objects,
    items: list[Item],
    tell: Tell,
    jobs: int = JOBS,
    then: Callable[[Item], None] = lambda item: None,
) -> list[Finding]:
    """Bring objects from the store into the cache; those whose bytes are not what their name says are left out.

    Args:
        then: called for each that the cache has now, by the thread that brought it.
    """

    def one(item: Item) -> Finding | None:
        try:
            bring(remote, item, cache / item.key, tell)
            then(item)
        except NoObject:
            return Finding("store", item, "is missing", "whoever has it in the cache: graft push")
        except Damaged as found:
            return Finding("store", item, str(found), "whoever has it in the cache: graft audit --remote --repair")
        return None

    return [found for found in spread(jobs, items, one) if found]


class Damaged(Exception):
    """What the store holds is not what the name says."""


def bring(remote: Objects, item: Item, to: Path, tell: Tell) -> None:
    """Bring one object into the file `to`: all of it and as its name says, or nothing.

    Raises:
        NoObject: the store has none.
        Damaged: it has other bytes.
        EnvironmentProblem: the disk takes no more.
    """
    try:
        with written_aside(to) as aside:
            found = remote.get(item.key, aside, tell)
            if found != item.md5:
                raise Damaged(f"is altered: its bytes hash to {found}")
            aside.chmod(READ_ONLY)
    except OSError as error:
        raise EnvironmentProblem(
            f"{to.parent} takes no more ({one_line(error.strerror or str(error))}); mend that and type the same again"
        ) from None


def read(remote: Objects, item: Item, scratch: Path) -> bytes:
    """The bytes of a small object, by way of the file `scratch`. Raises as `bring` does."""
    bring(remote, item, scratch, lambda more: None)
    return scratch.read_bytes()


@contextmanager
def meter(what: str, n_bytes: int, console: "Console") -> Iterator[Tell]:
    """Tells how many of `n_bytes` are done: a bar on a terminal, else a line now and then."""
    if console.is_terminal:
        yield from _bar(what, n_bytes, console)
    else:
        yield _lines(what, n_bytes, console)


def _bar(what: str, n_bytes: int, console: "Console") -> Iterator[Tell]:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True) as bars:
        bar = bars.add_task(what, total=n_bytes)
        yield lambda more: bars.update(bar, advance=more)


def _lines(what: str, n_bytes: int, console: "Console") -> Tell:
    done, last, lock = 0, time.monotonic(), Lock()

    def tell(more: int) -> None:
        nonlocal done, last
        with lock:
            done += more
            if time.monotonic() - last > TOLD_EVERY_S:
                last = time.monotonic()
                console.print(f"{what}: {done / 1e6:.0f} of {n_bytes / 1e6:.0f} MB", highlight=False)

    return tell
