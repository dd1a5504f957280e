"""Pictures that lie in shards in the store, as an array: fetched ahead, checked, kept on disk up to a limit."""

import fcntl
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import blocks
from graft.core.dataset import Split
from graft.core.errors import EnvironmentProblem
from graft.hub.bucket import Bucket
from graft.hub.shards import Index, Object
from graft.hub.store import Store

THREADS = 4
AHEAD = 2 * blocks.WINDOW
"""Shards that are fetched before they are asked for: those of the present window and of the next."""
HELD = 2 * AHEAD
"""Shards that are open at once: their pages belong to the system, which takes them back as it needs."""
LEFT_S = 3600
_LOCKS = 64


class Cache:
    """Files named by the SHA-256 of what they hold, the least used of them removed; safe for several processes.

    A file that was removed while another process reads it stays readable there.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`max_bytes`: of all files together; the one that was asked for last stays whatever its size."""
        self._folder, self._max_bytes = folder, max_bytes
        self._sound: set[str] = set()

    def open(self, bucket: Bucket, wanted: Object) -> NDArray[Any]:
        """The array in an object, memory-mapped; from here if its bytes are those that were sent, else from the store.

        Raises:
            BadInput: the store has other bytes under that name, or none.
            EnvironmentProblem: the store does not answer, or the disk is full.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            while True:
                with suppress(FileNotFoundError):  # another process has just removed it
                    array = self._mapped(bucket, wanted)
                    self._shrink(wanted.sha256)
                    return array
        except OSError as error:
            raise EnvironmentProblem(
                f"{error.filename or self._folder}: {error.strerror or error}; make room, or set GRAFT_CACHE"
            ) from None

    def _mapped(self, bucket: Bucket, wanted: Object) -> NDArray[Any]:
        path = self._folder / wanted.sha256
        with self._locked(wanted.sha256[:2]):
            if not self._is_sound(path, wanted):
                self._fetch(bucket, wanted, path)
                self._sound.add(wanted.sha256)
            os.utime(path)
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return array

    def _is_sound(self, path: Path, wanted: Object) -> bool:
        """Hashed once in this process; a file of another length is none."""
        with suppress(OSError):
            if path.stat().st_size != wanted.bytes_:
                return False
            if wanted.sha256 not in self._sound:
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != wanted.sha256:
                        return False
                self._sound.add(wanted.sha256)
            return True
        return False

    def _fetch(self, bucket: Bucket, wanted: Object, path: Path) -> None:
        aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            bucket.download(wanted.key, aside, wanted.bytes_, wanted.sha256)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def _shrink(self, latest: str) -> None:
        found = []
        for path in self._folder.glob("[0-9a-f]*"):
            with suppress(OSError):
                found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._max_bytes:
                return
            if path.name != latest:
                path.unlink(missing_ok=True)
                total -= size

    def remove_leftovers(self) -> None:
        """What killed processes left half written here, an hour ago or more."""
        for path in self._folder.glob(".*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_S:
                    path.unlink()

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One at a time, of all threads and processes, for objects whose names begin alike."""
        with (self._folder / f".lock-{int(name, 16) % _LOCKS}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Images:
    """The pictures of an index, as an array of (n, height, width, channels) uint8 that can be indexed by rows.

    Attributes:
        blocks: rows in each shard; those of one are best asked for together.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, store: Store, index: Index, cache: Cache) -> None:
        self.blocks, self.shape = index.blocks, (sum(index.blocks), *index.shape)
        self.ndim = len(self.shape)
        self._store, self._index, self._cache = store, index, cache
        self._starts = np.concatenate([[0], np.cumsum(index.blocks)])
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Future[NDArray[Any]]] = OrderedDict()
        self._bucket: Bucket | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        """Pictures by a row, a slice of rows, or an array of them, in that order."""
        wanted = np.arange(len(self))[rows]
        flat = np.atleast_1d(wanted)
        found = np.empty((len(flat), *self.shape[1:]), np.uint8)
        shards = np.searchsorted(self._starts, flat, side="right") - 1
        for shard in np.unique(shards):
            mine = shards == shard
            found[mine] = self._shard(int(shard)).result()[flat[mine] - self._starts[shard]]
        return found if wanted.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)

    def expect(self, step: int, batch_size: int, seed: int) -> None:
        """Begin to fetch what the batches from `step` on will ask for (see `blocks.rows_of`)."""
        for shard in islice(blocks.blocks_from(step, self.blocks, batch_size, seed), min(AHEAD, len(self.blocks))):
            self._shard(shard)

    def _shard(self, number: int) -> Future[NDArray[Any]]:
        with self._lock:
            if self._pool is None or self._bucket is None:
                self._bucket, self._pool = Bucket(self._store), ThreadPoolExecutor(THREADS, "shards")
            found = self._open.get(number)
            if found is None or (found.done() and found.exception()):
                found = self._pool.submit(self._cache.open, self._bucket, self._index.shards[number])
                self._open[number] = found
            self._open.move_to_end(number)
            while len(self._open) > HELD:
                self._open.popitem(last=False)
            return found

    def __getstate__(self) -> dict[str, Any]:
        """For another process: it fetches for itself."""
        return {"store": self._store, "index": self._index, "cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def split(store: Store, index: Index, cache: Cache) -> Split:
    """The rows of an index: labels and units at once, pictures as they are asked for."""
    bucket = Bucket(store)
    cache.remove_leftovers()
    try:
        labels, units = (
            None if one is None else np.array(cache.open(bucket, one)) for one in (index.labels, index.units)
        )
    finally:
        bucket.close()
    return Split(Images(store, index, cache), labels, units)  # type: ignore[arg-type]
