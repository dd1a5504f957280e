"""Forecasts of targets that were kept out hold what they say, see through shuffled labels, and abstain."""

import math
from dataclasses import replace

import numpy as np
import pytest

from graft.core import advice, atlas, forecast, forecast_judge, forecast_page
from graft.core.advice import Candidate
from graft.core.errors import BadInput
from graft.core.evaluation import Resampling
from graft.core.forecast import Example, Told
from tasks import forecast as foretelling
from tests.core.records import cell, look

TARGETS, SOURCES = 8, 8


def world(seed: int = 0, noise: float = 1.0) -> list[Example]:
    """Gains that depend on how good a source is; half of the scores see it, nearness is the larger the worse it is."""
    generator = np.random.default_rng(seed)
    found = []
    for target in range(TARGETS):
        level = generator.normal(0, 0.5)
        for source in range(SOURCES):
            worth = generator.uniform(0, 1)
            for labels in (5, 20):
                gain = 12 * worth - 4 - 2 * math.log10(labels) + level + generator.normal(0, noise)
                known = {
                    "labels": math.log10(labels),
                    "source_learned": worth,
                    "logme": worth + generator.normal(0, 0.3),
                    "mmd": worth + generator.normal(0, 0.05),
                    "knn": generator.normal(),
                }
                found.append(Example(f"s{source}", f"t{target}", labels, known, gain, 1.0, 10.0))
    return found


def test_intervals_cover_choices_are_good_and_harm_is_flagged_on_targets_that_were_kept_out() -> None:
    each = [forecast_judge.judge(world(seed)) for seed in range(5)]
    assert 0.85 <= np.mean([one.covered for one in each]) <= 0.95
    assert np.mean([one.regret for one in each]) < 1.0
    assert np.mean([one.flagged for one in each if one.flagged is not None]) > 0.8
    assert np.mean([one.false_alarms for one in each if one.false_alarms is not None]) < 0.25
    assert all(one.alone["mmd"] > 4.0 and one.alone["mmd"] > one.regret for one in each)  # the nearest is the worst
    assert all((one.targets, one.cases, one.choices) == (TARGETS, 2 * TARGETS * SOURCES, 2 * TARGETS) for one in each)


def test_no_example_of_a_target_has_a_say_in_its_own_forecast() -> None:
    given = world()
    before = forecast_judge.foretold(given)
    moved = [replace(one, gain=one.gain + 100) if one.target == "t0" else one for one in given]
    after = forecast_judge.foretold(moved)
    assert [a for a, one in zip(after, given, strict=True) if one.target == "t0"] == [
        b for b, one in zip(before, given, strict=True) if one.target == "t0"
    ]
    assert after != before


def test_what_is_missing_counts_as_average_and_the_order_does_not_matter() -> None:
    given = world()
    holes = [replace(one, known={**one.known, "knn": None, "never": None}) for one in given]
    told = forecast.learn(holes).tell(holes[3])
    bare = replace(holes[3], known={name: value for name, value in holes[3].known.items() if value})
    assert told == forecast.learn(holes).tell(bare)
    back = forecast.learn(holes[::-1]).tell(holes[3])
    assert (back.gain, back.low, back.high) == pytest.approx((told.gain, told.low, told.high))


def test_each_method_has_a_level_of_its_own_and_an_unknown_one_the_average() -> None:
    given = world(noise=0.1)
    both = [*given, *(replace(one, gain=one.gain - 6.0, method="linear_probe") for one in given)]
    learned = forecast.learn(both)
    full, probe, other = (learned.tell(replace(given[0], method=name)).gain for name in ("full", "linear_probe", "x"))
    assert full - probe == pytest.approx(6.0, abs=1.0) and probe < other < full
    alone = forecast_judge.judge(given)
    told = forecast_judge.judge(both)
    assert told.choices == 2 * alone.choices and told.error < alone.error + 0.5


def test_too_little_to_learn_from_is_said() -> None:
    with pytest.raises(BadInput, match="the atlas has 48 measured gains on 3 targets; a forecast learns from 20 on 4"):
        forecast.learn([one for one in world() if one.target in ("t0", "t1", "t2")])
    with pytest.raises(BadInput, match="the atlas has 4 measured gains on 4 targets"):
        forecast.learn([next(one for one in world() if one.target == f"t{index}") for index in range(4)])


def test_what_is_known_is_what_learning_the_source_added() -> None:
    known = forecast.known(look("a", "t", labels=10, learned=0.55, score=0.2, far=0.01))
    assert known["logme"] == pytest.approx(0.2) and known["linear_probe"] == pytest.approx(0.2)
    assert known["mmd"] == -2.0 and known["source_learned"] == pytest.approx(0.5) and known["labels"] == 1.0
    assert forecast.known(look("a", "t", labels=10, learned=0.1))["source_learned"] == pytest.approx(0.0)
    assert forecast.known(look("a", "t", far=1e-9))["mmd"] == -2.0  # NEAREST


def test_examples_join_gains_with_looks_of_the_same_labels() -> None:
    cells = [cell("a", "t", seed, [1, 1, 0, 0]) for seed in range(2)]
    cells += [cell(None, "t", seed, [1, 0, 0, 0]) for seed in range(2)]
    gains = atlas.gains(cells, Resampling(100, 0))
    assert forecast.examples(gains, [look("a", "t", labels=6), look("b", "t")]) == []
    [found] = forecast.examples(gains, [look("a", "t"), *cells])
    assert (found.source, found.target, found.labels, found.gain, found.seconds) == ("a", "t", 5, 25.0, 2.0)
    assert found.method == "full"


def candidate(source: str, gain: float, reach: float, harm: float = 0.0, measured: float = math.nan) -> Candidate:
    told = Told(gain, gain - reach, gain + reach, harm, harm > 0.5)
    return Candidate(Example(source, "t", 5, {"source_learned": 0.5}, measured, 1.0), told)


def test_advice_takes_what_is_clear_refuses_what_harms_and_else_names_the_cheapest_experiment() -> None:
    clear = advice.advise([candidate("a", 3, 1), candidate("b", 8, 2), candidate("c", 7, 3)], "t", 5, 30)
    assert (clear.what, clear.sources, clear.experiment) == ("take", ("b",), "")
    assert clear.sentence == "t with 5 labels per class: take b, +8.0 points [+6.0, +10.0]; c may do as well"
    none = advice.advise([candidate("a", -3, 1, 1.0), candidate("b", -8, 2, 1.0)], "t", 5, 30)
    assert none.what == "none" and none.sentence.endswith("train from nothing; every source is foretold to harm")
    unsure = [candidate(name, gain, 5) for name, gain in (("a", 1), ("b", 4), ("c", 2), ("d", 3), ("e", -9))]
    asked = advice.advise(unsure, "t", 5, 30)
    assert asked.what == "cannot tell" and asked.sources == ("b", "d", "c")
    assert asked.experiment.startswith("graft compare b d c --labels 5, about 6 minutes of one core")
    told_apart = advice.advise([candidate("b", 8, 2)], "t", 5, 30, "gradual").sentence
    assert told_apart == "t with 5 labels per class by gradual: take b, +8.0 points [+6.0, +10.0]"
    with pytest.raises(BadInput, match="no source is named that t could be learned from"):
        advice.advise([], "t", 5, 30)


def test_what_was_measured_decides_and_is_not_to_be_tried_again() -> None:
    tried = [candidate("a", 1, 5, measured=4.0), candidate("b", 4, 5, measured=-2.0)]
    known = advice.advise(tried, "t", 5, 30)
    assert (known.what, known.sources) == ("take", ("a",))
    assert known.sentence == "t with 5 labels per class: measured already, take a +4.0 ± 1.0 points"
    idle = advice.advise([candidate("a", 1, 5, measured=0.5)], "t", 5, 30)
    assert idle.what == "none" and "no source is shown to help; first comes a +0.5 ± 1.0 points" in idle.sentence
    asked = advice.advise([*tried, candidate("c", 2, 5)], "t", 5, 30)
    assert asked.what == "cannot tell" and asked.sources == ("c",)


def test_a_likely_harm_is_a_plain_warning() -> None:
    assert advice.warnings([candidate("a", 3, 1), candidate("b", -4, 5, 0.9)]) == [
        "b likely harms: 90% of its forecast lies below 0, −4.0 points [−9.0, +1.0]"
    ]


def test_the_page_says_what_to_do_how_sure_that_is_and_shows_names_as_text() -> None:
    known = world()
    judgement = forecast_judge.judge(known)
    found = [candidate("<i>a", 5, 2, measured=6.5), candidate("b", -4, 5, 0.9)]
    section = forecast_page.Section("t", 5, advice.advise(found, "t", 5, 30), found, advice.warnings(found))
    text = forecast_page.render([section], judgement, known, "today")
    assert "&lt;i&gt;a, +5.0 points" in text and "<i>a" not in text
    assert "likely harms" in text and "+6.5" in text
    assert forecast_page.how_good(judgement) in text.replace("&#39;", "'")
    assert section.as_json["candidates"][0]["measured"] == "+6.5" and section.as_json["candidates"][1]["measured"] == ""


def test_what_graft_comes_with_is_enough_to_learn_from_and_holds_what_it_says() -> None:
    known = foretelling.shipped()
    judgement = forecast_judge.judge(known)
    assert judgement.targets == 8 and judgement.cases >= 100
    assert 0.85 <= judgement.covered <= 0.95 and judgement.regret < min(1.0, *judgement.alone.values())
    assert judgement.flagged is not None and judgement.flagged >= 0.8
    assert judgement.false_alarms is not None and judgement.false_alarms <= 0.2
