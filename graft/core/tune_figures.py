"""The figures of a search: how its trials went, what mattered, and the best against the defaults; see `drawing`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from graft.core.drawing import ARMS, INK, MUTED, canvas, dot, room_for_labels, rows_of, svg

Trials = Sequence[Mapping[str, Any]]


def history(arm: str, trials: Trials) -> Markup | None:
    """Macro-F1 of every trial over its number, the best so far as a line; None if none has a value."""
    told = [one for one in trials if one["value"] is not None]
    complete = [one for one in told if one["state"] == "complete"]
    if not complete:
        return None
    colour, marker = ARMS[arm]
    with canvas(520, 300) as figure:
        axes = figure.subplots()
        best = 100 * np.maximum.accumulate([one["value"] for one in complete])
        axes.step(
            [one["number"] for one in complete], best, where="post", color=colour, linewidth=2, label="best so far"
        )
        kinds = (
            ("a trial", marker, colour, [one for one in complete if not one["is_default"]]),
            ("the defaults", "*", INK, [one for one in told if one["is_default"]]),
            ("pruned", "x", MUTED, [one for one in told if one["state"] == "pruned" and not one["is_default"]]),
        )
        for label, shape, paint, some in kinds:
            at, values = [one["number"] for one in some], [100 * one["value"] for one in some]
            size = 11 if shape == "*" else 7
            axes.plot(at, values, shape, color=paint, markersize=size, label=label, zorder=3)
        axes.set(xlabel="trial", ylabel="macro-F1, %")
        axes.set_title(arm, loc="left")
        axes.locator_params(axis="x", integer=True)
        figure.legend(loc="outside upper left", ncols=4)
        return svg(figure, f"history-{arm}", f"Macro-F1 of each trial of {arm}; the numbers are in the table of trials")


def importance(arm: str, shares: Mapping[str, float]) -> Markup | None:
    """Each key's share of the variance of macro-F1, in [0, 1], as a bar; None of none."""
    if not shares:
        return None
    with canvas(520, 70 + 30 * len(shares)) as figure:
        axes = figure.subplots()
        for row, share in enumerate(shares.values()):
            axes.barh(row, 100 * share, color=ARMS[arm][0], height=0.6, alpha=0.8)
            axes.annotate(f"{100 * share:.0f}", (100 * share, row), (6, 0), textcoords="offset points", va="center")
        rows_of(axes, [key.split(".", 1)[-1] for key in shares])
        axes.set_xlim(0, 108)
        axes.set_xlabel("share of the variance of macro-F1, %")
        axes.set_title(arm, loc="left")
        return svg(figure, f"importance-{arm}", f"How much each setting mattered among the trials of {arm}")


def against_defaults(arms: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Best minus defaults on fresh draws in points with its 95 % interval, a small dot for each draw; an arm a row."""
    with canvas(520, 75 + 60 * len(arms)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for row, (arm, told) in enumerate(arms.items()):
            low, high = told["ci95"]
            dot(axes, row, told["points"], low, high, told["per_draw"], *ARMS[arm], "{:+z.1f}")
        rows_of(axes, list(arms))
        axes.set_xlabel("best found minus defaults, percentage points of macro-F1")
        room_for_labels(axes)
        return svg(
            figure, "against-defaults", "Best settings minus defaults on fresh draws with 95% intervals, in points"
        )
