"""What a web hook hears, and that one which does not listen stops nobody."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tasks.adapters import webhook


class Ear(HTTPServer):
    """Hears on a free port; answers with the codes it is given, then 204."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.codes: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """A URL that only those may know who may tell it something."""
        return f"http://127.0.0.1:{self.server_port}/services/b17d0c5e"


class Handler(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@contextmanager
def listening() -> Iterator[Ear]:
    with Ear() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    with listening() as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv(webhook.SETTING, server.address)
        yield server


def test_it_hears_what_happened(ear: Ear) -> None:
    assert webhook.tell("promotion", "plants@v2 stands at prod", model="plants") == ""
    assert ear.heard == [{"event": "promotion", "text": "plants@v2 stands at prod", "model": "plants"}]


def test_it_is_told_again_once(ear: Ear) -> None:
    ear.codes = [503]
    assert webhook.tell("refusal", "no") == "" and len(ear.heard) == 2
    ear.codes = [503, 500]
    told = webhook.tell("refusal", "no")
    assert "nobody was told of: refusal" in told and "500" in told and "b17d0c5e" not in told


@pytest.mark.parametrize("named", ["ftp://host/hidden", "hidden", "file:///etc/passwd"])
def test_another_scheme_is_told_and_not_opened(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv(webhook.SETTING, named)
    assert webhook.tell("failure", "x") == "GRAFT_WEBHOOK is no http or https URL; nobody was told"


def test_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(webhook.SETTING, raising=False)
    assert webhook.tell("failure", "x") == ""
