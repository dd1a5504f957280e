"""One file below a folder, read without following a link, waiting on a pipe or waking a device."""

import os
import stat
from pathlib import Path

SPECIAL = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
LINK = f"unsafe_file: is {SPECIAL[stat.S_IFLNK]}"


def read(root: Path, name: str, max_bytes: int) -> tuple[bytes, str]:
    """The file's bytes and "", or b"" and why it was not read, as "rule: reason".

    Every folder on the way is opened from the one above it: a link put in its place meanwhile leads nowhere.

    Args:
        name: relative to `root`, `/` between the parts, as the file system has it.
    """
    *folders, last = name.split("/")
    try:
        held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return b"", _unreadable(error)
    try:
        for folder in folders:
            if stat.S_ISLNK(os.stat(folder, dir_fd=held, follow_symlinks=False).st_mode):
                return b"", "unsafe_file: lies below a symbolic link"
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = below
        return _read_in(held, last, max_bytes)
    except (OSError, ValueError) as error:
        return b"", _unreadable(error)
    finally:
        os.close(held)


def _read_in(folder: int, name: str, max_bytes: int) -> tuple[bytes, str]:
    # Asked before it is opened, as opening alone can move a device; and again after, as it may have been swapped.
    if problem := _problem(os.stat(name, dir_fd=folder, follow_symlinks=False), max_bytes):
        return b"", problem
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        if problem := _problem(os.fstat(file.fileno()), max_bytes):
            return b"", problem
        data = file.read(max_bytes + 1)
        return (data, "") if len(data) <= max_bytes else (b"", f"too_large: grew to more than {max_bytes} bytes")


def _problem(status: os.stat_result, max_bytes: int) -> str:
    if not stat.S_ISREG(status.st_mode):
        return f"unsafe_file: is {SPECIAL.get(stat.S_IFMT(status.st_mode), 'no regular file')}"
    too_large = f"too_large: has {status.st_size} bytes; at most {max_bytes} are read"
    return too_large if status.st_size > max_bytes else ""


def _unreadable(error: OSError | ValueError) -> str:
    return f"unreadable: {(isinstance(error, OSError) and error.strerror) or error}"
