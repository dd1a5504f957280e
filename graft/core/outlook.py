"""How scores, distances and what came of them are told: the same words on the terminal and in the report."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Figures = Mapping[str, Any]

TITLES = {
    "knn": "k-NN",
    "linear_probe": "linear probe",
    "logme": "LogME",
    "h_score": "H-score",
    "nleep": "NLEEP",
    "mmd": "MMD",
    "frechet": "Fréchet",
    "proxy_a": "proxy-A",
}
SHARES = ("knn", "linear_probe")
"""Accuracies; the others are numbers of their own."""


class Row(NamedTuple):
    """One score or distance: of the network that learned the source, and of the same network before."""

    title: str
    transfer: str
    scratch: str


def told(measured: Figures, gain: Mapping[str, Figures | None]) -> dict[str, Any]:
    """What the features said of the transfer, and what came of it; empty if that was not measured."""
    if not measured:
        return {}
    return {kind: rows(measured, kind) for kind in ("scores", "distances")} | {
        "sentence": sentence(measured),
        "outcome": outcome(gain),
        "notes": list(dict.fromkeys(note for arm in ("transfer", "scratch") for note in measured[arm]["notes"])),
        "rows": measured["rows"],
    }


def rows(measured: Figures, kind: str) -> list[Row]:
    """All `scores` or `distances` of reports/transferability.json; a dash for what could not be measured."""
    transfer, scratch = measured["transfer"][kind], measured["scratch"][kind]
    return [
        Row(TITLES.get(name, name), _text(name, transfer[name]), _text(name, scratch.get(name))) for name in transfer
    ]


def sentence(measured: Figures) -> str:
    """How many of the scores speak for the source."""
    transfer, scratch = measured["transfer"]["scores"], measured["scratch"]["scores"]
    both = [name for name in transfer if transfer[name] is not None and scratch.get(name) is not None]
    if not both:
        return f"No score could be measured: {'; '.join(measured['transfer']['notes']) or 'no reason is known'}."
    above = sum(transfer[name] > scratch[name] for name in both)
    return f"{above} of {len(both)} scores rate the features higher after learning the source than before."


def verdict(gain: Figures) -> str:
    """What the interval of a gain says: "paid", "hurt" or "no difference measured"."""
    low, high = gain["ci95"]
    return "paid" if low > 0 else "hurt" if high < 0 else "no difference measured"


def outcome(gain: Mapping[str, Figures | None]) -> str:
    """What was measured after fine-tuning, set by set, in plain words."""
    sets: dict[str, list[str]] = {}
    for name, one in gain.items():
        if one:
            sets.setdefault(said_of(one), []).append(name)
    said = f"Measured after fine-tuning: {', '.join(f'{text} on {_and(names)}' for text, names in sets.items())}."
    worse = [name for name, one in gain.items() if one and verdict(one) == "hurt"]
    if worse:
        said += f" Transfer was worse than none on {_and(worse)}: another source, or none, would do better."
    return said


def worth_in_labels(worth: Figures | None) -> str:
    """What reuse is worth in labels per class; "" if that was not measured."""
    if not worth:
        return ""
    low, high = worth["ci95"]
    if worth["more"]:
        return f"Reuse is worth more than {low:.0f} labels per class: scratch never got there."
    return f"Reuse is worth {worth['labels']:.0f} more labels per class [{low:.0f}, {high:.0f}].".replace("-", "−")


def labels_to_reach(arm: str, one: Figures) -> str:
    """How many labels per class a wanted accuracy takes."""
    wanted, farthest = f"{100 * one['accuracy']:.0f}%", f"{one['farthest']:.0f}"
    if one["labels"] is None:
        return f"{arm} does not reach {wanted} within {farthest} labels per class, as far as can be foretold."
    low, high = (f"{value:.0f}" if value is not None else f"over {farthest}" for value in one["ci95"])
    return f"{arm} reaches {wanted} with about {one['labels']:.0f} labels per class [{low}, {high}]."


def foretold(check: Figures | None) -> str:
    """How well half of the labels foretold all of them; "" if that was not checked."""
    if not check:
        return ""
    low, high = (f"{100 * value:.1f}" for value in check["ci95"])
    return (
        f"From at most half as many the curve foretells {100 * check['predicted']:.1f}% [{low}, {high}] for "
        f"{check['labels']:.0f} labels per class; measured: {100 * check['measured']:.1f}%."
    )


def said_of(gain: Figures) -> str:
    """One of "reuse paid", "reuse hurt", "no difference measured"."""
    said = verdict(gain)
    return said if said == "no difference measured" else f"reuse {said}"


def _and(names: list[str]) -> str:
    return " and ".join(names)


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    text = f"{value:.1%}" if name in SHARES else f"{value:.3f}"
    return text.replace("-", "−")
