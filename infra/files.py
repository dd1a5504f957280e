"""Files that their owner alone reads, and a lock: what the platform remembers between two commands."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graft.core.errors import EnvironmentProblem

LOCK_POLL_S = 0.1


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 aside, then rename it: there whole or not at all, and never readable by others."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def make_private(folder: Path) -> None:
    """A folder of mode 0700, if it is not there yet.

    Raises:
        EnvironmentProblem: it cannot be made, or this user may not write there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"{folder} cannot be made: {error.strerror}; mend the path or its owner") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EnvironmentProblem(f"{folder} cannot be written by this user; mend its owner or mode")


@contextmanager
def alone(path: Path, patience_s: float) -> Iterator[None]:
    """Hold the lock `path` while the block runs; the system lets go of it when its holder dies.

    Raises:
        EnvironmentProblem: somebody else held it for `patience_s` seconds.
    """
    end = time.monotonic() + patience_s
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise EnvironmentProblem(
                        f"another graft up or down has been at work for {patience_s:.0f} s; wait for it, or stop it"
                    ) from None
                time.sleep(LOCK_POLL_S)
        yield
