"""Work spread over the cores: fresh processes that use few threads each and die with their parent."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, TypeVar

from graft.core.dataset import Progress
from graft.core.errors import EnvironmentProblem

Context = TypeVar("Context")
Job = TypeVar("Job")
Result = TypeVar("Result")

Tell = Callable[[float], None]
"""Called with the share of a job that is done, in [0, 1]."""

BYTES_PER_WORKER = 2_000_000_000  # TensorFlow, a small net and its data
STARTED_BY = "GRAFT_STARTED_BY"
"""Environment variable: id of a process without which this one is not wanted."""
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5


CORES = "GRAFT_CORES"
"""Environment variable: how many processor cores to use at the most, where others need some of them."""


def usable_cores() -> int:
    """Processor cores this process may use; no more than GRAFT_CORES says.

    Raises:
        EnvironmentProblem: that is no number of cores.
    """
    here, said = _cores_here(), os.environ.get(CORES, "")
    if not said:
        return here
    if not (said.isascii() and said.isdigit() and int(said)):
        raise EnvironmentProblem(f"{CORES} is {said[:40]!r}; a number of cores would do, 1 or more")
    return min(here, int(said))


def _cores_here() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers_for(n_jobs: int) -> int:
    """How many trainings to run side by side: one per core while memory lasts; one on a GPU, which they would share."""
    if Path("/dev/nvidia0").exists():
        return 1
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else BYTES_PER_WORKER
    return max(1, min(n_jobs, usable_cores(), free // BYTES_PER_WORKER))


def die_with_parent() -> None:
    """Linux: be killed when the process that started this one dies, lest an orphan go on writing outputs.

    Or at once, if that happened while this one was still being loaded: STARTED_BY and multiprocessing know who it was.
    STARTED_BY may be this very process: what started it took its place.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        spawner = multiprocessing.parent_process()
        wanted = {spawner.pid if spawner else None, int(os.environ.get(STARTED_BY) or 0)} - {None, 0}
        if os.getppid() != parent or not wanted <= {os.getpid(), *_ancestors()}:
            os.kill(os.getpid(), signal.SIGKILL)


def _ancestors() -> Iterator[int]:
    """Whoever started this process, who started that one, and so on; the dead are left out by the system."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return  # it died just now


class Workers(AbstractContextManager["Workers[Context, Job, Result]"], Generic[Context, Job, Result]):
    """Processes that do `work(context, job, tell)` for one job after the other, until the block ends.

    Small convolutions gain little from a second thread: on two cores, two trainings side by side on one thread each
    end sooner than one after the other on two.
    """

    def __init__(
        self, work: Callable[[Context, Job, Tell], Result], context: Context, most_jobs: int, log: Path | None = None
    ) -> None:
        """`work` is a module's function. It and `context` are pickled; a worker unpickles `context` once.

        Args:
            most_jobs: how many jobs may wait at once; decides the number of workers.
            log: file that takes what libraries print to standard error, where a person watches the terminal.
        """
        workers = workers_for(most_jobs)
        threads = max(1, usable_cores() // workers)
        spawn = multiprocessing.get_context("spawn")  # the fork of a process that has run TensorFlow may hang
        self._shares = spawn.Array("d", most_jobs)
        initial = (work, context, self._shares, threads, log)
        self._pool = ProcessPoolExecutor(workers, spawn, initializer=_prepare, initargs=initial)

    def run(self, jobs: Sequence[Job], progress: Progress) -> list[Result]:
        """Do all jobs; results in the jobs' order.

        Args:
            progress: called with (hundredths of jobs done, hundredths in all).

        Raises:
            EnvironmentProblem: a worker was killed, out of memory most likely.
            Exception: what a job raised.
        """
        self._shares[:] = [0.0] * len(self._shares)
        try:
            futures = [self._pool.submit(_one, index, job) for index, job in enumerate(jobs)]
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()  # a failure ends the others at once
                progress(round(100 * sum(self._shares[:])), 100 * len(jobs))
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise EnvironmentProblem(
                "a worker process was killed, out of memory most likely; close other programs"
            ) from None

    def __exit__(self, *_: object) -> None:
        """End the processes without waiting for jobs whose results nobody will read."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


_state: tuple[Any, Any, Any]


def _prepare(work: Any, context: Any, shares: Any, threads: int, log: Path | None) -> None:
    global _state
    prepared(threads, log)
    _state = (work, context, shares)


def prepared(threads: int, log: Path | None) -> None:
    """Make this fresh process one that dies with its parent, uses so many threads, and prints errors to `log`."""
    die_with_parent()
    if log:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)


def _one(index: int, job: Any) -> Any:
    work, context, shares = _state

    def tell(share: float) -> None:
        shares[index] = share

    result = work(context, job, tell)
    tell(1.0)
    return result
