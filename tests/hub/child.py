"""The real commands in processes of their own, which may be killed. They are forked with everything imported, so that
hundreds of them take minutes instead of an hour.

`graft publish` needs a finished workspace; `publish` here publishes a little release.
"""

import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from graft import cli
from graft.commands import refuse
from graft.core import errors
from graft.core.errors import GraftError
from graft.hub import releases, stages, store
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from tests.hub.little_release import draft

Command = tuple[str, ...]
SLOW_S = 300
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["graft.edge", "graft.cli", "graft.commands.releases", "graft.commands.show", "graft.hub.stages", "boto3", "pytest"]
    + ["model_signing.signing", "model_signing.verifying"]
)


@dataclass(frozen=True)
class Ended:
    """What a process left."""

    exit_code: int
    out: str
    err: str

    def line(self, exit_code: int) -> str:
        """Its one line, after it ended with that code and printed no other."""
        assert self.exit_code == exit_code, self
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("graft: "), self
        return lines[0].removeprefix("graft: ")

    def done(self) -> str:
        """What it printed, after it ended well."""
        assert self.exit_code == 0, self
        return self.out


class Child:
    """One running command."""

    def __init__(self, folder: Path, command: Command, environment: dict[str, str]) -> None:
        self._said = Path(tempfile.mkdtemp())
        wanted = {**os.environ, **environment}
        self._process: BaseProcess = FORKS.Process(target=_work, args=(folder, self._said, command, wanted))
        self._process.start()

    @property
    def is_running(self) -> bool:
        return self._process.exitcode is None

    def end(self) -> Ended:
        """What it left, once it has ended."""
        self._process.join(SLOW_S)
        if self._process.exitcode is None:
            self.kill()
            self._process.join()
        out, err = ((self._said / name).read_text(errors="replace") for name in ("out", "err"))
        shutil.rmtree(self._said)
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, out, err)

    def kill(self) -> None:
        """kill -9; it is dead when this returns. Any thread may call it."""
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGKILL)
        wait([self._process.sentinel])


def start(folder: Path, *command: str, **environment: str) -> Child:
    """Start `("graft", ...)` or one of `_VERBS` in `folder`, with this process's environment and more."""
    return Child(folder, command, environment)


def run(folder: Path, *command: str, **environment: str) -> Ended:
    """Start it and wait until it has ended."""
    return start(folder, *command, **environment).end()


def _work(folder: Path, said: Path, command: Command, environment: dict[str, str]) -> None:
    for number, (path, how) in enumerate([(Path(os.devnull), "r"), (said / "out", "w"), (said / "err", "w")]):
        with path.open(how) as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    verb, *arguments = command
    if verb == "graft":
        sys.argv = list(command)
        cli.main()
        return
    try:
        _VERBS[verb](*arguments)
    except GraftError as error:
        refuse(errors.message(error), error.exit_code)


def _bucket() -> Bucket:
    place = store.from_environment()
    assert place
    return Bucket(place)


def _publish(folder: str, model: str, seed: str, version: str = "") -> None:
    bucket = _bucket()
    contents, files = draft(Path(folder), int(seed), name=model)
    stages.enter(bucket, releases.publish(bucket, contents, files, version or None))


def _switch(model: str, new: str, times: str, begun: str) -> None:
    """Move prod to `new` and back, so many moves in all, each while a read goes on that began after the last move.

    Args:
        begun: a file that grows when a read begins.
    """
    bucket, reads = _bucket(), Path(begun)
    for turn in range(int(times)):
        before = reads.stat().st_size
        while reads.stat().st_size == before:
            time.sleep(0.001)
        if turn % 2:
            stages.rollback(bucket, model)
        else:
            stages.promote(bucket, reference(f"{model}@{new}"), "prod")


def _lines(lines: str) -> None:
    """Run many command lines of graft; print the exit code and the errors of each."""
    ends = []
    for line in json.loads(lines):
        sys.argv, sys.stderr = ["graft", *line], io.StringIO()
        try:
            cli.main()
            ends.append((0, sys.stderr.getvalue()))
        except SystemExit as end:
            ends.append((end.code, sys.stderr.getvalue()))
        except Exception:
            ends.append((-1, traceback.format_exc()))
    print(json.dumps(ends))


def _small(*command: str) -> None:
    """A command of graft on a disk that takes no file over 1 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    sys.argv = ["graft", *command]
    cli.main()


_VERBS = {"publish": _publish, "switch": _switch, "lines": _lines, "small": _small}
