"""The Prefect server of a workspace: behind a login, on the loopback alone, its state in `.graft/prefect`.

login          the one login, made once, in a file that its owner alone reads
encryption     the key with which it encrypts what its blocks hold, made once
profiles.toml  address and login for Prefect's own commands, of mode 0600: PREFECT_HOME finds it
server.json    the address, for `graft run` and for the next start
database       where its history is, once there is one
process.json   the server that runs, if one does
"""

import base64
import http.client
import json
import os
import random
import secrets
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line
from infra import database, process
from infra.files import alone, make_private, write_private
from infra.service import State

UP_WITHIN_S, DOWN_WITHIN_S = 180, 20  # the first start makes the database
POLL_S, ANSWER_S = 0.2, 75  # a SQLite that waits for its lock does so for 60 s; who gives up makes it slower
PAUSE_S = 3.0
FAILING_S = 15.0
TOKEN_S = 600  # it is good for an hour
SILENCE_S = 90
RUNS_KEPT_DAYS = 90
USER = "graft"
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # the default would unpickle
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # a run that died without a word is noticed by its silence
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_API_HOST": "127.0.0.1",
    # in memory, the leases of healthy runs are gone when the server starts anew, and the runs with them
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    # else ended runs, with their logs and artifacts, stay for ever
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_KEPT_DAYS * 86_400),
    "PREFECT_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
CLIENT = f"{USER}-{secrets.token_hex(8)}"
_TOKENS: dict[str, tuple[str, float]] = {}
_TOKENS_LOCK = threading.Lock()


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
            where = self._start()
            self._wait()
            write_private(self.home / "database", f"{where}\n")
            return [f"up at {self.page}", f"login     {self.login}", f"history   in {where}"]

    def stop(self) -> list[str]:
        if not self.home.exists():
            return ["there is none yet; graft up starts one"]
        with alone(self.home / "lock", UP_WITHIN_S):
            stopped = process.stop(self._record, DOWN_WITHIN_S)
        where = self.home if self._known in ("", database.FILE) else self._known
        return [f"stopped; its history stays in {where}" if stopped else "was not up"]

    def state(self) -> State:
        running = process.running(self._record)
        if running is None:
            return State(False, {"state": "down; type: graft up"})
        try:
            self.ask("GET", "/admin/version")
        except EnvironmentProblem as error:
            return State(False, {"state": f"down: process {running.pid} does not serve: {error}"})
        facts = {"page": self.page, "history": self._known, "up for": f"{time.time() - running.since:.0f} s"}
        return State(True, {"state": "up", **facts})

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
        return self._secret("login", f"{USER}:{secrets.token_urlsafe(18)}")

    def client_environment(self) -> dict[str, str]:
        """What a child of the platform finds in its environment: this server, and nobody else's Prefect settings."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return plain | SETTINGS | {"PREFECT_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    def ask(self, method: str, path: str, body: Any = None, patience_s: float = 0.0) -> Any:
        """What the API answers; None where it has nothing to say.

        Args:
            patience_s: for so long a server that does not answer is asked again: for what may be asked twice.

        Raises:
            EnvironmentProblem: nothing, or an error.
        """
        request = urllib.request.Request(self.address + path, method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(self.login.encode()).decode())
        data = None
        if method != "GET":
            request.add_header("Content-Type", "application/json")
            request.add_header("Prefect-Csrf-Client", CLIENT)
            request.add_header("Prefect-Csrf-Token", self._token(patience_s))
            data = json.dumps(body).encode()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        now, pause_s = time.monotonic(), POLL_S
        busy_until, silent_until = now + max(ANSWER_S, patience_s), now + patience_s
        reads = method == "GET" or path.endswith("/filter")  # one that has just come up fails at times
        failing_until = now + FAILING_S if reads else 0.0
        while True:
            try:
                with direct.open(request, data, max(ANSWER_S, patience_s)) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                with error:  # 503: a SQLite that is written to by many sheds requests
                    if time.monotonic() > {503: busy_until, 500: failing_until}.get(error.code, 0.0):
                        raise EnvironmentProblem(f"{self.address}{path}: {_reason(error)}") from None
            except (OSError, ValueError, http.client.HTTPException) as error:
                if time.monotonic() > silent_until:
                    said = one_line(str(error) or type(error).__name__, 120)
                    raise EnvironmentProblem(f"{self.address}{path}: {said}") from None
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # many who were shed must not come back at once
            pause_s = min(2 * pause_s, PAUSE_S)

    def _token(self, patience_s: float) -> str:
        """What changes nothing without it: no page elsewhere can read it. A client's new one ends its last."""
        with _TOKENS_LOCK:
            token, until = _TOKENS.get(self.address, ("", 0.0))
            if time.monotonic() > until:
                token = str(self.ask("GET", f"/csrf-token?client={CLIENT}", None, patience_s)["token"])
                _TOKENS[self.address] = (token, time.monotonic() + TOKEN_S)
        return token

    @property
    def _record(self) -> Path:
        return self.home / "process.json"

    @property
    def _known(self) -> str:
        """Where the history was when it last started; "" if it never did."""
        path = self.home / "database"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def _secret(self, name: str, new: str) -> str:
        """What the private file `name` holds: `new` if it was not there yet."""
        path = self.home / name
        if not path.exists():
            write_private(path, f"{new}\n")
        return path.read_text(encoding="utf-8").strip()

    def _start(self) -> str:
        """Start the process; where its history is."""
        url = database.named()
        database.check(self.home, url, self._known, SILENCE_S)
        port = self._port()
        address = f"http://127.0.0.1:{port}/api"
        write_private(self.home / "server.json", json.dumps({"address": address, "port": port}) + "\n")
        write_private(self.home / "profiles.toml", profile(address, self.login))
        own = {
            "PREFECT_SERVER_API_AUTH_STRING": self.login,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address.removesuffix("/api"),
            "PREFECT_SERVER_ENCRYPTION_KEY": self._secret("encryption", new_key()),
            "PREFECT_SERVER_UI_API_URL": address,
        }
        if url:
            own[database.NAMES[0]] = url
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        process.start(command, self.root, self._record, self.home / "server.log", self.client_environment() | own)
        return database.place(url)

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


def _reason(error: urllib.error.HTTPError) -> str:
    """What the server says about a request that it did not do."""
    try:
        said = json.loads(error.read())
        why = said.get("detail") or said.get("exception_detail") or said.get("exception_message") or ""
    except (OSError, ValueError, AttributeError):
        why = ""
    return f"HTTP {error.code} {error.reason}" + (f": {one_line(str(why))}" if why else "")


def new_key() -> str:
    """32 random bytes as Fernet wants them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def profile(address: str, login: str) -> str:
    """The file in which Prefect's own commands find the server."""
    return (
        'active = "graft"\n\n[profiles.graft]\n'
        f"PREFECT_API_URL = {json.dumps(address)}\nPREFECT_API_AUTH_STRING = {json.dumps(login)}\n"
        'PREFECT_FLOWS_HEARTBEAT_FREQUENCY = "30"\n'  # the default would be taken for silence
    )
