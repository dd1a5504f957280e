"""A server that outlives the command that started it, known by its id and the moment it began.

Ids are used again after a while, and after a restart of the machine at once: a record of an id alone would one day have
a stranger killed. The record is there before the server is, so that no server is ever lost sight of.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import EnvironmentProblem, one_line
from infra.files import write_private

POLL_S = 0.05
LOG_BYTES, KEPT_BYTES = 10_000_000, 1_000_000


@dataclass(frozen=True)
class Running:
    """A process that was started here and lives.

    Attributes:
        since: when it was started, in seconds since 1970.
    """

    pid: int
    since: float


def start(command: list[str], folder: Path, record: Path, log: Path, environment: dict[str, str]) -> None:
    """Start `command` (no shell) in `folder`, out of reach of this terminal; what it says goes to `log`.

    Raises:
        EnvironmentProblem: it cannot be started.
    """
    cut(log)
    done = subprocess.run(
        [sys.executable, "-m", "infra.process", str(record), str(log), *command],
        cwd=folder,
        env=os.environ | {"GRAFT_SERVER_ENVIRONMENT": json.dumps(environment)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.splitlines() or ["it said nothing"])[-1]
        raise EnvironmentProblem(f"{Path(command[0]).name} cannot be started: {one_line(said)}")


def cut(log: Path) -> None:
    """Begin a log anew that has grown over LOG_BYTES; its last KEPT_BYTES stay beside it, in `log.1`.

    Whoever writes it appends, and goes on undisturbed. First it is cut, then the rest is written: on a full disk, too.

    Raises:
        EnvironmentProblem: it cannot be cut.
    """
    try:
        if not log.exists() or log.stat().st_size <= LOG_BYTES:
            return
        with open(log, "r+b") as file:
            file.seek(-KEPT_BYTES, os.SEEK_END)
            last = file.read(KEPT_BYTES).partition(b"\n")[2]
            file.truncate(0)
        write_private(log.with_name(f"{log.name}.1"), last.decode(errors="replace"))
    except OSError as error:
        raise EnvironmentProblem(
            f"{log} is large and cannot be cut: {error.strerror}; mend its owner or mode"
        ) from None


def running(record: Path) -> Running | None:
    """The process of the record, if it is still that one."""
    try:
        said = json.loads(record.read_bytes())
        pid, began, since = int(said["pid"]), str(said["began"]), float(said["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Running(pid, since) if began and _began(pid) == began else None


def stop(record: Path, patience_s: float) -> bool:
    """End the process of the record: asked, and after `patience_s` seconds made to. Whether there was one."""
    found = running(record)
    if found:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            _signal(record, found.pid, sign)
            end = time.monotonic() + patience_s
            while running(record) and time.monotonic() < end:
                time.sleep(POLL_S)
    record.unlink(missing_ok=True)
    return found is not None


def _signal(record: Path, pid: int, sign: signal.Signals) -> None:
    if running(record):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return


def _began(pid: int) -> str:
    """When a process began, in words that no other process has; "" if it does not live."""
    if not Path("/proc/self/stat").exists():
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "" if state in "ZX" else f"{boot} {fields[18]}"  # the 22nd field: clock ticks from boot to its start


def _become(record: Path, log: Path, command: list[str], environment: dict[str, str]) -> None:
    """In the child: write down who I am, then be the server."""
    os.setsid()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_DFL)  # who is started in the background of a script would be deaf to SIGINT
    mine = {"pid": os.getpid(), "began": _began(os.getpid()), "since": time.time()}
    write_private(record, json.dumps(mine))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(file, standard)
    os.execve(command[0], command, environment)


def _main(record: str, log: str, *command: str) -> None:
    """Fork, and wait until the child has become the server: Python's pipes close when another program takes over."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            _become(Path(record), Path(log), list(command), json.loads(os.environ["GRAFT_SERVER_ENVIRONMENT"]))
        except OSError as error:
            os.write(writer, str(error).encode())
        os._exit(1)
    os.close(writer)
    problem = os.read(reader, 4096).decode()
    sys.exit(problem or 0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
