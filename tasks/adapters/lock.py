"""One run at a time in a workspace: a lock that the operating system lets go of when its holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from graft.core.errors import EnvironmentProblem


class Busy(EnvironmentProblem):
    """Another process holds the lock."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises:
        Busy: another process holds it; the text names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise Busy(
                f"another run is going on in this workspace (process {holder}); wait for it to end, or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


POLL_S = 0.5


@contextmanager
def waited_for(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the lock while the block runs, after whoever holds it now.

    Raises:
        EnvironmentProblem: others held it for `patience_s` seconds.
    """
    end = time.monotonic() + patience_s
    with ExitStack() as holding:
        while True:
            try:
                holding.enter_context(held(path))
                break
            except Busy:
                if time.monotonic() > end:
                    raise
                time.sleep(POLL_S)
        yield
