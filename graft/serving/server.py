"""The listener: how many may be connected at once, and what a connection is allowed to take."""

import errno
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingTCPServer
from types import MappingProxyType
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line
from graft.serving import wire
from graft.serving.answers import Answers
from graft.serving.requests import Request

CONNECTIONS = 512
"""At once; who comes on top is told to come again. A picture's bytes are read only when there is room for them."""
UPLOADS = 16
"""Pictures held in memory at once, 32 MB each at most; the others wait in their senders."""
GRACE_S = 3.0
"""What is being answered when the server ends has so long to be answered."""


class Server(ThreadingTCPServer):
    """Listens on `host` and `port` (0 takes any that is free) until `close`.

    Attributes:
        answers: what is asked.
        names: hosts by which it may be called, beside addresses.
        patience_s: from a connection's start to its answer, reading included.
        offered: kind and bytes by path: what a browser runs the file with, if it may.
        uploads: lent to who reads a picture.
    """

    allow_reuse_address, daemon_threads, request_queue_size = True, True, 256

    def __init__(
        self,
        answers: Answers,
        host: str,
        port: int,
        connections: int = CONNECTIONS,
        patience_s: float = 30.0,
        offered: Mapping[str, tuple[str, bytes]] = MappingProxyType({}),
    ) -> None:
        """Raises EnvironmentProblem: the port is taken, or the host is not this machine's."""
        self.answers, self.patience_s, self.offered = answers, patience_s, offered
        self.names = {"localhost", host.lower()}
        self.uploads = threading.BoundedSemaphore(UPLOADS)
        self._room, self._open, self._at_work, self._changed = connections, 0, 0, threading.Condition()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Request)
        except (OSError, UnicodeError) as error:
            raise EnvironmentProblem(_cannot_listen(host, port, error)) from None

    @property
    def connected(self) -> int:
        """How many are, whether they say anything or not."""
        return self._open

    @property
    def url(self) -> str:
        """Where its page is, for a browser on this machine."""
        host, port = str(self.server_address[0]), int(self.server_address[1])
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://{f'[{here}]' if ':' in here else here}:{port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread of its own, if there is room."""
        with self._changed:
            full = self._open >= self._room
            self._open += not full
        if full:
            self._turn_away(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, counted until it is closed."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless it is that somebody left or said nothing."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @contextmanager
    def working(self) -> Iterator[None]:
        """What is done meanwhile is waited for when the server ends: a browser also keeps connections in reserve."""
        with self._changed:
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Take no more connections, and let what is being answered be answered."""
        self.server_close()
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, GRACE_S)

    def _turn_away(self, request: Any) -> None:
        try:
            request.settimeout(1.0)
            request.sendall(wire.refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._room} are connected; come again"))
        except OSError:
            return  # it left by itself
        finally:
            self.shutdown_request(request)


def _cannot_listen(host: str, port: int, error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {port} of {one_line(host, 80)} is in use; name another with --port, or --port 0 for any free one"
    if isinstance(error, PermissionError):
        return f"port {port} may not be listened on here; name one above 1023 with --port"
    told = error.strerror if isinstance(error, OSError) else "it is no name"
    return f"--host {one_line(host, 80)}: {told}; name an address of this machine, as 127.0.0.1"
