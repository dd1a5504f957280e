"""The pages of runs over real http: what is there is served as what it is, and nothing else can be reached."""

import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra import process
from infra.pages import Pages
from infra.service import Service
from tasks import pages as kept
from tasks.adapters import files
from tasks.workspace import Workspace
from tests.conftest import wait_until

API = "http://127.0.0.1:4200/api"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A workspace folder with the service up, and beside it the word of a Prefect server."""
    (tmp_path / ".graft" / "prefect").mkdir(parents=True)
    files.write_json(tmp_path / ".graft" / "prefect" / "server.json", {"address": API})
    service: Service = Pages(tmp_path)
    assert service.start()[0].startswith("up at http://127.0.0.1:")
    try:
        yield tmp_path
    finally:
        service.stop()


def of(root: Path, run: str) -> kept.Pages:
    found = kept.Pages.of(Workspace(root), run, API)
    assert found
    return found


def ask(
    address: str, method: str = "GET", path: str = "", host: str = ""
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Status, content and headers; the path goes out as it is, with no client to mend it."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    try:
        connection.putrequest(method, path or parts.path, skip_host=True)
        connection.putheader("Host", host or parts.netloc)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_a_page_is_what_was_kept_and_runs_no_script(root: Path) -> None:
    for name, content, kind in (
        ("report.html", b"<h1>x</h1>", "text/html; charset=utf-8"),
        ("confusion.svg", b"<svg/>", "image/svg+xml"),
    ):
        address = of(root, "run").keep(name, content)
        status, found, headers = ask(address)
        assert (status, found, headers["Content-Type"]) == (200, content, kind)
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; img-src data:; style-src")
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        status, found, headers = ask(address, "HEAD")
        assert (status, found, headers["Content-Length"]) == (200, b"", str(len(content)))
        assert ask(address, "POST")[0] == ask(address, "DELETE")[0] == 501


def test_nothing_else_can_be_reached(root: Path) -> None:
    address = of(root, "run").keep("report.html", b"mine")
    folder = root / ".graft" / "pages" / "kept" / urlsplit(address).path.split("/")[1]
    secret = root / ".graft" / "pages" / "key"
    (folder / "link.html").symlink_to(secret)
    (folder.parent / ("a" * 32)).symlink_to(folder)
    (folder / "folder.html").mkdir()
    (folder / ".report.html.1.part").write_text("half")
    token = folder.name
    paths = ["/", f"/{token}", f"/{token}/", f"/{token}/link.html", f"/{'a' * 32}/report.html", f"/{token}/folder.html"]
    paths += [
        f"/{token}/.report.html.1.part",
        f"/{token}/../../key",
        f"/{token}/..%2f..%2fkey",
        f"/{token[:-1]}/report.html",
    ]
    paths += ["/../key", "//etc/passwd", "/%2e%2e/key", f"/{token.upper()}/report.html", f"/{token}/report.html/", "*"]
    paths += [f"/{token}/report.html?x", f"/{token}/report.html%00", f"http://elsewhere/{token}/report.html"]
    for path in paths:
        status, found, _ = ask(address, path=path)
        assert status == (200 if path == "/" else 404), path
        assert b"mine" not in found and token.encode() not in found and secret.read_bytes() not in found
    assert ask(address, host="pages.example")[0] == 421  # a name of somebody else's that leads here
    assert ask(address)[1] == b"mine"


def test_killed_it_is_seen_and_comes_back_at_the_same_address(root: Path) -> None:
    address = of(root, "run").keep("report.html", b"mine")
    found = process.running(root / ".graft" / "pages" / "process.json")
    assert found and Pages(root).start() == [f"already up at http://127.0.0.1:{urlsplit(address).port}"]
    os.kill(found.pid, signal.SIGKILL)
    wait_until(lambda: not Pages(root).state().is_up, 10, "its end")
    assert Pages(root).state().facts == {"state": "down; type: graft up"}
    assert of(root, "run").keep("report.html", b"later") == address  # a run need not wait for it
    Pages(root).start()
    assert ask(address)[1] == b"later" and Pages(root).state().facts["kept"] == "of 1 runs"
    assert Pages(root).stop() == ["stopped; what was kept stays"] and Pages(root).stop() == ["was not up"]


def test_only_runs_of_late_are_kept_and_those_that_ask(root: Path) -> None:
    asking = of(root, "asking").keep("report.html", b"asked")
    files.write_json(Workspace(root).question("asking"), {})
    addresses = [of(root, f"run-{number}").keep("report.html", b"x") for number in range(kept.KEPT + 2)]
    assert [ask(one)[0] for one in (asking, *addresses[:4], addresses[-1])] == [200, 404, 404, 200, 200, 200]
    every = list((root / ".graft" / "pages" / "kept").rglob("*.html"))
    assert len(every) == kept.KEPT + 1 and {path.stat().st_mode & 0o777 for path in every} == {0o400}


def test_a_run_of_another_server_or_before_the_first_start_has_no_pages(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert kept.Pages.of(Workspace(root), "run", "http://127.0.0.1:4201/api") is None
    assert kept.Pages.of(Workspace(root), "run", None) is None
    assert kept.Pages.of(Workspace(tmp_path_factory.mktemp("other")), "run", API) is None
    worktree = Workspace(root / ".graft" / "runs" / "1")
    assert kept.Pages.of(worktree, "run", API) == of(root, "run")
