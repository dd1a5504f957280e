"""Two runs' answers are compared picture by picture where both answered the same pictures, and only there."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graft.core import answered, side_by_side
from graft.core.answered import Answered
from tests.core.test_side_by_side import run

ROWS = tuple((f"style-{index % 3}", index % 5) for index in range(400))


def answers(accuracy: float, seed: int = 0, **changes: Any) -> answered.Answers:
    """Of two seeds; the same generator draws which pictures are hard."""
    ease = np.random.default_rng(0).random((1, 400)) + np.random.default_rng(seed + 1).normal(0, 0.05, (2, 400))
    one = replace(Answered((0, 1), ROWS, ease < accuracy), **changes)
    return {("seen", "transfer"): one, ("seen", "scratch"): replace(one, hits=ease < 0.5)}


def test_a_difference_of_the_same_pictures_has_a_narrower_interval_than_either_run() -> None:
    found = answered.difference(answers(0.6), answers(0.66, seed=1), "seen", "transfer")
    assert found and found.mean == pytest.approx(6, abs=2) and found.low > 0
    alone = answered.HOW.one(100.0 * answers(0.6)["seen", "transfer"].hits)
    assert found.high - found.low < alone.high - alone.low


def test_of_gains_the_difference_is_that_of_their_differences() -> None:
    old, new = answers(0.6), answers(0.7, seed=2)
    found = answered.difference_of_gains(old, new, "seen")
    means = [one["seen", arm].hits.mean() for one in (new, old) for arm in ("transfer", "scratch")]
    assert found and found.mean == pytest.approx(100 * (means[0] - means[1] - means[2] + means[3]))
    assert answered.difference(old, new, "unseen", "transfer") is None
    assert answered.difference_of_gains(old, {}, "seen") is None


@pytest.mark.parametrize("changes", [{"seeds": (0, 2)}, {"rows": ROWS[::-1]}, {"rows": ROWS[:-1]}])
def test_other_seeds_or_pictures_do_not_fit_together(changes: dict[str, Any]) -> None:
    assert answered.fit_together(answers(0.6), answers(0.6))
    assert not answered.fit_together(answers(0.6), answers(0.6, **changes))
    assert not answered.fit_together({}, answers(0.6))


def test_a_paired_difference_stands_on_the_page_with_its_interval() -> None:
    old, new = (run(name, answers=answers(share, 3)) for name, share in (("before", 0.6), ("after", 0.7)))
    found = answered.difference(old.answers, new.answers, "seen", "transfer")
    assert found
    said = side_by_side.gain_text({"points": found.mean, "ci95": found.ci95})
    assert side_by_side.sentence(old, new) == f"after against before: accuracy on the seen test set {said}"
    table = side_by_side.results(old, new)
    assert table.head[-1] == "difference, with an interval where paired"
    assert [row[-1] for row in table.rows if row[1:3] == ("transfer", "accuracy")] == [said]
    text = side_by_side.render(old, new)
    assert "<b>Paired</b>" in text and "An interval without zero tells the runs apart" in text


def test_runs_of_other_data_are_not_paired_whatever_they_answered() -> None:
    other = run("b", answers=answers(0.7), data={"target": {"name": "plants", "pictures": 40, "md5": "1" * 32}})
    assert not side_by_side.paired(run("a", answers=answers(0.6)), other)
    assert "not paired" in side_by_side.sentence(run("a", answers=answers(0.6)), other)
