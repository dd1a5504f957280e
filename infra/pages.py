"""The pages of runs, over http: what flows put into `.graft/pages/kept`, for Prefect's pages to show and link to.

On the loopback alone, to read alone. The login of Prefect does not protect them: whoever can reach this machine's
loopback and knows the address of a page can read it. The addresses cannot be guessed (the folder of a run is named by a
keyed hash) and nothing lists them, but they stand in the artifacts of runs, so who may see a run may see its pages.

key          what the names of folders are made with, once
server.json  the address; the port stays from start to start, so that links stay good
process.json the server that runs, if one does
kept/        a folder for each run of late
"""

import json
import os
import re
import secrets
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line
from infra import process
from infra.files import alone, make_private, write_private
from infra.service import State
from tasks.workspace import Workspace

UP_WITHIN_S, DOWN_WITHIN_S = 30, 5
POLL_S, SLOW_S = 0.05, 10
TYPES = {"html": "text/html; charset=utf-8", "svg": "image/svg+xml"}
PAGE = re.compile(r"/([0-9a-f]{32})/([a-z][a-z-]{0,40}\.(html|svg))")
"""The only addresses that there are: nothing in them can lead out of the folder."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
GONE = "There is no such page, or it is no longer kept.\n"
SELF = "The pages of graft's runs. The artifacts of a run, on Prefect's pages, link to them.\n"


@dataclass(frozen=True)
class Pages:
    """The server of the workspace `root`, as a Service."""

    root: Path
    name: str = "pages"

    def start(self) -> list[str]:
        """Start it, unless it runs.

        Raises:
            EnvironmentProblem: it does not start.
        """
        make_private(self._home)
        with alone(self._home / "lock", UP_WITHIN_S):
            if process.running(self._record):
                return [f"already up at {self._wait()}"]
            if not (self._home / "key").exists():
                write_private(self._home / "key", secrets.token_hex(32))
            command = [sys.executable, "-m", "infra.pages", str(self._home)]
            environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            process.start(command, self.root, self._record, self._home / "log", environment)
            return [f"up at {self._wait()}"]

    def stop(self) -> list[str]:
        if not self._home.exists():
            return ["there are none yet; graft up starts a server for them"]
        with alone(self._home / "lock", UP_WITHIN_S):
            return ["stopped; what was kept stays" if process.stop(self._record, DOWN_WITHIN_S) else "was not up"]

    def state(self) -> State:
        running = process.running(self._record)
        if running is None:
            return State(False, {"state": "down; type: graft up"})
        said = _said(self._home)
        kept = sum(1 for _ in (self._home / "kept").glob("*"))
        facts = {"page": said.get("address", ""), "kept": f"of {kept} runs"}
        return State(True, {"state": "up", **facts, "up for": f"{time.time() - running.since:.0f} s"})

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def _home(self) -> Path:
        return Workspace(self.root).pages

    @property
    def _record(self) -> Path:
        return self._home / "process.json"

    def _wait(self) -> str:
        """Its address, once it listens: it writes that down itself, with its id."""
        end = time.monotonic() + UP_WITHIN_S
        while running := process.running(self._record):
            said = _said(self._home)
            if said.get("pid") == running.pid:
                return str(said["address"])
            if time.monotonic() > end:
                raise EnvironmentProblem(f"the server of pages does not listen; see {self._home / 'log'}")
            time.sleep(POLL_S)
        raise EnvironmentProblem(f"the server of pages ended; {self._home / 'log'} says why")


class Listener(ThreadingTCPServer):
    """Listens on the loopback, at the port of last time if that is free."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self, home: Path) -> None:
        self.kept = home / "kept"
        known = _said(home).get("port")
        for port in (known if isinstance(known, int) else 0, 0):
            try:
                super().__init__(("127.0.0.1", port), Reader)
                break
            except OSError:
                if port == 0:
                    raise
        self.port = int(self.server_address[1])
        said = {"address": f"http://127.0.0.1:{self.port}", "port": self.port, "pid": os.getpid()}
        write_private(home / "server.json", json.dumps(said) + "\n")


class Reader(BaseHTTPRequestHandler):
    """Answers GET and HEAD; every other method is refused by the class it comes from."""

    server: Listener
    server_version, sys_version = "graft", ""
    timeout = SLOW_S

    def do_GET(self) -> None:
        """A page, whole."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """What GET would answer, without the page."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: an address in a log is an address given away."""

    def _answer(self, with_body: bool) -> None:
        port = self.server.port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):  # another site's name for us
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", GONE.encode(), with_body)
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/plain", SELF.encode(), with_body)
        elif (found := PAGE.fullmatch(self.path)) and (content := self._read(found[1], found[2])) is not None:
            self._send(HTTPStatus.OK, TYPES[found[3]], content, with_body)
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", GONE.encode(), with_body)

    def _read(self, folder: str, name: str) -> bytes | None:
        """The file, if both it and its folder are what they seem: no link is followed."""
        try:
            inside = os.open(self.server.kept / folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside), "rb") as file:
                return file.read()
        except OSError:
            return None
        finally:
            os.close(inside)

    def _send(self, status: HTTPStatus, kind: str, content: bytes, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def _said(home: Path) -> dict[str, Any]:
    try:
        said = json.loads((home / "server.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


if __name__ == "__main__":
    try:
        Listener(Path(sys.argv[1])).serve_forever()
    except OSError as error:
        sys.exit(f"graft: pages: {one_line(str(error))}")
