"""Which late runs of a schedule are worth doing, and which runs still have a process."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra import runs

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def run(deployment: str, minutes: int, began: int | None = None) -> dict[str, Any]:
    """Due `minutes` from NOW; begun `began` minutes from then."""
    due = (NOW + timedelta(minutes=minutes)).isoformat()
    start = None if began is None else (NOW + timedelta(minutes=began)).isoformat()
    return {
        "name": f"{deployment}{minutes}",
        "deployment_id": deployment,
        "expected_start_time": due,
        "start_time": start,
        "state": {"timestamp": due},
    }


@pytest.mark.parametrize(
    ("planned", "at_work", "skipped"),
    [
        ([], [], []),
        ([run("a", 5)], [], []),
        ([run("a", -5)], [], []),  # late and alone: it is done
        ([run("a", -5), run("a", 5)], [], []),  # the next one is not due yet
        ([run("a", -8 * 60 + 60 * one) for one in range(8)], [], [f"a{-8 * 60 + 60 * one}" for one in range(7)]),
        ([run("a", -5), run("b", -3)], [], []),  # another deployment does something else
        ([run("a", -5), run("a", -3), run("b", -4), run("b", -1)], [], ["a-5", "b-4"]),
        ([run("a", -5)], [run("a", -60, began=-4)], ["a-5"]),  # it began when this was due already
        ([run("a", -5)], [run("a", -60, began=-30)], []),  # it began before, and saw older data
        ([run("a", -5)], [run("b", -60, began=-4)], []),
        ([run("a", -5)], [run("a", -3)], ["a-5"]),  # handed to a worker, and about to begin
        ([run("a", 0)], [], []),
    ],
)
def test_a_late_run_is_skipped_when_a_later_one_does_the_same(
    planned: list[dict[str, Any]], at_work: list[dict[str, Any]], skipped: list[str]
) -> None:
    assert [one["name"] for one in runs.superseded(planned, at_work, NOW)] == skipped


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="only Linux tells which process works at a run")
def test_the_process_of_a_run_is_known_by_its_environment() -> None:
    environment = os.environ | {"PREFECT__FLOW_RUN_ID": "5c7f8f6a-0000-4000-8000-000000000001"}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment) as process:
        end = time.monotonic() + 10
        while environment["PREFECT__FLOW_RUN_ID"] not in runs.worked_at() and time.monotonic() < end:
            time.sleep(0.05)
        assert environment["PREFECT__FLOW_RUN_ID"] in runs.worked_at()
        process.kill()
    assert environment["PREFECT__FLOW_RUN_ID"] not in runs.worked_at()
