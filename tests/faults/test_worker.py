"""The worker is killed, with its run or without, or a run is stopped for long: one writer, and one end."""

import os
import signal
import time

import pytest

from infra import process
from infra.recovery import SILENT_S, STUCK_S
from tests.conftest import wait_until
from tests.faults.platform import RECORDS, Platform

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(1200)]

SILENCE_KNOWN_S = SILENT_S + 10


def kill_all(live: Platform, run: str) -> float:
    """The worker, and the run with all that it started; when."""
    engine = live.engine(run)
    live.kill_part("worker")
    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: not live.processes(run), 5, "no process of the run")
    return time.monotonic()


def test_a_run_outlives_its_worker_and_the_next_one_waits_for_it(live: Platform) -> None:
    live.change("evaluate.bootstrap=109")
    first = live.start()
    live.at_stage(first, "evaluate")
    live.kill_part("worker")
    live.up()
    assert live.run(first)["state_type"] == "RUNNING"
    second = live.start("train", parameters={"at_end": "never"})
    ended = live.completed(first)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 1)
    later = live.completed(second)
    assert "waits for" in live.log(second) and later["start_time"] < ended["end_time"] < later["end_time"]


def test_worker_and_run_killed_are_noticed_by_their_silence_and_the_run_starts_again_once(live: Platform) -> None:
    live.change("evaluate.bootstrap=101")
    run = live.start()
    live.at_stage(run, "evaluate")
    assert live.crashed(run, kill_all(live, run), SILENCE_KNOWN_S) <= SILENCE_KNOWN_S
    live.up()
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)


def test_a_run_that_dies_twice_stays_crashed_and_the_next_one_goes_on(live: Platform) -> None:
    live.change("evaluate.bootstrap=102")
    run = live.start()
    for _ in range(2):
        live.at_stage(run, "evaluate")
        live.kill_engine(run)
        wait_until(lambda: not live.processes(run), 5, "no process of the run")
    live.wait(run, "CRASHED")
    time.sleep(30)  # a third start would have begun by now
    assert (live.run(run)["state_type"], live.run(run)["run_count"]) == ("CRASHED", 2)
    assert live.completed(live.start("train", parameters={"at_end": "never"}))["state"]["name"] == "Published"


def test_a_worker_that_is_told_to_end_takes_its_run_along_and_the_next_worker_starts_it_again(live: Platform) -> None:
    live.change("evaluate.bootstrap=103")
    run = live.start()
    live.at_stage(run, "evaluate")
    os.kill(live.part("worker"), signal.SIGTERM)
    record = live.place.root / ".graft" / RECORDS["worker"]
    wait_until(lambda: process.running(record) is None, 45, "the worker's end")
    wait_until(lambda: not live.processes(run), 10, "no process of the run")
    assert live.run(run)["state_type"] == "RUNNING"  # as after a kill: Prefect's worker goes without a word
    assert "is Crashed: its process is gone" in live.up()
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)
    assert "the worker or the machine was stopped while it ran" in live.told(run)


def test_a_run_killed_before_it_began_is_noticed_though_nobody_looks(live: Platform) -> None:
    live.change("evaluate.bootstrap=104")
    run = live.start()
    kill_all(live, run)
    assert live.run(run)["state_type"] == "PENDING"
    began = time.monotonic()
    live.crashed(run, began, STUCK_S + 20)
    live.up()
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 1)  # the start that never was is not counted


def test_a_run_that_stood_still_for_long_publishes_nothing_when_it_goes_on(live: Platform) -> None:
    before = live.versions()
    live.change("evaluate.bootstrap=105")
    run = live.start()
    live.at_stage(run, "evaluate")
    stopped = live.processes(run)
    for one in stopped:
        os.kill(one.pid, signal.SIGSTOP)
    live.crashed(run, time.monotonic(), SILENCE_KNOWN_S + 20)
    wait_until(lambda: live.run(run)["run_count"] == 2, 60, "its second start")
    for one in stopped:
        os.kill(one.pid, signal.SIGCONT)
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)
    wait_until(lambda: not live.processes(run), 120, "no process of the run")
    assert live.run(run)["state"]["name"] == "Promoted"
    assert len(live.versions()) == len(before) + 1
