"""Names from outside as safe relative paths, and back: nothing is renamed silently, nothing leaves its folder."""

import re
from urllib.parse import unquote_to_bytes

MAX_PATH = 4096


def to_path(name: str) -> str:
    """`name` (a file's path below its root, an object's key below its prefix) as a relative POSIX path.

    Ordinary names stay as they are, spaces, quotes and any script included. What is unsafe in a path, or no UTF-8, is
    percent-encoded: `%`, backslashes, NUL, bytes that are no text, slashes too many, and parts that are `.` or `..`.
    """
    text = "".join(_character(character) for character in name)
    text = re.sub(r"^/|/(?=/|$)", "%2F", text)
    return "/".join("%2E" * len(part) if part in (".", "..") else part for part in text.split("/"))


def from_path(path: str) -> str:
    """The name that `to_path` was given."""
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")


def is_safe(path: str) -> bool:
    """Whether `path` is relative, stays below its root, and is text of 1 to 4096 characters."""
    parts = set(path.split("/"))
    return len(path) <= MAX_PATH and not parts & {"", ".", ".."} and not re.search(r"[\\\0\ud800-\udfff]", path)


def _character(character: str) -> str:
    if re.match(r"[%\\\0\ud800-\udfff]", character):
        return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
    return character
