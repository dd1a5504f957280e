"""What `tasks.why` left, with the pictures that it names: the report's part on why and where."""

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.core.insight import Doubt, Insight, Look, MixUp
from tasks.adapters import arrays, files
from tasks.workspace import Workspace


def read(workspace: Workspace, classes: Sequence[str]) -> Insight | None:
    """Everything of reports/why; None if an older run left none.

    Args:
        classes: names of the target's classes.
    """
    if not (workspace.why / "why.json").exists():
        return None
    why = files.read_json(workspace.why / "why.json")
    with np.load(workspace.why / "maps.npz", allow_pickle=False) as held:
        maps = held["maps"]
    test = arrays.read(workspace.held_out("target", "test")).images
    train = arrays.read(workspace.packed("target", "train")).images
    seeds = why["seeds"]

    def named(one: dict[str, Any]) -> tuple[str, str]:
        return classes[one["label"]], classes[one["called"]]

    return Insight(
        why["seed"],
        seeds,
        why["wrong_for_all"],
        looks=[
            Look(*named(one), one["probability"], one["chosen"], np.asarray(test[one["row"]]), maps[one["maps"]])
            for one in why["looked"]
        ],
        pairs=[
            MixUp(*named(one), one["times"], one["share"], list(test[one["rows"]]), list(train[one["like"]]))
            for one in why["pairs"]
        ],
        hardest=[
            Doubt(*named(one), f"wrong for {one['wrong']} of {seeds}", np.asarray(test[one["row"]]))
            for one in why["hardest"]
        ],
        suspects=[
            Doubt(*named(one), f"odds {100 * one['odds']:.1f}%", np.asarray(test[one["row"]]))
            for one in why["suspects"]["first"]
        ],
        n_suspects=why["suspects"]["count"],
        features=why["features"],
        points=_points(workspace),
    )


def _points(workspace: Workspace) -> list[dict[str, Any]]:
    with (workspace.why / "features.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row | {axis: float(row[axis]) for axis in "xy"} for row in rows if "plane" in row]
