"""A line of so many bytes a second, in front of a server on this machine."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from urllib.parse import urlsplit

CHUNK = 1 << 16


class Line:
    """All connections share `bytes_per_s`; each direction has its own, as on most lines."""

    def __init__(self, endpoint: str, bytes_per_s: float) -> None:
        url = urlsplit(endpoint)
        self._behind = (url.hostname or "", url.port or 80)
        self._s_per_byte = 1 / bytes_per_s
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Pass connections on until `close`."""
        up, down = _Pace(self._s_per_byte), _Pace(self._s_per_byte)
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._behind)
            for start, end, pace in ((near, far, up), (far, near, down)):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                Thread(target=_pass_on, args=(start, end, pace), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class _Pace:
    def __init__(self, s_per_byte: float) -> None:
        self._s_per_byte, self._free_at, self._lock = s_per_byte, 0.0, Lock()

    def wait(self, n_bytes: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + n_bytes * self._s_per_byte
            ends = self._free_at
        time.sleep(ends - now)


def _pass_on(start: socket.socket, end: socket.socket, pace: _Pace) -> None:
    try:
        while chunk := start.recv(CHUNK):
            pace.wait(len(chunk))
            end.sendall(chunk)
        end.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of the two has gone


@contextmanager
def line(endpoint: str, bytes_per_s: float) -> Iterator[str]:
    """The endpoint at the near end of a line to `endpoint`."""
    made = Line(endpoint, bytes_per_s)
    thread = Thread(target=made.serve)
    thread.start()
    try:
        yield made.endpoint
    finally:
        made.close()
        thread.join()
