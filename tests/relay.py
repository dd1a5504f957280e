"""Stands between a client and the real S3 server: tells what was asked for, and does what bad networks do."""

import http.client
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

Meddle = Callable[[str, bytes], bytes | None]
"""What becomes of the body that answers a GET of this path; None: the answer is 503, as of an overloaded store."""

Ask = Callable[[str], bool]


Step = Callable[[str, bool], bool]
"""Told of each request, before it is passed on (False) and before its answer is (True); whether to go on with it."""


def _never(told: str) -> bool:
    return False


class Relay(ThreadingHTTPServer):
    """Passes requests on to the server at `endpoint` and its answers back.

    Attributes:
        asked: what came, as "GET /bucket/key", "HEAD ...", "PUT ..." or "LIST prefix", in order.
        meddle: see Meddle; leaves everything as it is at first.
        delay_s: how long each request waits before it is passed on.
        hangs, busy, cut: told of each request as in `asked`; whether it is never answered, answered 503, or answered
            with a body that ends half way.
        step: see Step; where it says no, the connection is closed.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(endpoint).netloc
        self.asked: list[str] = []
        self.meddle: Meddle = lambda path, body: body
        self.delay_s = 0.0
        self.hangs: Ask = _never
        self.busy: Ask = _never
        self.cut: Ask = _never
        self.step: Step = lambda told, answered: True
        self.closed = Event()
        self.lock = Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that were killed are what tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def gets(self) -> list[str]:
        """Keys of the GETs so far, the bucket left out; each call starts anew."""
        with self.lock:
            found = [one.split("/", 2)[2] for one in self.asked if one.startswith("GET")]
            self.asked.clear()
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # headers and body in one packet: the second would wait for the first one's acknowledgement
    server: Relay

    def handle_expect_100(self) -> bool:
        go_on = super().handle_expect_100()
        self.wfile.flush()  # else each PUT waits a second for it
        return go_on

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        listing = "list-type" in query
        told = f"LIST {query.get('prefix', [''])[0]}" if listing else f"{self.command} {unquote(url.path)}"
        with self.server.lock:
            self.server.asked.append(told)
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.delay_s)
        if self.server.hangs(told):
            self.server.closed.wait()
            return
        if self.server.busy(told):
            self._answer(503, b"")
            return
        if not self.server.step(told, False):
            self.close_connection = True
            return
        connection = http.client.HTTPConnection(self.server.behind, timeout=20)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(sent or None)
            answer = connection.getresponse()
            body = self.server.meddle("LIST" if listing else unquote(url.path), answer.read())
            if not self.server.step(told, True):
                self.close_connection = True
                return
            self._pass_on(answer, body, self.server.cut(told))
        finally:
            connection.close()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _pass_on(self, answer: http.client.HTTPResponse, body: bytes | None, cut: bool) -> None:
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        self._answer(503 if body is None else answer.status, body or b"", answer.getheaders(), length, cut)

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: list[tuple[str, str]] | None = None,
        length: str | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers or ():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut


@contextmanager
def relay(endpoint: str) -> Iterator[Relay]:
    """A running relay to `endpoint`."""
    with Relay(endpoint) as running:
        thread = Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            running.closed.set()
            running.shutdown()
            thread.join()
