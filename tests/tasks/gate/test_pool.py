"""A file that kills the process that reads it is found; nothing else is lost, whoever kills what."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.core.errors import EnvironmentProblem
from tasks.gate.pool import MAX_ADDRESS_BYTES, Pool
from tests.tasks.gate.work import DEADLY, Poisonous, deep, doubled, greedy, patient


def batches(n: int, size: int, deadly: tuple[int, ...] = ()) -> Iterator[list[int]]:
    for start in range(0, n, size):
        yield [DEADLY if item in deadly else item for item in range(start, min(n, start + size))]


@pytest.mark.parametrize("deadly", [(), (0,), (11,), (5, 23)])
def test_the_item_that_kills_its_process_is_found_and_the_order_is_kept(deadly: tuple[int, ...]) -> None:
    with Pool(doubled, None, DEADLY) as pool:
        done = list(pool.run(batches(24, 8, deadly)))
    assert [len(batch) for batch in done] == [8] * 3
    assert [item for batch in done for item in batch] == [DEADLY if item in deadly else 2 * item for item in range(24)]


def test_a_process_that_reads_where_nothing_is_takes_nobody_with_it() -> None:
    with Pool(deep, None, DEADLY) as pool:
        assert list(pool.run([[1, 2], [3, DEADLY, 4], [5]])) == [[1, 2], [3, DEADLY, 4], [5]]


def test_what_the_work_raises_comes_out() -> None:
    with Pool(doubled, 7, DEADLY) as pool, pytest.raises(ValueError, match="7 will not do"):
        list(pool.run(batches(20, 5)))


def test_more_memory_than_is_allowed_is_refused_in_the_worker_alone() -> None:
    with Pool(greedy, None, "died") as pool:
        assert list(pool.run([[1000, 2 * MAX_ADDRESS_BYTES, 2000]])) == [["1000", "refused", "2000"]]


def test_a_worker_killed_from_outside_loses_nothing(tmp_path: Path) -> None:
    killed = []

    def kill() -> None:
        """The worker on the third batch, and none other."""
        mark = tmp_path / "20.pid"
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.01)
        killed.append(int(mark.read_text()))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with Pool(patient, tmp_path, DEADLY) as pool:
        done = list(pool.run(batches(30, 10)))
    thread.join(10)
    assert killed and [item for batch in done for item in batch] == list(range(30))


def test_processes_that_die_at_their_start_are_said_to() -> None:
    with pytest.raises(EnvironmentProblem, match="worker processes die at their start"):
        Pool(doubled, Poisonous(), DEADLY)


def test_no_process_stays_behind() -> None:
    with Pool(doubled, None, DEADLY) as pool:
        processes = list(pool._pool._processes.values())
        list(pool.run(batches(40, 10, (3,))))
        processes += pool._pool._processes.values()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)
