"""Runs that nobody works at any more, and runs that nobody needs any more: what `graft up` and `graft down` tidy.

Prefect keeps a run as Running until somebody says otherwise. A worker that is stopped, a machine that was switched off
and a server that was away while a run died all leave runs behind that hold their deployment's slot. Here it is looked
up which of them still have a process.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.recovery import AGAIN, TAG
from infra.server import Server

Run = dict[str, Any]
PAGE = 200
GONE = "its process is gone: the worker or the machine was stopped while it ran"
NOT_BEGUN = "the worker was stopped before it began; it begins when there is one again"
SUPERSEDED = "skipped: it could not start when it was due, and a later one does the same"
SUPERSEDED_NAME = "Skipped"


def settle(server: Server, pool: str, worker_lives: bool) -> list[str]:
    """Mark runs of `pool` whose process is gone as Crashed, plan those anew that never had one; a line each.

    What is started again once is planned here too: a server that has just come up puts off, for a quarter of an hour,
    every event of a run whose earlier ones it did not see itself, and its rule with them.

    Only where /proc tells which process belongs to which run; elsewhere the server notices their silence.

    Args:
        worker_lives: then a run that has no process yet may be about to get one, and is left alone.

    Raises:
        EnvironmentProblem: the server does not answer.
    """
    if not Path("/proc/self/environ").exists():
        return []
    begun = _runs(server, pool, ["RUNNING", "CANCELLING"], "ID_DESC")
    waiting = [] if worker_lives else _runs(server, pool, ["PENDING"], "ID_DESC")
    alive = set(worked_at()) if begun or waiting else set()
    gone, unbegun = ([run for run in runs if run["id"] not in alive] for runs in (begun, waiting))
    for run in gone:
        _set(server, run, {"type": "CANCELLED" if _is_cancelled(run) else "CRASHED", "message": GONE})
        if _starts_again(server, run):
            _set(server, run, {"type": "SCHEDULED", "name": "AwaitingRetry", "message": AGAIN})
    for run in unbegun:
        _set(server, run, {"type": "SCHEDULED", "name": "AwaitingRetry", "message": NOT_BEGUN})
    said = [f"run {run['name']} is {'Cancelled' if _is_cancelled(run) else 'Crashed'}: {GONE}" for run in gone]
    return said + [f"run {run['name']} waits: {NOT_BEGUN}" for run in unbegun]


def _is_cancelled(run: Run) -> bool:
    """Somebody wants it to end: as Crashed it would be started again."""
    return bool(run["state_type"] == "CANCELLING")


def _starts_again(server: Server, run: Run) -> bool:
    """Whether it crashed for the first time, is to be started again, and nobody planned that yet."""
    now = server.ask("GET", f"/flow_runs/{run['id']}")
    return now["state_type"] == "CRASHED" and now["run_count"] == 1 and TAG in now["tags"]


def skip(server: Server, pool: str) -> list[str]:
    """End the runs of `pool` that a schedule planned, that are late, and that are `superseded`; a line each.

    A server or worker that was away over five ticks then does the work once, not five times.

    Raises:
        EnvironmentProblem: the server does not answer.
    """
    planned = [run for run in _runs(server, pool, ["SCHEDULED"], "EXPECTED_START_TIME_ASC") if run["auto_scheduled"]]
    at_work = _runs(server, pool, ["PENDING", "RUNNING"], "ID_DESC")
    gone = superseded(planned, at_work, datetime.now(UTC))
    for run in gone:
        _set(server, run, {"type": "CANCELLED", "name": SUPERSEDED_NAME, "message": SUPERSEDED})
    return [f"run {run['name']}, due {run['expected_start_time'][:16]} UTC, was {SUPERSEDED}" for run in gone]


def expire(server: Server, pool: str, within_s: int) -> list[str]:
    """Let the runs of `pool` go on that asked a person longer ago than that; a line each.

    For questions that stood while the rule that does this was changed, or switched off: it forgets them then.

    Raises:
        EnvironmentProblem: the server does not answer.
    """
    asked_before = datetime.now(UTC) - timedelta(seconds=within_s)
    said = []
    for run in _runs(server, pool, ["PAUSED"], "ID_DESC"):
        if run["state_name"] == "Suspended" and _time(run["state"]["timestamp"]) <= asked_before:
            server.ask("POST", f"/flow_runs/{run['id']}/resume", {"run_input": {}})
            said.append(f"run {run['name']} asked a person, and nobody answered in time: it goes on")
    return said


def superseded(planned: Iterable[Run], at_work: Iterable[Run], now: datetime) -> list[Run]:
    """Those of `planned` that are late while a later one of their deployment is late too, or began after their time."""
    latest: dict[str, datetime] = {}
    late = [run for run in planned if _time(run["expected_start_time"]) <= now]
    for run in late:
        latest[run["deployment_id"]] = max(_time(run["expected_start_time"]), latest.get(run["deployment_id"], _NEVER))
    begun: dict[str, datetime] = {}
    for run in at_work:
        when = _time(run["start_time"] or run["state"]["timestamp"])
        begun[run["deployment_id"]] = max(when, begun.get(run["deployment_id"], _NEVER))
    return [
        run
        for run in late
        if _time(run["expected_start_time"]) < latest[run["deployment_id"]]
        or _time(run["expected_start_time"]) <= begun.get(run["deployment_id"], _NEVER)
    ]


def worked_at() -> Iterator[str]:
    """Ids of the runs that a process of this user works at: Prefect puts it into the environment."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            for entry in path.read_bytes().split(b"\0"):
                if entry.startswith(b"PREFECT__FLOW_RUN_ID="):
                    yield os.fsdecode(entry.partition(b"=")[2])
        except OSError:
            continue  # it ended just now, or is another user's


_NEVER = datetime.min.replace(tzinfo=UTC)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _runs(server: Server, pool: str, types: list[str], order: str) -> list[Run]:
    found: list[Run] = []
    while True:
        asked = {
            "flow_runs": {"state": {"type": {"any_": types}}},
            "work_pools": {"name": {"any_": [pool]}},
            "sort": order,
            "limit": PAGE,
            "offset": len(found),
        }
        page: list[Run] = server.ask("POST", "/flow_runs/filter", asked)
        found += page
        if len(page) < PAGE:
            return found


def _set(server: Server, run: Run, state: dict[str, str]) -> None:
    server.ask("POST", f"/flow_runs/{run['id']}/set_state", {"state": state})
