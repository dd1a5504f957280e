"""Bytes on a connection: what stands before every answer, and reading that ends in time."""

import io
import json
import socket
import time
from http import HTTPStatus
from typing import Any

from graft.serving import page

HTML, JSON = "text/html; charset=utf-8", "application/json"
PIECE = 65_536
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Connection": "close",  # one request each: a deadline for the connection is one for the request
}


def headers(kind: str, content: bytes, is_run_here: bool = False) -> dict[str, str]:
    """What stands before `content`; see `page.policy`."""
    policy = page.policy(is_run_here)
    own = {"Content-Type": kind, "Content-Length": str(len(content)), "Content-Security-Policy": policy}
    return own | HEADERS


def problem(text: str) -> bytes:
    """A line that says why there is no answer, as JSON."""
    return spelt({"error": text})


def spelt(value: Any) -> bytes:
    """`value` as a line of JSON."""
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def refusal(status: HTTPStatus, text: str) -> bytes:
    """A whole answer that says why there is none, for who is not let in."""
    content = problem(text)
    lines = [f"{name}: {value}" for name, value in headers(JSON, content).items()]
    return "\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}", *lines, "", ""]).encode() + content


class Arriving(io.RawIOBase):
    """What a socket sends until `end`, by time.monotonic(); after that TimeoutError, however slowly it drips."""

    def __init__(self, connection: socket.socket, end: float) -> None:
        self._connection, self._end = connection, end

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As io.RawIOBase has it."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)

    def drain(self) -> None:
        """Read all, and forget it."""
        rubbish = bytearray(PIECE)
        while self.readinto(rubbish):
            pass
