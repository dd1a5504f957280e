"""The page of a search: it claims no more than the interval allows, shows every trial, and fetches nothing."""

from typing import Any

import pytest

from graft.core.tune_page import render, sentence, verdict
from tests.core.test_report import HOSTILE, Page

RATE = "finetune.learning_rates"


def trial(number: int, value: float | None, state: str = "complete", **more: Any) -> dict[str, Any]:
    values = {RATE: 0.001 * (number + 1), "finetune.method": {"name": "full", "l2": 2.0}}
    rest = {"steps": [value or 0.0], "seconds": 12.0, "reason": "", "is_default": number == 0, "again_of": None}
    return {"number": number, "state": state, "value": value, "values": values, **rest, **more}


def arm(points: float, half: float) -> dict[str, Any]:
    trials = [trial(n, 0.3 + 0.01 * n) for n in range(6)]
    trials += [trial(6, 0.1, "pruned"), trial(7, None, "failed", reason=HOSTILE), trial(8, 0.2, again_of=5)]
    return {
        "study": "x",
        "left_out": [],
        "defaults": {RATE: [0.003], "finetune.method": {"name": "full"}},
        "best": {"number": 5, "macro_f1": 0.35, "values": trials[5]["values"]},
        "fresh": {
            "seeds": [1000, 1001],
            "best": [0.4, 0.5],
            "defaults": [0.3, 0.4],
            "points": points,
            "ci95": [points - half, points + half],
            "per_draw": [points, points],
        },
        "importance": {RATE: 0.75, "finetune.method": 0.25},
        "trials": trials,
    }


def report(**arms: Any) -> dict[str, Any]:
    space = {
        RATE: {"type": "float", "low": 0.001, "high": 0.02, "log": True},
        "finetune.method": {"choices": ["full", {"name": "full", "l2": 2.0}]},
    }
    how = {"trials": 9, "folds": 3, "fresh": 5, "draws": [0], "labels_per_class": 10, "steps": 400, "space": space}
    how |= {"sampler": "tpe", "pruner": "hyperband", "caps": {"minutes": 20.0, "memory_mb": 4000}}
    return {"source": HOSTILE, "target": "plants", "how": how, "arms": arms, "settings": {}, "diff": "+  x: 1"}


@pytest.mark.parametrize(
    ("points", "half", "told"),
    [
        (3.0, 2.0, "improves the validation macro-F1 of the defaults by +3.0 points, 95 % interval [+1.0, +5.0]"),
        (3.0, 4.0, "does not improve the validation macro-F1 of the defaults by more than chance would: +3.0 points"),
        (-3.0, 2.0, "makes the validation macro-F1 of the defaults worse: −3.0 points, 95 % interval [−5.0, −1.0]"),
    ],
)
def test_the_verdict_is_what_the_interval_allows(points: float, half: float, told: str) -> None:
    assert verdict(arm(points, half)).startswith(told)


def test_defaults_that_were_the_best_are_told_as_such() -> None:
    told = arm(0.0, 0.0)
    told["defaults"] = {**told["best"]["values"], RATE: [told["best"]["values"][RATE]]}
    assert verdict(told) == "found nothing better than the defaults"


def test_the_page_shows_both_arms_and_every_trial_and_fetches_nothing() -> None:
    told = report(transfer=arm(3.0, 2.0), scratch=arm(1.0, 2.0))
    text = render(told)
    page = Page(text)
    assert HOSTILE not in text and text.count("&lt;img src=x onerror=alert(1)&gt;") >= 3
    assert not page.named("img") and not page.named("link") and len(page.named("script")) == 1
    assert len(page.named("svg")) == 5  # history and importance of each arm, and both against the defaults
    assert sum(1 for _, tags in page.tags if tags.get("scope") == "row") > 0
    for one in told["arms"]["scratch"]["trials"]:
        assert f'<td class="n">{one["number"]}</td>' in text
    assert "trial 5 again, which was killed" in text and "full (l2 2)" in text and "+  x: 1" in text
    assert sentence(told).endswith(verdict(told["arms"]["transfer"]))
