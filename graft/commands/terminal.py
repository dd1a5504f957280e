"""What commands show beside their answers: a bar while bytes travel, notes and warnings on standard error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graft.hub.releases import Progress


@contextmanager
def bar(what: str) -> Iterator["Progress"]:
    """Bytes done and in all as a bar, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def silent() -> Iterator[None]:
    """Keep LiteRT's own chatter off the terminal; what goes wrong comes as an exception."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def note(text: str) -> None:
    """Something a person should know."""
    print(f"graft: note: {text}", file=sys.stderr)


def warn(text: str) -> None:
    """Something that did not go as it should; "" is nothing."""
    if text:
        print(f"graft: {text}", file=sys.stderr)
