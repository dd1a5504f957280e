"""Curves of accuracy over labels: planted laws are found, and what is read from them is true as often as it says."""

import numpy as np
import pytest

from graft.core import learning_curve
from graft.core.learning_curve import Laws

LABELS = np.array([5.0, 10.0, 20.0, 40.0, 80.0])


def law(ceiling: float, gap: float, rate: float) -> Laws:
    return Laws(*(np.array([value]) for value in (ceiling, gap, rate)))


def measured(true: Laws, n_seeds: int, n_rows: int, seed: int) -> list[np.ndarray]:
    """Hits of each budget; pictures differ in difficulty."""
    generator = np.random.default_rng(seed)
    ease = generator.random(n_rows)
    return [
        (0.5 * ease + 0.5 * generator.random((n_seeds, n_rows)) < _reached(float(true.at(n)[0]))).astype(float)
        for n in LABELS
    ]


def _reached(accuracy: float) -> float:
    """Below which the mean of two uniform numbers lies with that probability."""
    return float(np.sqrt(accuracy / 2) if accuracy <= 0.5 else 1 - np.sqrt((1 - accuracy) / 2))


@pytest.mark.parametrize(("ceiling", "gap", "rate"), [(0.9, 1.2, 0.5), (1.0, 0.9, 0.3), (0.8, 0.9, 1.1)])
def test_a_planted_law_is_found(ceiling: float, gap: float, rate: float) -> None:
    true = law(ceiling, gap, rate)
    exact = np.stack([true.at(n) for n in LABELS], axis=1)
    found = learning_curve.fit(LABELS, exact)
    assert np.concatenate([found.at(n) for n in (7, 160)]) == pytest.approx(
        np.concatenate([true.at(n) for n in (7, 160)]), abs=0.01
    )
    assert true.labels_for(true.at(33.0))[0] == pytest.approx(33.0)


def test_a_curve_that_does_not_rise_is_flat_and_reaches_nothing_more() -> None:
    falling = np.array([[0.7, 0.65, 0.6, 0.6, 0.55]])
    found = learning_curve.fit(LABELS, falling)
    assert found.gap[0] == 0.0 and found.at(1000)[0] == pytest.approx(falling.mean())
    assert learning_curve.to_reach(0.8, learning_curve.fit(LABELS, np.tile(falling, (3, 1))), 80)["labels"] is None


def test_a_ceiling_is_at_most_one() -> None:
    steep = learning_curve.fit(LABELS, np.array([[0.2, 0.4, 0.6, 0.8, 1.0]]))
    assert steep.ceiling[0] <= 1.0 and (steep.at(1e9) <= 1.0).all()


def test_what_reuse_is_worth_is_told_with_an_interval_that_holds_it() -> None:
    reuse, scratch = law(0.92, 0.9, 0.6), law(0.92, 1.35, 0.6)
    true = float(scratch.labels_for(reuse.at(10.0))[0]) - 10.0
    held = 0
    for trial in range(40):
        fitted = [
            learning_curve.fit(LABELS, learning_curve.draws(measured(one, 5, 1500, trial), 100, trial))
            for one in (reuse, scratch)
        ]
        found = learning_curve.worth(10.0, *fitted, most=70.0)
        held += found["ci95"][0] <= true <= found["ci95"][1]
        assert not found["more"] and found["labels"] == pytest.approx(true, abs=5)
    assert true == pytest.approx(9.66, abs=0.1) and held >= 34, held


def test_scratch_that_never_gets_there_is_worth_more_than_was_measured() -> None:
    reuse, scratch = (
        learning_curve.fit(LABELS, learning_curve.draws(measured(one, 3, 500, 0), 50, 0))
        for one in (law(0.95, 0.3, 0.5), law(0.6, 0.9, 0.8))
    )
    found = learning_curve.worth(10.0, reuse, scratch, most=70.0)
    assert found == {"labels": 70.0, "ci95": [70.0, 70.0], "more": True}
    other = learning_curve.worth(10.0, scratch, reuse, most=70.0)
    assert other["labels"] < 0 and not other["more"]


def test_labels_for_a_wanted_accuracy_and_what_is_too_far_to_tell() -> None:
    true = law(0.97, 1.0, 0.6)
    laws = learning_curve.fit(LABELS, learning_curve.draws(measured(true, 5, 2000, 1), 200, 1))
    near, far = (learning_curve.to_reach(wanted, laws, 80.0) for wanted in (0.9, 0.999))
    assert near["labels"] == pytest.approx(float(true.labels_for(np.array([0.9]))[0]), rel=0.3)
    assert near["ci95"][0] < near["labels"] and (near["ci95"][1] is None or near["ci95"][1] > near["labels"])
    assert far["labels"] is None and far["farthest"] == 800.0


def test_the_largest_budget_is_foretold_from_half_of_it() -> None:
    accuracy = learning_curve.draws(measured(law(0.9, 1.1, 0.5), 5, 2000, 3), 100, 3)
    found = learning_curve.check(LABELS, accuracy)
    assert found is not None and found["labels"] == 80.0 and found["measured"] == accuracy[0, -1]
    assert found["ci95"][0] <= found["measured"] <= found["ci95"][1]
    assert abs(found["predicted"] - found["measured"]) < 0.03
    assert learning_curve.check(LABELS[2:], accuracy[:, 2:]) is None


def test_two_budgets_are_no_curve() -> None:
    with pytest.raises(ValueError, match="2 budgets; a curve needs 3"):
        learning_curve.fit(np.array([5.0, 10.0, 10.0]), np.ones((1, 3)))
