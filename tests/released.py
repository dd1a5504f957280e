"""The tiny pipeline's release as a folder, as `graft pull -o` makes it, without a store in between; and served."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

from graft.commands import terminal
from graft.core import settings
from graft.hub import cache, receipt
from graft.hub.receipt import Published, Receipt
from graft.serving.answers import Answers
from graft.serving.server import Server
from tasks import publish
from tasks.workspace import Workspace


def folder(workspace: Path, to: Path) -> Path:
    """shapes@v1 in `to`: the files that `graft publish` would send, and their receipt."""
    place, chosen = Workspace(workspace), settings.load(workspace / "params.yaml")
    scratch = to.with_name("scratch")
    scratch.mkdir()
    gathered = publish.gather(place, chosen, "shapes", scratch)
    made = Receipt(
        format=receipt.FORMAT,
        version="v1",
        published=Published(at=datetime(2026, 11, 1, tzinfo=UTC), by="ann"),
        replaces=None,
        contents=publish.describe(place, chosen, "shapes", gathered),
    )
    to.mkdir()
    for name, path in gathered.items():
        shutil.copy(path, to / name)
    (to / cache.RECEIPT).write_bytes(receipt.write(made))
    return to


@contextmanager
def serving(release: Path, **limits: Any) -> Iterator[Server]:
    """A server of this process on a free port that answers for the release."""
    with terminal.silent():
        answers = Answers(cache.open_folder(release), turns=2)
    server = Server(answers, "127.0.0.1", 0, **limits)
    thread = Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.close()
