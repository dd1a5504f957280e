"""A trial of a search, from outside: a process of its own with caps on time and memory, whose scores are heard."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.errors import GateRefused, one_line
from graft.core.processes import usable_cores
from tasks.adapters import capped, console, files
from tasks.tune import Job
from tasks.workspace import Workspace

OnScore = Callable[[float, int], bool]
OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Listener:
    """Who hears of a trial while it is measured.

    Attributes:
        found: takes the macro-F1 in [0, 1] of each fold.
        on_score: called with the mean so far and the number of folds; true stops the trial.
        on_event: called with everything else that it tells.
    """

    found: list[float]
    on_score: OnScore
    on_event: OnEvent = lambda event: None


def measure(
    place: Workspace,
    job: Job,
    limits: capped.Limits,
    environment: dict[str, str],
    listener: Listener,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Measure the macro-F1 on each fold of each of the job's draws.

    Raises:
        capped.Exceeded: it took more than `limits`.
        capped.Stopped: `on_score` said so.
        GateRefused: it failed; the text says why.
    """
    folder = Path(job.kept)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "job.json", job._asdict())
    found, said = listener.found, [""]

    def read(line: str) -> None:
        event = console.parse(line)
        if event is None:
            said.append(line)
        elif event["event"] == "error":
            said.append(str(event["message"]))
        elif event["event"] == "score":
            found.append(float(event["macro_f1"]))
            if listener.on_score(float(np.mean(found)), len(found)):
                raise capped.Stopped("it does worse than others did after as many folds")
        else:
            listener.on_event(event)

    command = [sys.executable, "-m", "tasks.tune", str(folder / "job.json")]
    code = capped.run(command, place.root, environment, limits, read, is_over)
    if code < 0:
        raise GateRefused(f"its process was killed (signal {-code}), for want of memory most likely")
    if code or len(found) < len(job.seeds) * job.folds:
        last = next((line for line in reversed(said) if line.strip()), "it ended without a word")
        raise GateRefused(one_line(last, 500))


def environment(workers: int) -> dict[str, str]:
    """Of a trial's process: its share of the cores, one of so many; and its events on standard output."""
    threads = str(max(1, usable_cores() // workers))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, threads), console.EVENTS: "1", "PYTHONUNBUFFERED": "1"}
