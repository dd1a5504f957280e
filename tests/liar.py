"""A store that breaks its promises: stands before the real one, changes what it is asked or what it answers, and signs
anew with the same key, since a client's signature covers the headers that are lied about."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from tests.store import Server

SIGNED = ("authorization", "x-amz-date", "x-amz-content-sha256", "host", "connection", "content-length", "expect")
KEPT = ("authorization", "content-length", "transfer-encoding", "connection", "server", "date")


@dataclass
class Exchange:
    """One request and its answer; a lie changes either."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    ask: Callable[["Exchange"], None]
    status: int = 0
    answer: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_listing(self) -> bool:
        return "list-type" in self.path


Lie = Callable[[Exchange], None]
"""Fulfils an exchange; an honest one calls its `ask` and no more."""


def honest(exchange: Exchange) -> None:
    exchange.ask(exchange)


def forgetting(*names: str) -> Lie:
    """Does not see these headers of a request."""

    def lie(exchange: Exchange) -> None:
        exchange.headers = {name: value for name, value in exchange.headers.items() if name.lower() not in names}
        exchange.ask(exchange)

    return lie


def looking_before_it_writes(exchange: Exchange) -> None:
    """Looks whether the object is there, and a moment later writes it all the same: fine but for those who race."""
    if exchange.headers.pop("If-None-Match", ""):
        look = Exchange("HEAD", exchange.path, {}, b"", exchange.ask)
        look.ask(look)
        if look.status == 200:
            exchange.status, exchange.answer = 412, b"<Error><Code>PreconditionFailed</Code></Error>"
            return
        time.sleep(0.1)
    exchange.ask(exchange)


def keeping_no_checksum(exchange: Exchange) -> None:
    exchange.ask(exchange)
    told = exchange.answer_headers
    exchange.answer_headers = {name: told[name] for name in told if not name.lower().startswith("x-amz-checksum")}


def listing(change: Callable[[bytes], bytes]) -> Lie:
    """Answers a listing with something else."""

    def lie(exchange: Exchange) -> None:
        exchange.ask(exchange)
        if exchange.is_listing:
            exchange.answer = change(exchange.answer)

    return lie


def without_its_end(text: bytes) -> bytes:
    """One page is all there is."""
    return text.replace(b"<IsTruncated>true<", b"<IsTruncated>false<")


def backwards(text: bytes) -> bytes:
    found = re.findall(rb"<Contents>.*?</Contents>", text)
    for n, one in enumerate(found):
        text = text.replace(one, b"<%d>" % n, 1)
    for n, one in enumerate(reversed(found)):
        text = text.replace(b"<%d>" % n, one, 1)
    return text


def without_its_last(text: bytes) -> bytes:
    """What was written last is listed later."""
    head, mark, tail = text.rpartition(b"<Contents>")
    return head + tail.partition(b"</Contents>")[2] if mark else text


def flat(exchange: Exchange) -> None:
    """Knows no folders."""
    exchange.path = re.sub(r"&delimiter=[^&]*|delimiter=[^&]*&", "", exchange.path)
    exchange.ask(exchange)


def remembering() -> Lie:
    """A cache in between, which answers with what an object held first."""
    seen: dict[str, tuple[int, bytes, dict[str, str]]] = {}

    def lie(exchange: Exchange) -> None:
        if exchange.method == "GET" and exchange.path in seen:
            exchange.status, exchange.answer, exchange.answer_headers = seen[exchange.path]
            return
        exchange.ask(exchange)
        if exchange.method == "GET" and not exchange.is_listing and exchange.status == 200:
            seen[exchange.path] = exchange.status, exchange.answer, exchange.answer_headers

    return lie


def unable(exchange: Exchange) -> None:
    """Says of conditions that it has none."""
    if "If-None-Match" in exchange.headers:
        exchange.status, exchange.answer = 501, b"<Error><Code>NotImplemented</Code></Error>"
    else:
        exchange.ask(exchange)


class Liar(ThreadingHTTPServer):
    """Passes requests on to `server`, as `lie` has it."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, server: Server, lie: Lie) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.lie = server, lie

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ask(self, exchange: Exchange) -> None:
        """What the real store answers; written into the exchange."""
        import http.client

        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        headers = {name: value for name, value in exchange.headers.items() if name.lower() not in SIGNED}
        url = f"{self.behind.endpoint}{exchange.path}"
        request = AWSRequest(exchange.method, url, headers, exchange.body)
        S3SigV4Auth(Credentials(self.behind.key, self.behind.secret), "s3", "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        try:
            connection.request(exchange.method, exchange.path, exchange.body, dict(request.headers.items()))
            answer = connection.getresponse()
            exchange.status, exchange.answer = answer.status, answer.read()
            exchange.answer_headers = dict(answer.getheaders())
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16
    server: Liar

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        exchange = Exchange(self.command, self.path, dict(self.headers.items()), body, self.server.ask)
        self.server.lie(exchange)
        self.send_response_only(exchange.status)
        length = exchange.answer_headers.get("Content-Length", "0") if self.command == "HEAD" else None
        for name, value in exchange.answer_headers.items():
            if name.lower() not in KEPT:
                self.send_header(name, value)
        if exchange.status != 204:
            self.send_header("Content-Length", length or str(len(exchange.answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(exchange.answer)

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()  # else the client waits a second for it
        return going_on

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def liar(server: Server, lie: Lie) -> Iterator[Liar]:
    """A running one."""
    with Liar(server, lie) as running:
        thread = Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
