"""Run a program whose output comes back line by line through a pipe of its own, and that dies with its parent.

A child that inherits its parent's output keeps it open after the parent's death, and whoever reads it waits.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def run(arguments: Sequence[str], folder: Path, environment: dict[str, str], on_line: Callable[[str], None]) -> int:
    """Run `arguments` (no shell) in `folder`, hand each line of output to `on_line`, and return the exit code.

    It and what it starts are a process group of their own, which is killed if this is interrupted.
    """
    from graft.core.processes import STARTED_BY  # loads NumPy, which others here can do without

    command = [sys.executable, "-m", "tasks.adapters.process", *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment | {STARTED_BY: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                on_line(line.rstrip("\n"))
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # what it started, too: a stage would go on writing
            raise
    return process.returncode


def output(arguments: Sequence[str], folder: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `arguments` (no shell) in `folder`."""
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def plain_environment() -> dict[str, str]:
    """This process's environment without what git's hooks set, which would point it to another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


if __name__ == "__main__":
    from graft.core.processes import STARTED_BY, die_with_parent

    die_with_parent()  # survives the exec below
    os.environ[STARTED_BY] = str(os.getpid())
    os.execvp(sys.argv[1], sys.argv[1:])
