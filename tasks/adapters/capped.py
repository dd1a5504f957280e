"""Run a program that may take so many minutes and so much memory; line by line, and it dies with its parent."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from graft.core.errors import GateRefused
from graft.core.sections import Section

LOOK_S = 0.2
"""How often memory is looked at; the most that it was since the last look counts."""


class Exceeded(GateRefused):
    """It took more than it may, and was ended."""


class Stopped(GateRefused):
    """Whoever listens to it wants no more of it."""


class Interrupted(BaseException):
    """Nobody waits for it any more. No error of the program's: it may be run again."""


class Limits(Section):
    """Seconds, and resident memory in 2**20 bytes, of the program without what it starts."""

    seconds: float
    memory_mb: int


def run(
    arguments: Sequence[str],
    folder: Path,
    environment: dict[str, str],
    limits: Limits,
    on_line: Callable[[str], None],
    is_over: Callable[[], bool] = lambda: False,
) -> int:
    """Run `arguments` (no shell) in `folder`, hand each line of output to `on_line`, and return the exit code.

    It is killed, with what it started, when this ends in any other way.

    Args:
        is_over: asked now and then; true ends it.

    Raises:
        Exceeded: it took more than `limits`; the text says of what, and what was found.
        Interrupted: `is_over`.
        Exception: what `on_line` raised.
    """
    from graft.core.processes import STARTED_BY

    command = [sys.executable, "-m", "tasks.adapters.process", *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {STARTED_BY: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        _follow(process, limits, on_line, is_over)
        return process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _follow(
    process: "subprocess.Popen[bytes]", limits: Limits, on_line: Callable[[str], None], is_over: Callable[[], bool]
) -> None:
    """Until it closes its output."""
    assert process.stdout is not None
    end, rest = time.monotonic() + limits.seconds, b""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while True:
            if ready.select(LOOK_S):
                read = os.read(process.stdout.fileno(), 65_536)
                if not read:
                    return
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    on_line(line.decode("utf-8", "replace"))
            if (used := peak_mb(process.pid)) > limits.memory_mb:
                raise Exceeded(f"it took {used} MB of memory, and caps.memory_mb is {limits.memory_mb}")
            if is_over():
                raise Interrupted
            if time.monotonic() > end:
                raise Exceeded(f"it took longer than caps.minutes, which is {limits.seconds / 60:g}")


def peak_mb(pid: int) -> int:
    """The most resident memory that a process has had, in 2**20 bytes; 0 where the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0
