"""One run at a time in a workspace: a lock that the operating system lets go of when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graft.core.errors import EnvironmentProblem


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises:
        EnvironmentProblem: another process holds it; the text names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise EnvironmentProblem(
                f"another run is going on in this workspace (process {holder}); wait for it to end, or stop it"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
