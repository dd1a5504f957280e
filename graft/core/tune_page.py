"""What a search over settings found, on one page: verdicts, the change of params.yaml, history, importance, trials."""

from collections.abc import Mapping
from typing import Any

from graft.core import page, search, tune_figures
from graft.core.report import FILTERS

Numbers = Mapping[str, Any]
NONE = "–"


def render(report: Numbers) -> str:
    """The page, ready to be written as UTF-8.

    Args:
        report: content of reports/tune.json.
    """
    arms = report["arms"]
    text: str = page.template(page.read("tune.html.j2"), FILTERS).render(
        report=report,
        how=report["how"],
        sentence=sentence(report),
        verdicts={arm: verdict(told) for arm, told in arms.items()},
        best={arm: _best(told) for arm, told in arms.items()},
        rows={arm: [_row(one) for one in told["trials"]] for arm, told in arms.items()},
        counts={arm: _counts(told) for arm, told in arms.items()},
        space=[(key, _range(said)) for key, said in report["how"]["space"].items()],
        histories={arm: tune_figures.history(arm, told["trials"]) for arm, told in arms.items()},
        importances={arm: tune_figures.importance(arm, told["importance"]) for arm, told in arms.items()},
        against=tune_figures.against_defaults({arm: told["fresh"] for arm, told in arms.items()}),
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sentence(report: Numbers) -> str:
    """The verdict on the arm that matters in one sentence."""
    arm = "transfer" if "transfer" in report["arms"] else next(iter(report["arms"]))
    return f"The search for {report['source']} to {report['target']}, {arm}: {verdict(report['arms'][arm])}"


def verdict(told: Numbers) -> str:
    """Whether an arm's best settings improve on the defaults, on draws that had no say in the search."""
    fresh = told["fresh"]
    low, high = fresh["ci95"]
    points = f"{signed(fresh['points'])} points, 95 % interval [{signed(low)}, {signed(high)}]"
    if {key: search.as_setting(key, one) for key, one in told["best"]["values"].items()} == told["defaults"]:
        return "found nothing better than the defaults"
    if low > 0:
        return f"improves the validation macro-F1 of the defaults by {points}"
    if high < 0:
        return f"makes the validation macro-F1 of the defaults worse: {points}"
    return f"does not improve the validation macro-F1 of the defaults by more than chance would: {points}"


def shown(value: Any) -> str:
    """A setting for people: a whole choice by its name and options."""
    if isinstance(value, Mapping) and "name" in value:
        options = [f"{key} {shown(one)}" for key, one in value.items() if key != "name"]
        return f"{value['name']} ({', '.join(options)})" if options else str(value["name"])
    return search.text(value)


def signed(points: float) -> str:
    """`+7.6`, and no minus before a zero."""
    return f"{points:+z.1f}".replace("-", "−")


def _best(told: Numbers) -> list[tuple[str, str, str]]:
    """(key, by default, best) of each setting of the arm."""
    return [
        (key, shown(told["defaults"][key]), shown(search.as_setting(key, value)))
        for key, value in told["best"]["values"].items()
    ]


def _row(one: Numbers) -> dict[str, Any]:
    notes = ["the defaults"] if one["is_default"] else []
    notes += [f"trial {one['again_of']} again, which was killed"] if one["again_of"] is not None else []
    notes += [one["reason"]] if one["reason"] else []
    return {
        "number": one["number"],
        "state": one["state"],
        "value": NONE if one["value"] is None else f"{100 * one['value']:.1f}",
        "seconds": NONE if one["seconds"] is None else f"{one['seconds']:.0f}",
        "settings": ", ".join(f"{key.split('.', 1)[-1]} {shown(value)}" for key, value in one["values"].items()),
        "note": "; ".join(notes),
    }


def _counts(told: Numbers) -> str:
    states = [one["state"] for one in told["trials"]]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _range(said: Numbers) -> str:
    if "choices" in said:
        return " | ".join(shown(one) for one in said["choices"])
    log, step = (" on a logarithmic scale" if said.get("log") else ""), said.get("step")
    return f"{said['low']:g} to {said['high']:g}{log}{f' in steps of {step:g}' if step else ''}"
