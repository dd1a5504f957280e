"""Work that is done elsewhere: a job names what it reads in the store, and what it made is found there by the job.

Nothing else is shared with whoever does it. A job that was done is not done again; of two that do the same one at
once, because a machine was given up too early, the first result stands.
"""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import tasks
from graft.core.errors import EnvironmentProblem, GateRefused
from graft.hub import bundles, cache, sealed, store
from graft.hub.bucket import Bucket, Missing
from tasks import ahead, training
from tasks.adapters import files
from tasks.stage import keep_to_itself
from tasks.workspace import Workspace

RESULTS, TOLD = f"{bundles.PREFIX}results/", f"{bundles.PREFIX}told/"
STOP = "stop"
MOST_TOLD = 1000
KEPT, KEPT_GB = "GRAFT_SPREAD_GB", 10
"""Environment variable: how much of what jobs read a machine keeps for the next ones; and what it is without it."""
Send = Callable[[Path], str]
"""Has a folder, or a file as if it were alone in one, in the store; the name of its bundle."""


class Job(NamedTuple):
    """A piece of work, as it travels.

    Attributes:
        work: which; one of those that the worker knows.
        label: for people.
        reads: bundles by name.
        said: what else decides it, as JSON can hold it.
        code: `code()` of whoever wants it done.
        attempt: names this asking for it; that one asking may stop is no word on the next.
    """

    work: str
    label: str
    reads: Mapping[str, str]
    said: Mapping[str, Any]
    code: str
    attempt: str = ""

    @property
    def key(self) -> str:
        """The same for whatever comes to the same."""
        decides = [self.work, dict(self.reads), dict(self.said), self.code]
        return hashlib.sha256(json.dumps(decides, sort_keys=True, allow_nan=False).encode()).hexdigest()


class Desk(NamedTuple):
    """What a worker has before it.

    Attributes:
        reads: the bundles' folders by name; not to be changed.
        said: what else decides the job.
        kept: a folder for what may be resumed after a kill.
        made: an empty folder for what it makes.
        wire: to whoever gave the job.
    """

    reads: Mapping[str, Path]
    said: Mapping[str, Any]
    kept: Path
    made: Path
    wire: "Wire"


Work = Callable[[Desk], None]


class Wire:
    """What is said between a job at work and whoever gave it, through the store: values in order, and that it may stop.

    What a job tells when it is done again after its worker was lost is what it told before.
    """

    def __init__(self, bucket: Bucket, job: Job) -> None:
        self._bucket, self._prefix = bucket, f"{TOLD}{job.key}/"
        self._stop = f"{self._prefix}{STOP}-{job.attempt}"

    def tell(self, number: int, value: float) -> None:
        """The value of step `number`, from 0 on."""
        self._bucket.create(f"{self._prefix}{number:04}", json.dumps(value).encode())

    def told(self, known: int = 0) -> list[float]:
        """Values of the steps from `known` on, as far as they were told in order."""
        there, found = set(self._bucket.keys(self._prefix)), []
        for number in range(known, MOST_TOLD):
            if (key := f"{self._prefix}{number:04}") not in there:
                break
            found.append(float(json.loads(self._bucket.read(key, 100).data)))
        return found

    def stop(self) -> None:
        """Whoever gave the job wants no more of it."""
        self._bucket.create(self._stop, b"")

    def is_stopped(self) -> bool:
        """Whether that was said."""
        return self._stop in self._bucket.keys(self._stop)


class Due(NamedTuple):
    """A job that can be done now, and where what it makes goes; the file `last` says that it is there."""

    job: Job
    into: Path
    last: str


@lru_cache
def code() -> str:
    """Names the code and its libraries; two machines with the same one get the same figures."""
    return training.key_of([version(name) for name in ahead.LIBRARIES], [Path(tasks.__file__).parent])


def do(job: Job, work: Work) -> None:
    """Bring what the job reads, do it, send what it made. Waits while another job is done in this process.

    Raises:
        EnvironmentProblem: no store is named here, it does not answer, or the code here is not the sender's.
        GraftError: what `work` raises.
    """
    if job.code != code():
        raise EnvironmentProblem(
            f"{job.label}: this worker has code {code()[:12]}, the run has {job.code[:12]}; "
            "install the same commit and requirements.lock on every machine"
        )
    with _ONE_AT_A_TIME, closing(Bucket(store.known())) as bucket:
        keep_to_itself(Workspace(shelf()))
        place = shelf() / "jobs" / job.key
        with _alone(place):
            if not _result(bucket, job):
                with bundles.held(bucket, job.reads, shelf() / "bundles") as reads:
                    work(Desk(reads, job.said, place / "kept", place / "made", Wire(bucket, job)))
                made = bundles.send(bucket, place / "made")
                bucket.create(_key(job), sealed.seal({"bundle": made}))
        bundles.trim(shelf() / "bundles", _most_bytes())


def collect(bucket: Bucket, job: Job, into: Path, last: str) -> bool:
    """Put what a job made into the folder `into`; whether the job is done.

    Args:
        last: the file that says that the others are there; it is put there last.

    Raises:
        BadInput: what it made was altered in the store.
    """
    found = _result(bucket, job)
    if found is None:
        return False
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".", suffix=".part") as came:
        folder = bundles.fetch(bucket, found, Path(came))
        every = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == last)
        for path in every:
            with files.written_aside(into / path.relative_to(folder)) as aside:
                shutil.copyfile(path, aside)
    return True


def shelf() -> Path:
    """Where this machine keeps what jobs read, and what they are in the middle of: below `GRAFT_CACHE`."""
    return cache.root() / "spread"


def _most_bytes() -> int:
    said = os.environ.get(KEPT, "")
    if said and not (said.isascii() and said.isdigit()):
        raise EnvironmentProblem(f"{KEPT} is {said[:40]!r}; a whole number of gigabytes would do")
    return int(said or KEPT_GB) * 1_000_000_000


def _result(bucket: Bucket, job: Job) -> str | None:
    try:
        told = sealed.unseal(bucket.read(_key(job), sealed.MAX_BYTES).data, _key(job))
    except Missing:
        return None
    return str(told["bundle"])


def _key(job: Job) -> str:
    return f"{RESULTS}{job.key}.json"


_ONE_AT_A_TIME = threading.Lock()  # networks are shared by the jobs of a process


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """While no other process of this machine does the same job; it may have been given up and be at work still.

    What was kept goes when the job is done, or refused as it would be again; any other end leaves it.
    """
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with bundles.locked(place.parent / f".{place.name}.lock"):
        shutil.rmtree(place / "made", ignore_errors=True)
        for name in ("kept", "made"):
            (place / name).mkdir(parents=True, exist_ok=True)
        try:
            yield
        except GateRefused:
            shutil.rmtree(place)
            raise
        shutil.rmtree(place)
