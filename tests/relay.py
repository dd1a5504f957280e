"""Stands between a client and the real S3 server: tells what was asked for, and does what bad networks do."""

import http.client
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, unquote, urlsplit

Meddle = Callable[[str, bytes], bytes | None]
"""What becomes of the body that answers a GET of this path; None: the answer is 503, as of an overloaded store."""


class Relay(ThreadingHTTPServer):
    """Passes requests on to the server at `endpoint` and its answers back.

    Attributes:
        asked: what came, as "GET /bucket/key", "HEAD ..." or "LIST prefix", in order.
        meddle: see Meddle; leaves everything as it is at first.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(endpoint).netloc
        self.asked: list[str] = []
        self.meddle: Meddle = lambda path, body: body
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

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        listing = "list-type" in query
        told = f"LIST {query.get('prefix', [''])[0]}" if listing else f"{self.command} {unquote(url.path)}"
        with self.server.lock:
            self.server.asked.append(told)
        connection = http.client.HTTPConnection(self.server.behind, timeout=20)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            self._pass_on(answer, self.server.meddle("LIST" if listing else unquote(url.path), answer.read()))
        finally:
            connection.close()

    do_HEAD = do_GET

    def _pass_on(self, answer: http.client.HTTPResponse, body: bytes | None) -> None:
        self.send_response_only(503 if body is None else answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = answer.getheader("content-length", "0") if self.command == "HEAD" else str(len(body or b""))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(body or b"")


@contextmanager
def relay(endpoint: str) -> Iterator[Relay]:
    """A running relay to `endpoint`."""
    with Relay(endpoint) as running:
        thread = Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
