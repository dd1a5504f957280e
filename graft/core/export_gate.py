"""The gate of exported files: which may be published, whether the stage may go on, and which of them runs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from graft.core.sections import Export, Format, Prefer

FLOATS = ("float32", "float16")

Facts = Mapping[str, Any]
"""What reports/export.json says of a file: accuracy and agreement in [0, 1], bytes, latency_ms, passed, ..."""


class Limits(NamedTuple):
    """What one file may lose, and the setting that says so."""

    min_agreement: float
    max_drop_points: float
    where: tuple[str, str]


def limits(section: Export, index: int) -> Limits:
    """Those of `export.formats[index]`: its own, or else those of all."""
    own: Format = section.formats[index]
    agreement, drop = own.min_agreement, own.max_accuracy_drop_points
    places = ["export" if value is None else f"export.formats[{index}]" for value in (own.min_agreement, drop)]
    return Limits(
        section.min_agreement if agreement is None else agreement,
        section.max_accuracy_drop_points if drop is None else drop,
        (f"{places[0]}.min_agreement", f"{places[1]}.max_accuracy_drop_points"),
    )


def refusals(facts: Facts, keras_accuracy: float, allowed: Limits) -> list[str]:
    """Why a file is refused, one line each; none if it passes.

    Args:
        keras_accuracy: that of the model that ships, also of a variant's file: what a user loses by it.
    """
    reasons, drop = [], drop_points(facts, keras_accuracy)
    if facts["agreement"] < allowed.min_agreement:
        found = _beside(100 * facts["agreement"], 100 * allowed.min_agreement)
        reasons.append(
            f"agrees with Keras on {found}% of pictures; {allowed.where[0]} is {100 * allowed.min_agreement:.4g}%"
        )
    if drop > allowed.max_drop_points:
        against = " against the whole net" if facts.get("variant") else ""
        limit = f"{allowed.where[1]} is {allowed.max_drop_points:g}"
        reasons.append(f"loses {_beside(drop, allowed.max_drop_points)} points of accuracy{against}; {limit}")
    if not facts["builtin_operators_only"]:
        reasons.append("needs operators that a plain runtime lacks")
    reasons += [f"answers differently {how}" for how, same in facts["same_answers"].items() if same is False]
    return reasons


def _beside(value: float, limit: float) -> str:
    """`value` with one decimal, or as many as tell it from `limit`."""
    return next((text for n in range(1, 6) if float(text := f"{value:.{n}f}") != round(limit, n)), f"{value}")


def stop(files: Mapping[str, Facts], keras_accuracy: float, hard_stop_points: float) -> str:
    """Why the stage may not go on; "" if it may: a file passed, and none of those that keep the net's own numbers is so
    bad that all are in doubt. What rounding to integers costs a net says nothing of its other files, nor does what a
    variant of the net loses.
    """
    for name, facts in files.items():
        drop = drop_points(facts, keras_accuracy)
        if facts["precision"] in FLOATS and not facts.get("variant") and drop > hard_stop_points:
            why = "; ".join(facts["refused_because"])
            return f"{name} loses {drop:.1f} points of accuracy; export.hard_stop_points is {hard_stop_points:g}: {why}"
    if any(facts["passed"] for facts in files.values()):
        return ""
    return "; ".join(f"{name}: {', '.join(facts['refused_because'])}" for name, facts in files.items())


def choose(files: Mapping[str, Facts], prefer: Prefer) -> str:
    """The file that runs where none is named: of those that passed, that graft runs and that are nearly as good as
    the best of them; "" if there is none. Files are in the order of export.formats, those of variants behind.
    """
    fit = {name: one for name, one in files.items() if one["passed"] and one["format"] == "tflite"}
    best = max((one["accuracy"] for one in fit.values()), default=0.0)
    near = [name for name, one in fit.items() if drop_points(one, best) <= prefer.within_points]
    if prefer.name == "smallest":
        return min(near, key=lambda name: fit[name]["bytes"], default="")
    if prefer.name == "fastest":
        return min(near, key=lambda name: fit[name]["latency_ms"]["median"], default="")
    return next(iter(near), "")


def drop_points(facts: Facts, keras_accuracy: float) -> float:
    """What the file loses of the Keras model's accuracy, in points; below 0 if it is better."""
    return round(100.0 * (keras_accuracy - float(facts["accuracy"])), 9)  # 81 % - 80 % is one point, not more
