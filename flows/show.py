"""What a person at the terminal sees of a run: a line per stage, a bar on long work."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Show(Protocol):
    """A run tells it what happens."""

    def started(self, stage: str) -> None:
        """A stage begins."""

    def progressed(self, what: str, done: int, total: int) -> None:
        """Long work of the stage at hand goes on."""

    def ended(self, stage: str, how: str) -> None:
        """A stage is over: `ran`, `restored`, `up to date` or `failed`."""


class Nothing:
    """For runs that nobody watches on a terminal."""

    def started(self, stage: str) -> None: ...

    def progressed(self, what: str, done: int, total: int) -> None: ...

    def ended(self, stage: str, how: str) -> None: ...


class Terminal(AbstractContextManager["Terminal"]):
    """Bars where there is a terminal; plain lines where output goes to a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._ids: dict[str, TaskID] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    def started(self, stage: str) -> None:
        self._began = time.monotonic()
        self._ids[stage] = self._bars.add_task(stage, total=None)

    def progressed(self, what: str, done: int, total: int) -> None:
        if what not in self._ids:
            self._ids[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._ids[what], completed=done, total=total)

    def ended(self, stage: str, how: str) -> None:
        for task in self._ids.values():
            self._bars.remove_task(task)
        self._ids.clear()
        mark = {"failed": "[red]✗[/]", "ran": "[green]✓[/]"}.get(how, "[dim]✓[/]")
        seconds = f"{time.monotonic() - self._began:6.1f} s" if how in ("ran", "restored", "failed") else " " * 8
        self._console.print(f"{mark} {stage:<9} {seconds}  {how}", highlight=False)


current: Show = Nothing()
"""Set by the command line; flows started by a worker leave it as it is."""


def use(show: Show) -> None:
    """Let `show` be told of every run of this process."""
    global current
    current = show


@contextmanager
def step(what: str) -> Iterator[None]:
    """Tell whoever watches that `what` begins, and how it ends."""
    current.started(what)
    try:
        yield
    except BaseException:
        current.ended(what, "failed")
        raise
    current.ended(what, "ran")
