"""A search through the real command: killed at work it goes on, and ends with a page and a change of params.yaml."""

import json
import os
import signal
import subprocess
import time

import pytest

from graft.core import settings
from tasks.adapters.storage import STORAGE
from tasks.adapters.study import Told
from tasks.tuning import Plan
from tasks.workspace import Workspace
from tests.conftest import BIN, Place, wait_until
from tests.flows.server import Server
from tests.flows.test_faults import inside

SEARCH = """
trials: 2
sampler: tpe
pruner: none
folds: 2
seeds: 1
fresh: 5
caps: {minutes: 5, memory_mb: 4000}
space:
  finetune.learning_rates: {type: float, low: 0.004, high: 0.02, log: true}  # not those in place: what is found differs
  finetune.method: {choices: [full, linear_probe]}
"""


def trials(place: Place) -> dict[int, Told]:
    return {one.number: one for one in Plan.of(Workspace(place.root)).study("transfer").trials()}


def ended(place: Place) -> dict[int, Told]:
    return {number: one for number, one in trials(place).items() if one.state == "complete"}


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.sweep)])
def test_a_search_ends_with_what_to_change_also_after_a_kill(
    killed: bool, copied: Place, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    copied.set("finetune.steps=3")
    (copied.root / "search.yaml").write_text(SEARCH)
    before, states = _killed(copied) if killed else ({}, [])
    done = copied.graft("tune", "--arm", "transfer", "--apply")
    assert done.returncode == 0, done.stdout + done.stderr
    told = trials(copied)
    assert len(ended(copied)) == 2 and before.items() <= ended(copied).items()
    dead = [one.number for one in told.values() if one.state == "failed"]
    assert (
        len(dead) == states.count("running")
        and [one.again_of for one in told.values() if one.again_of is not None] == dead
    )

    report = json.loads((copied.root / "reports" / "tune.json").read_text())
    arm = report["arms"]["transfer"]
    assert arm["best"]["macro_f1"] == max(one.value or 0 for one in ended(copied).values())
    assert arm["fresh"]["seeds"] == [1000, 1001, 1002, 1003, 1004] and len(arm["fresh"]["per_draw"]) == 5
    page = (copied.root / "reports" / "tune.html").read_text()
    assert "transfer: " in done.stdout and report["diff"] in done.stdout and "graft tune --apply" in page
    now = settings.load(copied.root / "params.yaml").finetune
    assert list(now.learning_rates) == report["settings"]["finetune.learning_rates"]
    assert now.method.name == report["settings"]["finetune.method"]["name"]
    assert "# each arm tries all of them" in (copied.root / "params.yaml").read_text()
    assert copied.graft("report").returncode == 0
    assert 'href="tune.html"' in (copied.root / "reports" / "report.html").read_text()

    server = Server(prefect_url)
    run = server.last_run()
    assert run["name"] and run["state"]["type"] == "COMPLETED" and "transfer: " in run["state"]["message"]
    tasks = server.post("task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}, "limit": 200})
    names = {one["name"] for one in tasks}
    assert {f"transfer-{number}" for number in ended(copied).keys() - before.keys()} <= names
    assert {"pretrain", "transfer-best", "transfer-defaults"} <= names


def _killed(copied: Place) -> tuple[dict[int, Told], list[str]]:
    """Kill a search at work; the trials that had ended, and the states of all."""
    process = subprocess.Popen(
        [str(BIN / "graft"), "tune", "--arm", "transfer"],
        cwd=copied.root,
        env=copied.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: ended(copied), 240, "a trial that has ended")
    wait_until(lambda: any("tasks.tune" in line for line in inside(copied)), 60, "the next at work")
    time.sleep(time.time() % 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not inside(copied), 10, "nobody left at work")
    return ended(copied), [one.state for one in trials(copied).values()]


def test_a_space_that_will_not_do_is_refused_at_once(place: Place) -> None:
    (place.root / "search.yaml").write_text(SEARCH.replace("high: 0.02", "high: 2.0"))
    done = place.graft("tune")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "graft: search.yaml: space.finetune.learning_rates, high: finetune.learning_rates.0 is 2.0; it should be less "
        "than or equal to 1\n"
    )
    done = place.graft("tune", "--arm", "article")
    assert (done.returncode, done.stderr) == (2, "graft: --arm is 'article'; both, transfer or scratch would do\n")
    assert not (place.root / ".graft").exists()
