"""What Prefect must find before it is imported: no telemetry, no state outside the workspace, a server."""

import atexit
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from graft.core.errors import EnvironmentProblem
from tasks.stage import keep_to_itself
from tasks.workspace import Workspace

START_TIMEOUT_S = 180  # the first start makes the database


def prepare(root: Path) -> None:
    """Set defaults for this process and its children; whatever the user has set already wins."""
    keep_to_itself(Workspace(root))
    home = _home(root)
    home.mkdir(parents=True, exist_ok=True)  # Prefect makes the last folder only
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal has its own lines
        "PREFECT_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def start_server(root: Path) -> None:
    """Unless `PREFECT_API_URL` names one or `graft up` started one, start one that lives as long as this process.

    Prefect's own temporary server would outlive a killed run. To be called before Prefect is imported: at exit, what
    was registered first is done last, and Prefect still sends logs when it goes.

    Raises:
        EnvironmentProblem: it does not start.
    """
    if os.environ.get("PREFECT_API_URL") or _use_platform(root):
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    log = _home(root) / "server.log"
    command = [sys.executable, "-m", "tasks.adapters.process", sys.executable, "-m", "prefect", "server", "start"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-scheduler", "--no-late-runs", "--log-level", "ERROR"]
    os.environ |= {"PREFECT_API_URL": url, "PREFECT_SERVER_UI_API_URL": url}
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *options], cwd=root, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    atexit.register(_stop, process)
    _wait(url, process, log)


def _use_platform(root: Path) -> bool:
    """Whether the server of `graft up` answers; then this process, and its children, are its clients."""
    try:
        address = str(json.loads((_home(root) / "server.json").read_bytes())["address"])
        login = (_home(root) / "login").read_text(encoding="utf-8").strip()
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            os.environ |= {"PREFECT_API_URL": address, "PREFECT_API_AUTH_STRING": login}
            return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _home(root: Path) -> Path:
    return Workspace(root).private / "prefect"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise EnvironmentProblem(f"the temporary Prefect server did not start; {log} says why, graft doctor looks around")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
