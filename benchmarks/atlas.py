"""How good are forecasts of targets that were not seen? python -m benchmarks.atlas CLONE

In a clone made for it, whose params.yaml and compare.yaml are overwritten: `graft compare` measures the matrix of
atlas.yaml at 32 pixels (hours; killed, it goes on), then every target is foretold from the others. Writes
benchmarks/results/forecast.json, and what was measured to graft/core/measured.json, from which `graft forecast` learns
where nothing else has been measured. With --measured it only judges what the clone's atlas holds already.
"""

import argparse
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from graft.core import advice, forecast, forecast_judge
from graft.core import settings as settings_file
from graft.core.advice import Candidate
from graft.core.forecast import Example
from tasks import atlas, stage
from tasks import forecast as foretelling
from tasks.adapters import files
from tasks.choices import Choices
from tasks.workspace import Workspace

SETTINGS = (
    "data.modality={name: image, size_px: 32}",
    "finetune.learning_rates=[0.004]",
    "finetune.steps=300",
)
MEASURED = Path(__file__).parents[1] / "graft" / "core" / "measured.json"
DIGITS = 4


def main() -> None:
    """Measure, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("clone", type=Path)
    parser.add_argument("--measured", action="store_true", help="judge what the atlas holds")
    given = parser.parse_args()
    place = Workspace(given.clone.resolve())
    stage.keep_to_itself(place)
    settings_file.set_values(place.params, list(SETTINGS), Choices.of)
    shutil.copy(Path(__file__).with_name("atlas.yaml"), place.matrix)
    if not given.measured:
        subprocess.run([str(Path(sys.executable).parent / "graft"), "compare"], cwd=place.root, check=True)
    known = foretelling.own(atlas.read(place), 0)
    files.write_json(MEASURED, {"settings": list(SETTINGS), "examples": [_short(one) for one in known]})
    record.write("forecast", ("tensorflow", "keras", "numpy"), [0, 1, 2], judged(known))


def judged(known: list[Example]) -> dict[str, Any]:
    """What forecasts of targets kept out came to, and what the advice would have been."""
    told = forecast_judge.foretold(known)
    said: dict[str, int] = {}
    lost: list[float] = []
    for (target, labels, _), group in forecast.by_target(known).items():
        unseen = (replace(one, gain=float("nan")) for one in group)  # what was measured would decide
        candidates = [Candidate(one, told[known.index(same)]) for one, same in zip(unseen, group, strict=True)]
        found = advice.advise(candidates, target, labels, 0.0)
        said[found.what] = said.get(found.what, 0) + 1
        if found.what == "take":
            gains = {one.source: one.gain for one in group}
            lost.append(max(0.0, *gains.values()) - gains[found.sources[0]])
    idle = [one for one in known if one.source in ("shuffled", "noise")]
    return {
        "settings": list(SETTINGS),
        "judgement": forecast_judge.judge(known).as_json,
        "advice": said
        | {"points_behind_the_best_where_one_was_taken": round(float(np.mean(lost)), 2) if lost else None},
        "shuffled_or_noise": {
            "cases": len(idle),
            "flagged": sum(told[known.index(one)].flagged for one in idle),
            "mean_gain": round(float(np.mean([one.gain for one in idle])), 2) if idle else None,
        },
        "cells": [
            {"source": one.source, "target": one.target, "labels": one.labels, "gain": round(one.gain, 2)}
            | {"foretold": round(each.gain, 2), "interval": [round(each.low, 2), round(each.high, 2)]}
            | {"harm": round(each.harm, 3), "flagged": each.flagged}
            for one, each in zip(known, told, strict=True)
        ],
    }


def _short(one: Example) -> dict[str, Any]:
    """An example with as many digits as mean something."""
    known = {name: None if value is None else round(value, DIGITS) for name, value in one.known.items()}
    numbers = {name: round(getattr(one, name), 3) for name in ("gain", "error", "seconds")}
    said = {"source": one.source, "target": one.target, "labels": one.labels, "method": one.method}
    return said | {"known": known} | numbers


if __name__ == "__main__":
    main()
