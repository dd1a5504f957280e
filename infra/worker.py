"""The worker of a workspace: takes what is due from the Prefect server and starts each run as a process of its own."""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from graft.core import waiting
from graft.core.errors import EnvironmentProblem
from infra import process, runs
from infra.files import alone
from infra.server import Server
from infra.service import State

POOL = "graft"
TEMPLATE = Path(__file__).parent / "pools" / "process.json"
UP_WITHIN_S, DOWN_WITHIN_S = 60, 45  # a run that is cancelled gets half a minute to end
POLL_S = 0.3
SETTINGS = {
    "PREFECT_WORKER_ENABLE_CANCELLATION": "true",  # of a run that did not begin yet
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
}


@dataclass(frozen=True)
class Worker:
    """A process worker in the workspace of `server`, as a Service."""

    server: Server
    name: str = "worker"

    def start(self) -> list[str]:
        """Start it, unless it runs.

        Raises:
            EnvironmentProblem: it does not start, or the server does not hear of it.
        """
        with alone(self.server.home / "worker.lock", UP_WITHIN_S):
            if process.running(self._record):
                return [*self._tidy(), "already up"]
            self.set_pool_up()
            said = self._tidy()
            command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start"]
            command += ["--pool", POOL, "--type", "process", "--name", "graft", "--install-policy", "never"]
            environment = self.server.client_environment() | SETTINGS
            process.start(command, self.server.root, self._record, self.server.home / "worker.log", environment)
            self._wait()
        return [*said, f"up, takes runs of pool {POOL}"]

    def stop(self) -> list[str]:
        if not process.stop(self._record, DOWN_WITHIN_S):
            return ["was not up"]
        try:
            return ["stopped", *runs.settle(self.server, POOL, worker_lives=False)]
        except EnvironmentProblem:
            return ["stopped; the server is down and learns of ended runs when it is up again"]

    def state(self) -> State:
        running = process.running(self._record)
        if running is None:
            return State(False, {"state": "down; type: graft up"})
        return State(True, {"state": "up", "up for": f"{time.time() - running.since:.0f} s"})

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def _record(self) -> Path:
        return self.server.home / "worker.json"

    def _tidy(self) -> list[str]:
        lives = process.running(self._record) is not None
        said = [*runs.settle(self.server, POOL, lives), *runs.skip(self.server, POOL)]
        return [*said, *runs.expire(self.server, POOL, waiting.within_s())]

    def set_pool_up(self) -> None:
        """Make the pool, or give it this template: Prefect's own would let runs write into the worker's pipe."""
        template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
        found = self.server.ask("POST", "/work_pools/filter", {"work_pools": {"name": {"any_": [POOL]}}})
        if not found:
            self.server.ask("POST", "/work_pools/", {"name": POOL, "type": "process", "base_job_template": template})
        elif found[0]["base_job_template"] != template:
            self.server.ask("PATCH", f"/work_pools/{POOL}", {"base_job_template": template})

    def _wait(self) -> None:
        """Until the server has heard of it."""
        end = time.monotonic() + UP_WITHIN_S
        while process.running(self._record):
            known = self.server.ask("POST", f"/work_pools/{POOL}/workers/filter", {})
            if any(one["status"] == "ONLINE" for one in known):
                return
            if time.monotonic() > end:
                raise EnvironmentProblem(f"the worker does not report to the server; see {self._log}")
            time.sleep(POLL_S)
        raise EnvironmentProblem(f"the worker ended; {self._log} says why")

    @property
    def _log(self) -> Path:
        return self.server.home / "worker.log"
