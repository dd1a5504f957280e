"""How a stage speaks: progress bars to a person, one JSON line per event to the flow that started it."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graft.core.dataset import Progress

EVENTS = "GRAFT_EVENTS"  # set by the flow for its stages
MARK = "::graft::"


def emit(event: str, **facts: Any) -> None:
    """Tell the flow, if one listens."""
    if os.environ.get(EVENTS):
        print(MARK + json.dumps({"event": event, **facts}), flush=True)


def tell(stage: str, text: str) -> None:
    """A line for the person who watches, beside the progress."""
    print(f"{stage}: {text}", file=sys.stderr, flush=True)


def parse(line: str) -> dict[str, Any] | None:
    """The event in a line of a stage's output, None if it is ordinary text."""
    if not line.startswith(MARK):
        return None
    try:
        event = json.loads(line[len(MARK) :])
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A function (done, total) that shows how far `what` is: as events, as a bar on a terminal, else not at all."""
    if os.environ.get(EVENTS):
        yield _as_events(what)
    elif sys.stderr.isatty():
        yield from _as_bar(what)
    else:
        yield lambda done, total: None


def _as_events(what: str) -> Progress:
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= 0.5:
            last = now
            emit("progress", what=what, done=done, total=total)

    return tell


def _as_bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True)) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
