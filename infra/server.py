"""The Prefect server of a workspace: behind a login, on the loopback alone, its state in `.graft/prefect`.

login          the one login, made once, in a file that its owner alone reads
profiles.toml  address and login for Prefect's own commands, of mode 0600: PREFECT_HOME finds it
server.json    the address, for `graft run` and for the next start
process.json   the server that runs, if one does
"""

import base64
import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line
from infra import process
from infra.files import alone, make_private, write_private
from infra.service import State

UP_WITHIN_S, DOWN_WITHIN_S = 180, 20  # the first start makes the database
POLL_S, ANSWER_S = 0.2, 10
USER = "graft"
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default would unpickle
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_API_HOST": "127.0.0.1",
    # in memory, the leases of healthy runs are gone when the server starts anew, and the runs with them
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


@dataclass(frozen=True)
class Server:
    """Prefect's server of the workspace `root`, as a Service."""

    root: Path
    name: str = "server"

    def start(self) -> list[str]:
        """Start it, unless it runs.

        Raises:
            EnvironmentProblem: it does not start.
        """
        make_private(self.home)
        with alone(self.home / "lock", UP_WITHIN_S):
            if process.running(self._record):
                self._wait()
                return [f"already up at {self.page}", f"login     {self.login}"]
            self._start()
            self._wait()
            return [f"up at {self.page}", f"login     {self.login}"]

    def stop(self) -> list[str]:
        if not self.home.exists():
            return ["there is none yet; graft up starts one"]
        with alone(self.home / "lock", UP_WITHIN_S):
            stopped = process.stop(self._record, DOWN_WITHIN_S)
        return [f"stopped; its history stays in {self.home}" if stopped else "was not up"]

    def state(self) -> State:
        running = process.running(self._record)
        if running is None:
            return State(False, {"state": "down; type: graft up"})
        try:
            self.ask("GET", "/admin/version")
        except EnvironmentProblem as error:
            return State(False, {"state": f"down: process {running.pid} does not serve: {error}"})
        return State(True, {"state": "up", "page": self.page, "up for": f"{time.time() - running.since:.0f} s"})

    def environment(self) -> dict[str, str]:
        return {"PREFECT_HOME": str(self.home)}

    @property
    def home(self) -> Path:
        """Prefect's folder in this workspace; runs without a server keep their history there too."""
        return self.root / ".graft" / "prefect"

    @property
    def page(self) -> str:
        """Address of its pages."""
        return self.address.removesuffix("/api")

    @property
    def address(self) -> str:
        """Address of its API.

        Raises:
            EnvironmentProblem: it was never started.
        """
        try:
            return str(json.loads((self.home / "server.json").read_bytes())["address"])
        except (OSError, ValueError, KeyError, TypeError):
            raise EnvironmentProblem("this workspace has no Prefect server yet; type: graft up") from None

    @property
    def login(self) -> str:
        """What its login page asks for."""
        path = self.home / "login"
        if not path.exists():
            write_private(path, f"{USER}:{secrets.token_urlsafe(18)}\n")
        return path.read_text(encoding="utf-8").strip()

    def client_environment(self) -> dict[str, str]:
        """What a child of the platform finds in its environment: this server, and nobody else's Prefect settings."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return plain | SETTINGS | {"PREFECT_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers.

        Raises:
            EnvironmentProblem: nothing, or an error.
        """
        request = urllib.request.Request(self.address + path, method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(self.login.encode()).decode())
        data = None
        if method != "GET":
            request.add_header("Content-Type", "application/json")
            request.add_header("Prefect-Csrf-Client", USER)
            request.add_header("Prefect-Csrf-Token", self.ask("GET", f"/csrf-token?client={USER}")["token"])
            data = json.dumps(body).encode()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, data, ANSWER_S) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise EnvironmentProblem(f"{self.address}{path}: {one_line(str(error), 120)}") from None

    @property
    def _record(self) -> Path:
        return self.home / "process.json"

    def _start(self) -> None:
        port = self._port()
        address = f"http://127.0.0.1:{port}/api"
        write_private(self.home / "server.json", json.dumps({"address": address, "port": port}) + "\n")
        write_private(self.home / "profiles.toml", _profile(address, self.login))
        own = {"PREFECT_SERVER_API_AUTH_STRING": self.login, "PREFECT_SERVER_UI_API_URL": address}
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        process.start(command, self.root, self._record, self.home / "server.log", self.client_environment() | own)

    def _port(self) -> int:
        """The port of last time, so that links stay good, or a free one."""
        try:
            known = int(json.loads((self.home / "server.json").read_bytes())["port"])
        except (OSError, ValueError, KeyError, TypeError):
            known = 0
        for port in (known, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                    return int(probe.getsockname()[1])
                except OSError:
                    continue
        raise EnvironmentProblem("no port is free for the Prefect server")

    def _wait(self) -> None:
        end = time.monotonic() + UP_WITHIN_S
        while True:
            try:
                self.ask("GET", "/admin/version")
                return
            except EnvironmentProblem as error:
                if process.running(self._record) is None:
                    raise EnvironmentProblem(f"the Prefect server ended; {self.home / 'server.log'} says why") from None
                if time.monotonic() > end:
                    raise error
                time.sleep(POLL_S)


def _profile(address: str, login: str) -> str:
    return (
        'active = "graft"\n\n[profiles.graft]\n'
        f"PREFECT_API_URL = {json.dumps(address)}\nPREFECT_API_AUTH_STRING = {json.dumps(login)}\n"
    )
