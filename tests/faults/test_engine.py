"""The flow's process, or what it started, is killed: the run is known to be dead, starts again, and ends well."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from graft.core import settings
from tests.conftest import wait_until
from tests.faults.platform import CRASHED_WITHIN_S, GONE_WITHIN_S, Platform

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(900)]

SETTINGS = {
    "ingest": "data.source.origin.images_per_class=41",
    "validate": "validate.max_outlyingness=6.5",
    "extract": "extract.components=24",
    "pretrain": "pretrain.epochs=3",
    "evaluate": "evaluate.bootstrap=120",
    "export": "export.max_accuracy_drop_points=99",
}
"""By stage: a setting by which that stage is the first that has something to do."""
INSTANTS = int(os.environ.get("GRAFT_FAULT_INSTANTS", "10"))
SPAN_S = 80.0
LINGERS = '''"""Shapes, drawn while a program that nobody waits for holds the output of this one."""

import subprocess
from typing import Any

from tasks.origins import shapes
from tasks.origins.shapes import Options as Options


def fetch(*arguments: Any, **named: Any) -> Any:
    subprocess.Popen(["sleep", "45"], start_new_session=True)
    return shapes.fetch(*arguments, **named)
'''


@pytest.mark.parametrize("stage", SETTINGS)
def test_a_run_whose_process_is_killed_at_a_stage_is_started_again_and_ends_well(live: Platform, stage: str) -> None:
    before = live.versions()
    live.change(SETTINGS[stage])
    run = live.start()
    live.at_stage(run, stage)
    assert live.crashed(run, live.kill_engine(run)) <= CRASHED_WITHIN_S
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)
    assert len(live.versions()) == len(before) + 1 and live.at_prod() == live.versions()[-1]


@pytest.mark.parametrize("seed", range(INSTANTS))
def test_a_run_killed_at_any_instant_ends_well(live: Platform, seed: int) -> None:
    """From the moment its process is there until some while after it would have ended."""
    live.change()
    run = live.start()
    engine = live.engine(run)
    time.sleep(random.Random(seed).uniform(0, SPAN_S))
    if engine in [one.pid for one in live.processes(run)]:
        live.kill_engine(run)
    ended = live.completed(run)
    assert ended["state"]["name"] == "Promoted" and ended["run_count"] <= 2
    assert live.at_prod() == live.versions()[-1]


def test_a_training_killed_half_way_goes_on_and_no_half_written_file_is_trusted(live: Platform) -> None:
    live.change()
    live.change("finetune.steps=200")
    run = live.start()
    live.at_stage(run, "finetune")
    kept = ".graft/runs/*/.graft/trainings/finetune-*/*"
    wait_until(lambda: len(list(live.place.root.glob(f"{kept}.json"))) >= 2, 120, "two finished trainings")
    live.kill_engine(run)
    for path in list(live.place.root.glob(kept))[::2]:  # as if the disk had not got all of every other file
        os.truncate(path, path.stat().st_size // 2)
    assert live.completed(run)["run_count"] == 2
    again = live.stages(run, 2)
    assert {name: again[name] for name in ("ingest", "validate", "extract", "pretrain")} == dict.fromkeys(
        ("ingest", "validate", "extract", "pretrain"), "restored"
    )
    assert again["finetune"] == "ran"
    assert not list(live.place.root.glob(".graft/runs/*/models/.*.part")) and not list(live.place.root.glob(kept))


@pytest.mark.parametrize("victim", ["-m dvc repro", "-m tasks.evaluate"])
def test_what_works_for_a_run_is_killed_alone(live: Platform, victim: str) -> None:
    live.change(f"evaluate.bootstrap={130 + len(victim)}")
    run = live.start()
    live.at_stage(run, "evaluate")
    hit = next(one for one in live.processes(run) if victim in one.command)
    os.kill(hit.pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: not [one for one in live.processes(run) if one.stage], GONE_WITHIN_S, "no writer")
    assert live.crashed(run, killed) <= CRASHED_WITHIN_S
    ended = live.completed(run)
    assert (ended["state"]["name"], ended["run_count"]) == ("Promoted", 2)
    assert "evaluate: its process was killed (signal 9)" in live.told(run)


def test_a_grandchild_that_keeps_the_output_delays_nothing(live: Platform) -> None:
    origin = Path("tasks", "origins", "lingers.py")
    (live.place.root / origin).write_text(LINGERS, encoding="utf-8")
    live.git("add", str(origin))
    lingering = ["data.source.origin={name: lingers, images_per_class: 42}"]
    settings.set_values(live.workspace.params, lingering, lambda _: None)  # only the workspace knows this origin
    live.git("commit", "--quiet", "--all", "--message", "lingers")
    run = live.start()
    live.at_stage(run, "ingest")
    (left,) = wait_until(lambda: [one for one in live.processes(run) if one.command == "sleep 45"], 60, "it")
    engine = live.engine(run)
    killed = time.monotonic()
    os.kill(engine, signal.SIGKILL)
    try:
        assert live.crashed(run, killed) <= CRASHED_WITHIN_S
    finally:
        os.kill(left.pid, signal.SIGKILL)
        live.change("data.source.origin={name: shapes, images_per_class: 40}")
    live.completed(run)
