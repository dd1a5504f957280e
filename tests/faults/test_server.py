"""Prefect's server goes away while a run goes on, alone or with everything else."""

import os
import signal
import time

import pytest

from tests.conftest import wait_until
from tests.faults.platform import Platform

RENEWED_S = 0.75 * 300 + 15
"""Prefect renews a run's lease, of 300 s by its code, when three quarters of it have passed."""

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(1200)]


def test_a_run_goes_on_while_the_server_is_away(live: Platform) -> None:
    live.change("evaluate.bootstrap=129")
    run = live.start()
    live.at_stage(run, "evaluate")
    live.kill_part("server")
    time.sleep(15)
    live.up()
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 1)


def test_a_server_that_is_killed_again_and_again_loses_no_run(live: Platform) -> None:
    live.change("finetune.steps=121")
    run = live.start()
    for stage in ("finetune", "evaluate", "export"):
        live.at_stage(run, stage)
        live.kill_part("server")
        live.up()
    assert live.completed(run)["state"]["name"] == "Promoted"


def test_a_run_keeps_its_slot_over_a_restart_though_its_lease_is_renewed_after_it(live: Platform) -> None:
    number = live.deployment("train")
    live.server.ask("PATCH", f"/deployments/{number}", {"concurrency_limit": 1})
    try:
        live.change("evaluate.bootstrap=124")
        run = live.start("train", parameters={"at_end": "never"})
        began = time.monotonic()
        stage = live.at_stage(run, "evaluate")
        os.kill(stage.pid, signal.SIGSTOP)  # long on any machine
        live.kill_part("server")
        live.up()
        time.sleep(max(0.0, began + RENEWED_S - time.monotonic()))
        os.kill(stage.pid, signal.SIGCONT)
        ended = live.completed(run)
        assert (ended["state"]["name"], ended["run_count"]) == ("Published", 1)
    finally:
        live.server.ask("PATCH", f"/deployments/{number}", {"concurrency_limit": None})


def test_a_run_that_died_while_the_server_was_away_is_noticed_after_its_return(live: Platform) -> None:
    live.change("evaluate.bootstrap=122")
    run = live.start()
    live.at_stage(run, "evaluate")
    engine = live.engine(run)
    live.kill_part("server")
    live.kill_part("worker")
    os.kill(engine, signal.SIGKILL)
    done = live.up()
    assert "is Crashed: its process is gone" in done
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)


def test_after_a_power_cut_one_command_brings_everything_back(live: Platform) -> None:
    before = live.at_prod()
    live.change("evaluate.bootstrap=123")
    run = live.start()
    live.at_stage(run, "evaluate")
    for one in live.processes():
        os.kill(one.pid, signal.SIGKILL)
    wait_until(lambda: not live.processes(), 10, "no process left")
    live.up()
    assert live.at_prod() == before
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)
