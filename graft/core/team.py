"""Processes that train one net together, here or on several machines; when one is lost, all take up the work again.

Those of this machine are started by `Team` itself, on ports that are free. Where TF_CONFIG names the processes, as
operators of Kubernetes set it, each is one member of a team and started by whoever set the variable.
"""

import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from graft.core import strategy
from graft.core.dataset import Progress
from graft.core.errors import EnvironmentProblem, one_line
from graft.core.processes import Tell, prepared, usable_cores
from graft.core.sections import Train

Context = TypeVar("Context")
Job = TypeVar("Job")
Result = TypeVar("Result")

RESTARTS = 3
"""How often a run of jobs is taken up again."""
_POLL_S = 0.5
_LOST = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError", "InternalError", "UnknownError")


class Lost(Exception):
    """A process of the team is gone, or can no longer be reached."""


def wanted(train: Train, by_rows: bool, environment: Mapping[str, str]) -> bool:
    """Whether a team is to train.

    Raises:
        BadInput: TF_CONFIG is not as TensorFlow defines it.
    """
    return strategy.chosen(train, by_rows, environment) == "multi_worker"


class Team(AbstractContextManager["Team[Context, Job, Result]"], Generic[Context, Job, Result]):
    """Processes that all do `work(context, job, tell)` for the same job at the same time, one job after the other.

    A job that was under way when one was lost is done again by all of them: `work` must take up what it left.
    """

    def __init__(
        self,
        work: Callable[[Context, Job, Tell], Result],
        context: Context,
        workers: int,
        tell: Callable[[str], None] = lambda text: None,
        log: Path | None = None,
    ) -> None:
        """`work` is a module's function. It and `context` are pickled.

        Args:
            workers: how many to start, where TF_CONFIG does not say that this is one of several already.
            tell: called with a line when one was lost and the work is taken up again, or others are awaited.
            log: file that takes what libraries print to standard error, where a person watches the terminal.
        """
        self._work, self._context, self._workers, self._tell, self._log = work, context, workers, tell, log
        self._members: list[_Member] = []

    def run(self, jobs: Sequence[Job], progress: Progress) -> list[Result]:
        """Do all jobs; what the chief made of them (or the only one that is here), in the jobs' order.

        Args:
            progress: called with (hundredths of jobs done, hundredths in all).

        Raises:
            EnvironmentProblem: one was lost more often than `RESTARTS` times.
            Exception: what a job raised.
        """
        if not jobs:
            return []
        for again in range(RESTARTS, -1, -1):
            try:
                return self._once(jobs, progress)
            except Lost as error:
                if again:
                    self._tell(f"{error}; all go on from the last checkpoint ({again} more times)")
                    continue
                raise EnvironmentProblem(
                    f"training together was given up after {RESTARTS + 1} losses, at last: {error}; what was learned "
                    "is kept: type the same command again"
                ) from None
            finally:
                self._end()
        raise AssertionError  # the loop has returned or raised

    def _once(self, jobs: Sequence[Job], progress: Progress) -> list[Result]:
        spawn = multiprocessing.get_context("spawn")
        shares, settings = spawn.Array("d", len(jobs)), self._settings()
        threads = max(1, usable_cores() // len(settings))
        for number, setting in enumerate(settings):
            given = (self._work, self._context, list(jobs), None if number else shares, setting, threads, self._log)
            self._members.append(_Member(spawn, given))
        first, waiting = self._members[0], list(self._members)
        while True:
            ready = wait([one.pipe for one in waiting], timeout=_POLL_S)
            progress(round(100 * sum(shares[:])), 100 * len(jobs))
            for one in [one for one in waiting if one.pipe in ready]:
                results = one.told()
                if one is first:
                    return list(results)  # what the others have still to say is the same
                waiting.remove(one)

    def _settings(self) -> list[str]:
        """A TF_CONFIG for each process to be started here."""
        if (told := os.environ.get(strategy.VARIABLE, "").strip()) and (seat := strategy.seat_of(os.environ)):
            self._tell(f"waits until all of {', '.join(seat.addresses)} train along")
            return [told]
        cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(self._workers)]}
        return [
            json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
            for index in range(self._workers)
        ]

    def _end(self) -> None:
        """None of them has anything to lose by then: what is kept is written aside and renamed."""
        for one in self._members:
            one.process.kill()
        for one in self._members:
            one.process.join()
            one.pipe.close()
        self._members = []

    def __exit__(self, *_: object) -> None:
        self._end()


class _Member:
    """A process of this machine, and what comes from it."""

    def __init__(self, spawn: Any, given: tuple[Any, ...]) -> None:
        self.pipe, theirs = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=_member, args=(theirs, *given), daemon=True)
        self.process.start()
        theirs.close()  # so that its end is noticed here

    def told(self) -> Any:
        """Its results; raises what its job raised, Lost if it is gone."""
        try:
            said = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise Lost(f"a worker process ended ({_how(self.process.exitcode)})") from None
        if isinstance(said, Exception):
            raise said
        return said


def _how(code: int | None) -> str:
    return f"signal {-code}" if code and code < 0 else f"exit code {code}"


def _member(
    pipe: Connection,
    work: Callable[[Any, Any, Tell], Any],
    context: Any,
    jobs: list[Any],
    shares: Any,
    setting: str,
    threads: int,
    log: Path | None,
) -> None:
    prepared(threads, log)
    os.environ[strategy.VARIABLE] = setting
    try:
        results = [work(context, job, _teller(shares, index)) for index, job in enumerate(jobs)]
        strategy.leave()
        pipe.send(results)
    except Exception as error:
        pipe.send(_lost(error) or error)
    while True:  # until it is ended: TensorFlow's own way out waits for the others
        signal.pause()


def _teller(shares: Any, index: int) -> Tell:
    def tell(share: float) -> None:
        if shares is not None:
            shares[index] = share

    return tell


def _lost(error: Exception) -> Lost | None:
    """The error as what it means, if it is one of those that TensorFlow raises where a peer is gone."""
    of_tensorflow = type(error).__module__.startswith("tensorflow.")
    if of_tensorflow and type(error).__name__ in _LOST:
        return Lost(f"another worker is gone: {one_line(str(error), 160)}")
    return None


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()
