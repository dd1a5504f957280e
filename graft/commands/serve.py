"""The command that shows a release on a page of this machine."""

import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from graft.commands import terminal
from graft.core.errors import UsageError

app = typer.Typer()
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@app.command()
def serve(
    wanted: Annotated[
        str, typer.Argument(metavar="NAME@VERSION|STAGE|DIR", help="A release, or a folder that pull -o made.")
    ],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")] = 8642,
    host: Annotated[str, typer.Option("--host", help="Where to listen; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    is_opened: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    file: Annotated[str, typer.Option("--file", help="Which of the release's files runs.")] = "",
    in_browser: Annotated[
        bool, typer.Option("--in-browser", help="Also run it in the browser, and compare; needs npm once.")
    ] = False,
) -> None:
    """Open a page that tells what a picture shows, and where the model looked. Ctrl-C ends it."""
    if not host:
        raise UsageError("--host is empty; name an address, as 127.0.0.1")
    from graft import edge
    from graft.serving import browser
    from graft.serving.answers import Answers
    from graft.serving.server import Server

    with terminal.bar("pulling") as progress:
        release = edge.find(wanted, progress)
    terminal.warn(release.warning)
    with terminal.silent():
        answers = Answers(release, file, turns=os.cpu_count() or 1)
    offered = browser.offered(release, file) if in_browser else {}
    server = Server(answers, host, port, offered=offered)
    # a shell that starts it in the background has it ignore Ctrl-C
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        if host not in LOOPBACK:
            terminal.note("whoever reaches this machine may ask; there is no login and no encryption")
        print(f"{answers.name} answers at {server.url}  (Ctrl-C ends it)", flush=True)
        if is_opened and _has_screen():
            _open(server.url)
        server.serve_forever()
    except KeyboardInterrupt:
        print("ended", flush=True)
    finally:
        server.close()


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _open(url: str) -> None:
    """Ask the browser for a window, and go on meanwhile."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()


def _has_screen() -> bool:
    """Whether a browser would have a window: without one `webbrowser` takes the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
