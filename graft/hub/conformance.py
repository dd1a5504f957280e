"""What releases rest on, asked of the store itself: whoever does not keep these promises is refused by name.

Stores have been seen to let several of the concurrent `If-None-Match` writers win, to ignore `If-Match` in a bucket
with versions, and to store what does not agree with its checksum. Each loses a release without anybody noticing.
"""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from graft.core.errors import PromisesBroken, one_line
from graft.hub import promises
from graft.hub.promises import WRITERS, Bench
from graft.hub.store import Store, client, explained

PREFIX = "conformance"
THREADS = 3 * WRITERS  # for two races and whoever else writes many
UNABLE = (400, 404, 405, 409, 411, 412, 501)
NEWER = "use a newer release of this store, or another store"


@dataclass(frozen=True)
class Promise:
    """What a store has to do.

    Attributes:
        text: it, as a claim.
        seen: tries it; what was seen instead, "" if it is kept.
        remedy: what would do if it is not.
    """

    text: str
    seen: Callable[[Bench], str]
    remedy: str = NEWER


PROMISES = (
    Promise("what is written is read, at once and after an overwrite", promises.read_after_write),
    Promise("a listing has what was written and not what was deleted, at once", promises.list_after_write),
    Promise("a listing in pages is complete and in order", promises.pages),
    Promise("a listing with a delimiter has the folders", promises.folders),
    Promise("a PUT whose SHA-256 is wrong is refused", promises.wrong_checksum),
    Promise("a SHA-256 is kept and told by HEAD", promises.kept_checksum),
    Promise(f"of {WRITERS} writers with If-None-Match at once, one wins", promises.one_creates),
    Promise(f"of {WRITERS} writers with If-Match at once, one wins", promises.one_replaces),
    Promise("a writer whose If-Match is out of date is refused", promises.stale_is_refused),
)


@dataclass(frozen=True)
class Broken:
    """A promise that was not kept, and what was seen."""

    promise: Promise
    seen: str

    def __str__(self) -> str:
        return f"promise not kept: {self.promise.text}; seen: {self.seen}; {self.promise.remedy}"


def broken(store: Store) -> list[Broken]:
    """The promises that the store does not keep. Writes some 100 small objects under a prefix, then removes them.

    All are tried at the same time: a store may let those who lose a race wait for seconds.

    Raises:
        EnvironmentProblem: the store is out of reach, or this key may not write to PREFIX.
    """
    with (
        explained(store, "set GRAFT_BUCKET"),
        ThreadPoolExecutor(THREADS) as writers,
        ThreadPoolExecutor(len(PROMISES)) as trials,
    ):
        bench = Bench(client(store, THREADS), store.bucket, f"{PREFIX}/{secrets.token_hex(8)}/", writers)
        try:
            seen = list(trials.map(lambda promise: _seen(bench, promise), PROMISES))
        finally:
            bench.clear()
    return [Broken(promise, what) for promise, what in zip(PROMISES, seen, strict=True) if what]


def require(store: Store) -> None:
    """Refuse a store that does not keep its promises.

    Raises:
        PromisesBroken: which it does not keep, a line each.
        EnvironmentProblem: as `broken`.
    """
    if found := broken(store):
        where = f"bucket {store.bucket} at {store.endpoint or 'AWS'}"
        raise PromisesBroken([f"{where}: {one}" for one in found])


def _seen(bench: Bench, promise: Promise) -> str:
    """What the promise's trial saw; "not implemented" and the like is an answer too, "denied" and "busy" are none."""
    try:
        return promise.seen(bench)
    except bench.client.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in UNABLE:
            raise
        return f"the answer {one_line(error.response['Error']['Code'], 80)}"
