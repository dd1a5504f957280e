"""Jobs spread over an engine's workers, a Prefect task each, until none is due any more.

A job whose worker is lost is done again by another: the engine sees to that. What it made is recorded once, by its
name in the store.
"""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, Self

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from flows import show
from flows.engines import On, environment_kept, runner
from flows.train import UNAVAILABLE, Events, failed
from graft.core.errors import EnvironmentProblem, GateRefused, GraftError
from graft.hub import bundles, store
from graft.hub.bucket import Bucket
from tasks import jobs, works
from tasks.adapters import capped
from tasks.jobs import Due, Job, Send, Wire

STOPPED = "Stopped"
POLL_S = 0.5
"""How often it is looked for jobs that have become possible."""


@task(name="job", persist_result=False, cache_policy=NO_CACHE, retries=0)
def job(said: dict[str, Any]) -> Any:
    """Done by a worker of the engine, wherever that is."""
    one = Job(**said)
    try:
        jobs.do(one, works.WORK[one.work])
    except capped.Stopped as stopped:
        return Completed(name=STOPPED, message=str(stopped))
    except GraftError as error:
        return failed(error)


def spread(what: str, on: On, folder: Path, due: Callable[[Send], Iterable[Due]]) -> int:
    """Have all jobs done that are due, and those that become so; how many there were.

    Args:
        what: the name of the sub-flow, and of its line on the terminal.
        folder: for what a cluster of this machine keeps while it lives.
        due: given what sends a folder, says which can be done now and are not done.

    Raises:
        EnvironmentProblem: no store, no such cluster, or a job's workers died again and again.
        GateRefused: what a job refused.
    """
    engine = runner(on, folder)

    @flow(name=what, task_runner=engine, log_prints=False, persist_result=False)
    def spreading() -> int:
        with show.step(f"{what} on {on}"), closing(Bucket(store.known())) as bucket:
            return _Round(bucket, due, Events(f"{what} on {on}")).run()

    with environment_kept():
        return int(spreading())


class _Sender:
    """Has folders that do not change in the store, each looked at once."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket, self._lock, self._sent = bucket, threading.Lock(), dict[Path, str]()

    def __call__(self, folder: Path) -> str:
        with self._lock:
            if folder not in self._sent:
                self._sent[folder] = bundles.send(self._bucket, folder)
            return self._sent[folder]


class Cluster:
    """An engine's workers, for whoever gives them one job after the other and listens to each.

    Raises as `engines.runner` does.
    """

    def __init__(self, on: On, folder: Path) -> None:
        self._engine, self._bucket = runner(on, folder), Bucket(store.known())
        self._stack = ExitStack()
        self.send: Send = _Sender(self._bucket)

    def __enter__(self) -> Self:
        self._stack.enter_context(environment_kept())
        self._stack.enter_context(closing(self._bucket))
        self._stack.enter_context(self._engine)
        self._flow = copy_context()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, one: Due, on_value: Callable[[float], bool], is_over: Callable[[], bool]) -> bool:
        """Have the job done and what it made brought here; False if it was stopped.

        Args:
            on_value: called with all that it tells; true stops it.
            is_over: asked now and then; true stops it, and nobody waits for that.

        Raises:
            EnvironmentProblem, GateRefused: as `spread`.
        """
        asked = one.job._replace(attempt=uuid.uuid4().hex)
        wire, known, stopped = Wire(self._bucket, asked), 0, False
        ended = threading.Event()
        named = job.with_options(task_run_name=one.job.label)
        # as the flow, not as the task that asks: what a task holds need not travel
        future = self._flow.copy().run(self._engine.submit, named, {"said": asked._asdict()})
        future.add_done_callback(lambda _: ended.set())
        while True:
            over = ended.wait(POLL_S)
            for value in wire.told(known):
                known += 1
                if on_value(value) and not stopped:
                    wire.stop()
                    stopped = True
            if is_over():
                wire.stop()
                return False
            if over:
                break
        if stopped:
            return False
        _ended(self._bucket, future, one)
        return True


def _ended(bucket: Bucket, future: Any, one: Due) -> None:
    """Bring what the job made; or raise what became of it."""
    future.wait()
    state = future.state
    if state.is_completed() and jobs.collect(bucket, one.job, one.into, one.last):
        return
    if state.is_completed() or state.name in (UNAVAILABLE, "Running", "Pending"):
        said = state.message or "its worker was lost again and again; memory is what most die of"
        raise EnvironmentProblem(f"{one.job.label}: {said}")
    raise GateRefused(f"{one.job.label}: {state.message}")


class _Round:
    """What is under way."""

    def __init__(self, bucket: Bucket, due: Callable[[Send], Iterable[Due]], tell: Events) -> None:
        self._bucket, self._due, self._tell, self._send = bucket, due, tell, _Sender(bucket)
        self._going: dict[str, tuple[Any, Due]] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done: set[str] = set()
        self._all = 0

    def run(self) -> int:
        while True:
            before = self._all
            for one in self._due(self._send):  # the first are at work while inputs of others are sent
                if one.job.key in self._done:
                    raise RuntimeError(f"{one.job.label} was done and is due again: {one.last} is not among its files")
                if one.job.key not in self._going:
                    self._start(one)
            self._tell_how_far()
            if self._all == before and not self._going:
                return self._all
            if not self._going:
                continue  # all were done by an earlier run, and more may have become possible
            for key in self._some():
                self._end(key)

    def _start(self, one: Due) -> None:
        self._all += 1
        if self._collected(one):
            return  # done by a run that was killed before it put it here
        future = job.with_options(task_run_name=one.job.label).submit(one.job._asdict())
        self._going[one.job.key] = (future, one)
        future.add_done_callback(partial(self._ended_with, one.job.key))

    def _ended_with(self, key: str, future: Any) -> None:
        self._ended.put(key)

    def _some(self) -> list[str]:
        """Keys of jobs that have ended meanwhile, one at least."""
        found = [self._ended.get()]
        time.sleep(POLL_S)
        while not self._ended.empty():
            found.append(self._ended.get())
        return found

    def _end(self, key: str) -> None:
        future, one = self._going.pop(key)
        _ended(self._bucket, future, one)
        self._done.add(key)

    def _collected(self, one: Due) -> bool:
        there = jobs.collect(self._bucket, one.job, one.into, one.last)
        self._done |= {one.job.key} if there else set()
        return there

    def _tell_how_far(self) -> None:
        event = {"what": "jobs", "done": self._all - len(self._going), "total": self._all}
        self._tell(event)
