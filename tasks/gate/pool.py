"""Untrusted files worked on in processes that may die of them: the file that kills its process is found and named."""

import multiprocessing
import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from graft.core.errors import EnvironmentProblem
from graft.core.processes import die_with_parent, usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_ADDRESS_BYTES = 6_000_000_000
"""What a worker may map; a decoder that wants more gets MemoryError instead of the whole machine's."""


class Pool(AbstractContextManager["Pool[Item, Result]"], Generic[Item, Result]):
    """Does `work(context, items)` for batches of items in one process per core, few batches ahead."""

    def __init__(
        self,
        work: Callable[[Any, list[Item]], list[Result]],
        context: Any,
        culprit: Result,
        most_batches: int = 1_000_000,
    ) -> None:
        """`work` is a module's function; it and `context` are pickled.

        Args:
            culprit: the result of an item on which a process died by itself.
            most_batches: how many batches will come; no more processes are started than that.
        """
        self._work, self._context, self._culprit = work, context, culprit
        self._workers = max(1, min(usable_cores(), most_batches))
        self._pool = self._start()

    def run(self, batches: Iterable[list[Item]]) -> Iterator[list[Result]]:
        """The results of each batch, in order; one result per item.

        Raises:
            EnvironmentProblem: processes die before they have anything to do.
            Exception: what `work` raised.
        """
        ahead: deque[tuple[list[Item], Future[list[Result]] | None]] = deque()
        source = iter(batches)
        while True:
            while len(ahead) < 2 * self._workers and (batch := next(source, None)) is not None:
                ahead.append((batch, self._submit(batch)))
            if not ahead:
                return
            batch, future = ahead.popleft()
            try:
                yield self._outcome(future)
            except BrokenProcessPool:
                self._restart()
                ahead = deque((later, self._unless_done(done)) for later, done in ahead)
                yield self._alone(batch)

    def _alone(self, batch: list[Item]) -> list[Result]:
        """The batch with nothing beside it; halved until the item is found that its process does not survive."""
        try:
            return self._outcome(self._submit(batch))
        except BrokenProcessPool:
            self._restart()
        if len(batch) == 1:
            return [self._culprit]
        half = len(batch) // 2
        return self._alone(batch[:half]) + self._alone(batch[half:])

    def _submit(self, batch: list[Item]) -> Future[list[Result]] | None:
        try:
            return self._pool.submit(_do, batch)
        except (RuntimeError, OSError):  # it is broken; or it breaks just now, and closes what a new process would take
            return None

    @staticmethod
    def _outcome(future: Future[list[Result]] | None) -> list[Result]:
        if future is None:
            raise BrokenProcessPool
        return future.result()

    @staticmethod
    def _unless_done(future: Future[list[Result]] | None) -> Future[list[Result]] | None:
        """What went down with the pool comes again; what was finished counts."""
        if future is None or not future.done() or future.cancelled():  # as the end of a pool does to some
            return None
        return None if future.exception() else future

    def _start(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        initial = (self._work, self._context)
        pool = ProcessPoolExecutor(self._workers, spawn, initializer=_prepare, initargs=initial)
        try:
            awake = [pool.submit(_awake) for _ in range(self._workers)]  # all start now: none while another one dies
            wait(awake, return_when=FIRST_COMPLETED).done.pop().result()
        except (RuntimeError, OSError):
            raise EnvironmentProblem("worker processes die at their start; is memory short?") from None
        return pool

    def _restart(self) -> None:
        self._end()
        self._pool = self._start()

    def _end(self) -> None:
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()

    def __exit__(self, *_: object) -> None:
        self._end()


_state: tuple[Any, Any]


def _prepare(work: Any, context: Any) -> None:
    global _state
    die_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MAX_ADDRESS_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_ADDRESS_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # one process per core: more threads would only wait for each other
    _state = (work, context)


def _awake() -> bool:
    return True


def _do(batch: list[Any]) -> list[Any]:
    work, context = _state
    results: list[Any] = work(context, batch)
    return results
