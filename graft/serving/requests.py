"""One request: who asks, what for, and the answer, as JSON; what is wrong with it in one line."""

import io
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from graft.core.errors import one_line
from graft.modalities import image
from graft.serving import checks, page, wire
from graft.serving.answers import Busy
from graft.serving.checks import Problem

if TYPE_CHECKING:
    from graft.serving.server import Server

KNOWN = "there are GET /, GET /model and POST /predict"
LINGER_S = 5.0
"""So long is what nobody wants read on, for its sender to hear why."""

Content = tuple[str, bytes]
"""Its kind and its bytes."""


class Request(BaseHTTPRequestHandler):
    """Answers GET / and /model, and POST /predict."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Whatever is read has to be there before the server's patience ends, byte by byte or at once."""
        super().setup()
        self._end, self._unread = time.monotonic() + self.server.patience_s, False
        self.rfile = io.BufferedReader(wire.Arriving(self.connection, self._end))

    def do_GET(self) -> None:
        """The page, what it has to know of the release, or what it runs the file with."""
        offered = {path: lambda found=found: found for path, found in self.server.offered.items()}
        self._answer({"/": self._page, "/model": self._model, **offered})

    def do_HEAD(self) -> None:
        """What GET would answer, without the content."""
        self.do_GET()

    def do_POST(self) -> None:
        """What the picture in the body shows."""
        self._answer({"/predict": lambda: (wire.JSON, wire.spelt(self._predict()))})

    def parse_request(self) -> bool:
        """As the class above does it; and note whether a body follows."""
        is_sound = super().parse_request()
        if is_sound:
            self._unread = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        return is_sound

    def handle_expect_100(self) -> bool:
        """Nothing yet: a body is welcome only once it is known to be taken; see `_body`."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the class above finds wrong with a request, as JSON like all else."""
        text = one_line(message or HTTPStatus(code).phrase)
        known = f"; {KNOWN}" if code == HTTPStatus.NOT_IMPLEMENTED else ""
        self._send(HTTPStatus(code), wire.JSON, wire.problem(text + known))

    def version_string(self) -> str:
        """Which program answers; its version is nobody's business."""
        return "graft"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for what goes wrong."""

    def finish(self) -> None:
        """Close; if what was sent is not read to its end, the sender's machine would throw our answer away."""
        super().finish()
        if self._unread:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)
                wire.Arriving(self.connection, time.monotonic() + LINGER_S).drain()

    def _answer(self, known: dict[str, Callable[[], Content]]) -> None:
        with self.server.working():
            self._try(known)

    def _try(self, known: dict[str, Callable[[], Content]]) -> None:
        path = urlsplit(self.path).path
        try:
            checks.sender(self.headers, path, self.server.names)
            if path not in known:
                raise Problem(HTTPStatus.NOT_FOUND, f"{self.command} {path} is nothing here; {KNOWN}")
            self._send(HTTPStatus.OK, *known[path]())
        except Problem as problem:
            self._send(problem.status, wire.JSON, wire.problem(one_line(str(problem))))
        except (ConnectionError, TimeoutError):
            raise  # nobody listens any more
        except Exception:
            told = "graft failed at this; the terminal that it runs in says how"
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, wire.JSON, wire.problem(told))
            raise

    def _page(self) -> Content:
        return wire.HTML, page.text().encode()

    def _model(self) -> Content:
        said = self.server.answers.describe() | {"in_browser": bool(self.server.offered)}
        return wire.JSON, wire.spelt(said)

    def _predict(self) -> dict[str, Any]:
        asked, length = checks.asked(urlsplit(self.path).query), checks.length(self.headers)
        if not self.server.uploads.acquire(timeout=max(0.0, self._end - time.monotonic())):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "others are being answered; ask again in a moment")
        try:
            return self.server.answers.answer(self._body(length), asked, self._end)
        except Busy as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        except image.Refused as error:
            raise checks.refused(error) from None
        finally:
            self.server.uploads.release()

    def _body(self, length: int) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        try:
            data = self.rfile.read(length)
        except TimeoutError:
            told = f"the picture did not arrive within {self.server.patience_s:.0f} s; send it again, or a smaller one"
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, told) from None
        self._unread = False
        if len(data) < length:
            raise Problem(HTTPStatus.BAD_REQUEST, f"{len(data)} of {length} bytes arrived; send it again")
        return data

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.connection.settimeout(self.server.patience_s)
        self.send_response(status)
        for name, value in wire.headers(kind, content, bool(self.server.offered)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
