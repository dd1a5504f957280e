"""`graft up` in a tiny workspace, with handles for what faults need: start runs, find their processes, kill them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem
from graft.hub import pointer, releases
from graft.hub.bucket import Bucket
from graft.hub.store import Store
from infra import process
from infra.server import Server
from infra.store import Local
from tasks.workspace import Workspace
from tests.conftest import Place, make_place, wait_until

LENIENT = (
    "retrain.margin_points=100",
    "retrain.max_latency_ratio=1000",
    "publish.min_gain_points=-100",
    "publish.max_drop_points=100",
)
"""Every challenger passes: what is tested here is not the gate."""
LIGHT = ("evaluate.seeds=1", "export.formats=[{name: tflite, precision: float32}]")
RECORDS = {
    "store": "store/process.json",
    "pages": "pages/process.json",
    "server": "prefect/process.json",
    "worker": "prefect/worker.json",
}
AT_WORK = ("RUNNING", "PENDING", "CANCELLING")
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
RUN_S = 900
CRASHED_WITHIN_S, GONE_WITHIN_S = 10.0, 2.0

Run = dict[str, Any]


@dataclass(frozen=True)
class Process:
    """A living process as /proc shows it."""

    pid: int
    parent: int
    command: str
    folder: Path
    run: str

    @property
    def stage(self) -> str:
        """The stage that it is, or ""."""
        before, found, name = self.command.partition("-m tasks.")
        return name.split()[0] if found and "dvc" not in before and name.split()[0].isalpha() else ""


class Platform:
    """A workspace in which `graft up` was typed."""

    def __init__(self, place: Place) -> None:
        self.place, self.server = place, Server(place.root)
        self.workspace = Workspace(place.root)
        self._novelty = 0

    def up(self) -> str:
        done = self.place.graft("up")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def down(self) -> None:
        done = self.place.graft("down")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def store(self) -> Store:
        return Local(self.place.root / ".graft" / "store").store

    def part(self, name: str) -> int:
        """The process of the platform's part `name`."""
        found = process.running(self.place.root / ".graft" / RECORDS[name])
        assert found, f"{name} is not up"
        return found.pid

    def parts(self) -> list[int]:
        found = [process.running(self.place.root / ".graft" / record) for record in RECORDS.values()]
        return [one.pid for one in found if one]

    def kill_part(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.part(name), sign)
        record = self.place.root / ".graft" / RECORDS[name]
        wait_until(lambda: process.running(record) is None, 60, f"the end of the {name}")

    def change(self, *assignments: str) -> None:
        """Something new to train on; without `assignments` another seed, which every stage depends on."""
        self._novelty += 1
        self.place.set(*(assignments or (f"seed={1000 + self._novelty}",)))
        self.git("commit", "--quiet", "--all", "--message", f"change {self._novelty}")

    def git(self, *command: str) -> str:
        """What git says in the workspace."""
        who = ("-c", "user.name=t", "-c", "user.email=t@t")
        environment = self.place.environment
        done = subprocess.run(["git", *who, *command], cwd=self.place.root, env=environment, check=True, stdout=PIPE)
        return done.stdout.decode()

    def versions(self, model: str = "plants") -> list[str]:
        """Of the model's releases, oldest first."""
        with closing(Bucket(self.store)) as bucket:
            return releases.versions(bucket, model)

    def commits(self, model: str = "plants") -> list[str]:
        """That the runs made on the model's branch, newest first: where a run begins, and what it made."""
        repository = self.place.root / ".graft" / "commits.git"
        return self.git(
            f"--git-dir={repository}", "rev-list", "--first-parent", f"refs/heads/retrain/{model}"
        ).splitlines()

    def at_prod(self, model: str = "plants") -> str:
        with closing(Bucket(self.store)) as bucket:
            stands = pointer.standing(bucket, model, "prod")
        return stands.move.version if stands else ""

    def deployment(self, name: str) -> str:
        found = self.server.ask("POST", "/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        return str(found[0]["id"])

    def start(self, name: str = "retrain", **more: Any) -> str:
        """Ask for a run of the deployment; its id."""
        return str(self.server.ask("POST", f"/deployments/{self.deployment(name)}/create_flow_run", more)["id"])

    def run(self, number: str) -> Run:
        found: Run = self.server.ask("GET", f"/flow_runs/{number}")
        return found

    def runs(self, **wanted: Any) -> list[Run]:
        asked = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        found: list[Run] = self.server.ask("POST", "/flow_runs/filter", asked)
        return found

    def is_quiet(self) -> bool:
        """Whether nothing is at work and nothing is about to be."""
        due = [run for run in self.runs(state={"type": {"any_": ["SCHEDULED"]}}) if run["expected_start_time"] <= now()]
        return not due and not self.runs(state={"type": {"any_": list(AT_WORK)}})

    def wait(self, number: str, *types: str, seconds: float = RUN_S) -> Run:
        """The run, once its state is of one of `types`; a server that is away is waited for."""

        def there() -> Run | None:
            try:
                found = self.run(number)
            except EnvironmentProblem:
                return None
            return found if found["state_type"] in types else None

        found: Run = wait_until(there, seconds, f"{' or '.join(types)} of {number}")
        return found

    def completed(self, number: str, seconds: float = RUN_S) -> Run:
        """The run, which has to end well; it may crash once on the way."""
        found = self.wait(number, "COMPLETED", "FAILED", "CANCELLED", seconds=seconds)
        assert found["state_type"] == "COMPLETED", (found["state"], self.log(number))
        return found

    def states(self, number: str) -> list[dict[str, Any]]:
        """All that the run was in."""
        found: list[dict[str, Any]] = self.server.ask("GET", f"/flow_run_states/?flow_run_id={number}")
        return found

    def told(self, number: str) -> str:
        """What the run's states said, a line each."""
        return "\n".join(one["message"] or "" for one in self.states(number))

    def log(self, number: str) -> str:
        asked = {"logs": {"flow_run_id": {"any_": [number]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(one["message"] for one in self.server.ask("POST", "/logs/filter", asked))

    def stages(self, number: str, attempt: int) -> dict[str, str]:
        """What each stage took (`ran`, `restored`, `up to date`) when the run was started for the `attempt`th time."""
        asked = {"flow_runs": {"id": {"any_": [number]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found = self.server.ask("POST", "/task_runs/filter", asked)
        return {one["name"]: one["state"]["message"] or "" for one in found if one["flow_run_run_count"] == attempt}

    def processes(self, number: str = "") -> list[Process]:
        """Those that work in the workspace or a worktree of it; of the run `number` alone if there is one."""
        return [one for one in living(self.place.root) if not number or one.run == number]

    def engine(self, number: str, seconds: float = 90) -> int:
        """The process that executes the run's flow."""

        def there() -> int:
            mine = self.processes(number)
            pids = {one.pid for one in mine}
            return next((one.pid for one in mine if one.parent not in pids and "prefect" in one.command), 0)

        return int(wait_until(there, seconds, f"a process of {number}"))

    def at_stage(self, number: str, stage: str, seconds: float = 180) -> Process:
        """The stage's process, once the run is at it."""

        def there() -> Process | None:
            return next((one for one in self.processes(number) if one.stage == stage), None)

        found: Process = wait_until(there, seconds, f"{stage} of {number}")
        return found

    def kill_engine(self, number: str) -> float:
        """kill -9 for the flow's process alone: Crashed and its children gone in time; when it was killed."""
        pid, mine = self.engine(number), {one.pid for one in self.processes(number)}
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        while left := [one for one in self.processes(number) if one.pid in mine]:
            assert time.monotonic() - killed < GONE_WITHIN_S, f"still there: {left}"
            time.sleep(0.02)
        return killed

    def crashed_by(self, number: str, killed: Callable[[], bool]) -> float:
        """Seconds from the moment when `killed` says so until the server knew."""
        wait_until(lambda: killed() or self.run(number)["state_type"] in ENDED, RUN_S, f"the kill of {number}")
        assert killed(), f"the run ended before the instant came: {self.told(number)}"
        return self.crashed(number, time.monotonic())

    def crashed(self, number: str, killed: float, within_s: float = CRASHED_WITHIN_S) -> float:
        """Seconds from the kill until the server knew; it may have been started again since."""

        def known() -> bool:
            return any(one["type"] == "CRASHED" for one in self.states(number))

        wait_until(known, within_s - (time.monotonic() - killed) + 1, f"Crashed of {number}")
        return time.monotonic() - killed


def now() -> str:
    """As Prefect writes moments."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def living(root: Path) -> Iterator[Process]:
    """Processes that work in `root` or below."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            folder = Path(os.readlink(path / "cwd"))
            if not folder.is_relative_to(root):
                continue
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended just now
        mark = b"PREFECT__FLOW_RUN_ID="
        run = next((one.removeprefix(mark).decode() for one in variables if one.startswith(mark)), "")
        if command:
            yield Process(int(path.name), parent, command, folder, run)


@contextmanager
def platform(folder: Path, *assignments: str) -> Iterator[Platform]:
    """A platform in a new workspace below `folder`, with a first release at prod; stopped at the end."""
    made = make_place(folder / "clone", folder / "home")
    running = Platform(made)
    running.change(*LENIENT, *LIGHT, "seed=1000", *assignments)
    try:
        running.up()
        running.completed(running.start())
        yield running
    finally:
        stop(running)


def stop(running: Platform) -> None:
    """`graft down`, and whatever a failed test left in the workspace, by its own id."""
    running.place.graft("down")
    for one in running.processes():
        os.kill(one.pid, signal.SIGKILL)
    if left := [one.command for one in running.processes() if _alive(one.pid)]:
        pytest.fail(f"still running: {left}")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
