"""The worker of a workspace: takes what is due from the Prefect server and starts each run as a process of its own."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import EnvironmentProblem
from infra import process
from infra.files import alone
from infra.server import Server
from infra.service import State

POOL = "graft"
UP_WITHIN_S, DOWN_WITHIN_S = 60, 45  # a run that is cancelled gets half a minute to end
POLL_S = 0.3
SETTINGS = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # a run that died without a word is noticed by its silence
    "PREFECT_WORKER_QUERY_SECONDS": "5",
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
                return ["already up"]
            command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start"]
            command += ["--pool", POOL, "--type", "process", "--name", "graft", "--install-policy", "never"]
            environment = self.server.client_environment() | SETTINGS
            process.start(command, self.server.root, self._record, self.server.home / "worker.log", environment)
            self._wait()
        return [f"up, takes runs of pool {POOL}"]

    def stop(self) -> list[str]:
        stopped = process.stop(self._record, DOWN_WITHIN_S)
        return ["stopped" if stopped else "was not up"]

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

    def _wait(self) -> None:
        """Until the server has heard of it."""
        end = time.monotonic() + UP_WITHIN_S
        while process.running(self._record):
            try:
                known = self.server.ask("POST", f"/work_pools/{POOL}/workers/filter", {})
                if any(one["status"] == "ONLINE" for one in known):
                    return
            except EnvironmentProblem:
                pass  # the worker makes the pool: until then there is none to ask for
            if time.monotonic() > end:
                raise EnvironmentProblem(f"the worker does not report to the server; see {self._log}")
            time.sleep(POLL_S)
        raise EnvironmentProblem(f"the worker ended; {self._log} says why")

    @property
    def _log(self) -> Path:
        return self.server.home / "worker.log"
