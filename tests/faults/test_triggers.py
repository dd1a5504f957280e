"""Too many starts, too late, or the same twice; a run that is cancelled; a schedule that is really kept."""

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem
from tests.conftest import BIN, wait_until
from tests.faults.platform import ENDED, Platform

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(1200)]

EVERY_MINUTE = {"schedule": {"cron": "* * * * *", "timezone": "Etc/UTC"}, "active": True}


@pytest.fixture
def every_minute(live: Platform) -> Iterator[str]:
    """The deployment `retrain`, due every minute beside its own schedule."""
    number = live.deployment("retrain")
    (made,) = live.server.ask("POST", f"/deployments/{number}/schedules", [EVERY_MINUTE])
    try:
        yield number
    finally:
        live.server.ask("DELETE", f"/deployments/{number}/schedules/{made['id']}")
        for run in live.runs(state={"type": {"any_": ["SCHEDULED"]}}, deployment_id={"any_": [number]}):
            live.server.ask("DELETE", f"/flow_runs/{run['id']}")


def of_schedule(live: Platform, number: str, since: float) -> list[dict[str, Any]]:
    """Runs that a schedule planned for after `since` (in seconds since 1970) and that are due, oldest first."""
    due = {"after_": stamp(since), "before_": stamp(time.time())}
    found = live.runs(deployment_id={"any_": [number]}, expected_start_time=due)
    return [run for run in found if run["auto_scheduled"]]


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def ended(live: Platform, run: str) -> bool:
    return live.run(run)["state_type"] in ENDED


def test_a_schedule_of_every_minute_is_kept(live: Platform, every_minute: str) -> None:
    live.change("evaluate.bootstrap=140")
    since = time.time()

    def done() -> list[dict[str, Any]]:
        found = [run for run in of_schedule(live, every_minute, since) if run["state_type"] == "COMPLETED"]
        return found if {"Promoted", "Unchanged"} <= {run["state"]["name"] for run in found} else []

    found = wait_until(done, 300, "two scheduled runs that completed")
    assert {run["state"]["name"] for run in found} <= {"Promoted", "Unchanged", "Skipped"}


def test_a_scheduled_run_that_dies_is_started_again_at_once(live: Platform, every_minute: str) -> None:
    live.change("finetune.steps=120")
    found = wait_until(lambda: next((one for one in live.processes() if one.stage == "finetune"), None), 300, "a run")
    run = live.run(found.run)
    assert run["auto_scheduled"]
    live.crashed(run["id"], live.kill_engine(run["id"]))
    wait_until(lambda: live.run(run["id"])["run_count"] == 2, 60, "its second start")
    assert live.completed(run["id"])["state"]["name"] in ("Promoted", "Unchanged", "Skipped")


def test_ticks_that_were_missed_are_made_up_for_by_one_run(live: Platform, every_minute: str) -> None:
    live.kill_part("worker")
    since = time.time()
    live.change("evaluate.bootstrap=141")
    wait_until(lambda: len(of_schedule(live, every_minute, since)) >= 4, 300, "four ticks")
    missed = [run["id"] for run in of_schedule(live, every_minute, since)]
    live.up()
    wait_until(lambda: all(ended(live, run) for run in missed), 200, "an end of each")
    names = [live.run(run)["state"]["name"] for run in missed]
    assert names[:-1] == ["Skipped"] * (len(missed) - 1) and names[-1] in ("Promoted", "Skipped")
    worked = [run for run in of_schedule(live, every_minute, since) if run["state"]["name"] == "Promoted"]
    assert len(worked) <= 1


def test_a_server_that_was_away_over_ticks_makes_up_for_them_by_one_run(live: Platform, every_minute: str) -> None:
    wait_until(lambda: live.runs(state={"type": {"any_": ["SCHEDULED"]}}), 60, "planned runs")
    live.kill_part("worker")
    live.kill_part("server")
    since = time.time()
    live.change("evaluate.bootstrap=142")
    time.sleep(190)
    live.up()
    wait_until(
        lambda: [run for run in of_schedule(live, every_minute, since) if run["state_type"] == "COMPLETED"],
        240,
        "a run",
    )
    late = [run for run in of_schedule(live, every_minute, since) if run["expected_start_time"] <= stamp(since + 185)]
    assert len([run for run in late if run["state"]["name"] not in ("Skipped", "Late", "Scheduled")]) <= 1


def test_ten_starts_within_a_second_come_to_an_end_and_never_two_at_once(live: Platform, every_minute: str) -> None:
    live.change("evaluate.bootstrap=143")
    since = time.time()
    with ThreadPoolExecutor(10) as pool:
        forms = [{"parameters": {"at_end": "never", "labels_per_class": str(4 + index % 2)}} for index in range(10)]
        asked = list(pool.map(lambda form: live.start("train", **form), forms))
    wait_until(lambda: all(ended(live, run) for run in asked), 600, "an end of each")
    worked = [run for run in map(live.run, asked) if run["state"]["name"] == "Published"]
    assert {json.dumps(run["parameters"], sort_keys=True) for run in worked} == {
        json.dumps(form["parameters"], sort_keys=True) for form in forms
    }
    assert len(worked) == 2
    assert {live.run(run)["state"]["name"] for run in asked} == {"Published", "Skipped"}
    scheduled = [run for run in of_schedule(live, every_minute, since) if run["state_type"] == "COMPLETED"]
    assert {run["state"]["name"] for run in scheduled} <= {"Promoted", "Skipped", "Unchanged", "Not promoted"}


def test_the_same_request_twenty_times_is_one_run(live: Platform) -> None:
    numbers = {"retrain": live.deployment("retrain")}
    form = {"idempotency_key": f"twenty-{time.time()}", "parameters": {"at_end": "never"}}

    def ask(_: int) -> str:
        while True:  # as a client does: a server under load answers 503, and the key makes asking again safe
            try:
                path = f"/deployments/{numbers['retrain']}/create_flow_run"
                return str(live.server.ask("POST", path, form)["id"])
            except EnvironmentProblem:
                time.sleep(0.2)

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(ask, range(20)))) == 1
    (run,) = live.runs(idempotency_key={"any_": [form["idempotency_key"]]})
    assert live.completed(run["id"])


@pytest.mark.parametrize(("stage", "steps"), [("pretrain", 158), ("finetune", 159)], ids=["pretrain", "finetune"])
def test_a_cancelled_run_is_gone_at_once_and_nothing_of_it_is_seen(live: Platform, stage: str, steps: int) -> None:
    before, commits, prod = live.versions(), live.commits(), live.at_prod()
    live.change("pretrain.epochs=4", f"finetune.steps={steps}")
    run = live.start()
    live.at_stage(run, stage)
    asked = time.monotonic()
    live.server.ask("POST", f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    live.wait(run, "CANCELLED", seconds=10)
    wait_until(lambda: not live.processes(run), 10 - (time.monotonic() - asked), "no process of the run")
    assert (live.versions(), live.commits(), live.at_prod()) == (before, commits, prod)
    live.completed(live.start())


def test_of_two_dvc_in_one_worktree_the_second_says_that_it_is_busy(live: Platform) -> None:
    live.change("pretrain.epochs=5")
    run = live.start()
    stage = live.at_stage(run, "pretrain")
    began = time.monotonic()
    environment = live.place.environment | {"DVC_SITE_CACHE_DIR": str(stage.folder / ".graft" / "dvc")}
    second = subprocess.run(
        [str(BIN / "dvc"), "repro", "--single-item", "pretrain"],
        cwd=stage.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode and "it is being blocked by" in second.stderr, second.stdout + second.stderr
    assert time.monotonic() - began < 15
    assert live.completed(run)["run_count"] == 1
