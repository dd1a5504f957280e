"""What may be started from Prefect's pages, as infra/prefect.yaml says, and when each is due next."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core.errors import EnvironmentProblem, one_line
from infra.files import write_private
from infra.server import Server
from infra.service import State

FILE = Path(__file__).with_name("prefect.yaml")
MADE_FROM = ("flows/*.py", "graft/methods/*.py", "tasks/origins/*.py")  # a form offers the plug-ins by name


@dataclass(frozen=True)
class Deployments:
    """Registered with `server`, as a Service; there is no process to stop."""

    server: Server
    name: str = "deployed"

    def start(self) -> list[str]:
        """Register them, unless just these are registered already.

        Raises:
            EnvironmentProblem: Prefect refuses.
        """
        known = self._known()
        if self._mark.exists() and self._mark.read_text(encoding="utf-8") == self._now() and known:
            return [self._line(one) for one in known]
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)]
        environment = self.server.client_environment() | {"GRAFT_ROOT": str(self.server.root)}
        done = subprocess.run(
            command,
            cwd=self.server.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise EnvironmentProblem(f"prefect deploy: {one_line(said[-1] if said else 'no word')}")
        write_private(self._mark, self._now())
        return [self._line(one) for one in self._known()]

    def stop(self) -> list[str]:
        return []

    def state(self) -> State:
        try:
            known = self._known()
        except EnvironmentProblem:
            return State(False, {"state": "unknown while the server is down"})
        return State(bool(known), {one["name"]: _when(one) for one in known} or {"state": "none; type: graft up"})

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def _mark(self) -> Path:
        return self.server.home / "deployed"

    def _now(self) -> str:
        """What the registered forms were made from: the file, the flows, their plug-ins, and where they are."""
        digest = hashlib.sha256(FILE.read_bytes() + bytes(self.server.root))
        for pattern in MADE_FROM:
            for path in sorted(self.server.root.glob(pattern)):
                digest.update(path.name.encode() + path.read_bytes())
        return digest.hexdigest()

    def _known(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.server.ask("POST", "/deployments/filter", {"sort": "NAME_ASC"})
        due = self._due([one["id"] for one in found if any(each["active"] for each in one["schedules"])])
        return [one | {"due": due.get(one["id"], "")} for one in found]

    def _due(self, wanted: list[str]) -> dict[str, str]:
        """When each of these deployments runs next; those that run often fill the first page, and are left out then."""
        due: dict[str, str] = {}
        while missing := [one for one in wanted if one not in due]:
            asked = {
                "deployments": {"id": {"any_": missing}},
                "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
                "sort": "EXPECTED_START_TIME_ASC",
            }
            page = self.server.ask("POST", "/flow_runs/filter", asked)
            for run in reversed(page):
                due[run["deployment_id"]] = run["expected_start_time"]
            if not page:
                break
        return due

    def _line(self, one: dict[str, Any]) -> str:
        return f"{one['name']:10}{self.server.page}/deployments/deployment/{one['id']}"


def _when(one: dict[str, Any]) -> str:
    if one["paused"]:
        return "paused"
    if not one["schedules"]:
        return "when asked"
    return f"next run {one['due'][:16].replace('T', ' ')} UTC" if one["due"] else "no run planned yet"
