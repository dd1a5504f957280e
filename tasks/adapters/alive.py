"""Whether a worker lives: processes by machine, id and the moment they began at, for an id alone is used again."""

import os
import socket
from pathlib import Path


def machine() -> str:
    """Of this name, since it was switched on."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}-{boot}"


def me() -> str:
    """This process, as it stands beside what it works at."""
    return f"{machine()}/{os.getpid()}/{_began(os.getpid())}"


def lives(worker: str) -> bool:
    """Whether the process of this machine lives: its id may be another's by now, the moment it began at is not."""
    _, pid, began = worker.rsplit("/", 2)
    return began == _began(int(pid))


def _began(pid: int) -> str:
    """Clock ticks after boot at which a process began; "" if there is none, or if it is dead and not yet forgotten."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
