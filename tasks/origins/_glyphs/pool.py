"""The same results in the same order, whatever the number of worker processes."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from graft.core.errors import EnvironmentProblem
from graft.core.processes import die_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 125  # pictures a worker makes at a time: about a megabyte
_AHEAD = 3  # chunks that may wait per worker: bounds the memory when the caller is slow


def ordered_map(work: Callable[[list[Item]], list[Result]], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`work` over chunks of `items`, results in the items' order; in this process if `workers` is 1.

    `work` and what it holds must pickle. Worker processes start afresh (spawn: the fork of a process that has
    run TensorFlow or threads may hang), so the main module must be importable and guarded by `__name__`.

    Raises:
        EnvironmentProblem: a worker process died.
    """
    chunks = _chunks(items)
    if workers == 1:
        for chunk in chunks:
            yield from work(chunk)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_remember, initargs=(work,))
    try:
        waiting: deque[Future[list[Result]]] = deque(
            pool.submit(_recall, chunk) for chunk in islice(chunks, workers * _AHEAD)
        )
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(_recall, chunk) for chunk in islice(chunks, 1))
            yield from done
    except BrokenProcessPool:
        raise EnvironmentProblem(
            "origin glyphs: a worker process died: out of memory, or the main module has no `__name__` guard"
        ) from None
    finally:
        # Also when the caller stops early: a generator that is closed must not leave processes behind.
        pool.shutdown(cancel_futures=True)


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


_work: Callable[[list[Any]], list[Any]]


def _remember(work: Callable[[list[Any]], list[Any]]) -> None:
    """Sent once per worker, not once per chunk: `work` holds all the sprites."""
    global _work
    die_with_parent()
    _work = work


def _recall(chunk: list[Any]) -> list[Any]:
    return _work(chunk)
