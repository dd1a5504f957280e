"""Data that changed are told from data that did not, with the size of the change."""

from typing import Any

import numpy as np
import pytest

from graft.core import drift


def profile(seed: int, n: int = 800, brighter: float = 0.0, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Any:
    generator = np.random.default_rng(seed)
    labels = [("ash", "birch", "cedar")[one] for one in generator.choice(len(shares), n, p=shares)]
    looks = 0.2 * generator.normal(size=(n, len(drift.LOOK_VALUES))) + brighter
    return drift.profile(labels, np.clip(generator.normal(0.5 + brighter, 0.1, n), 0, 1), looks)


def effects(before: Any, now: Any) -> dict[str, tuple[float, float]]:
    return {shift.what: (shift.effect, shift.p_value) for shift in drift.compare(before, now)}


@pytest.mark.parametrize("seed", range(5))
def test_another_draw_of_the_same_data_is_no_drift(seed: int) -> None:
    for effect, p_value in effects(profile(2 * seed), profile(2 * seed + 1)).values():
        assert p_value > 0.001 and effect < 0.1


def test_data_do_not_drift_from_themselves() -> None:
    assert all(effect == 0.0 for effect, _ in effects(profile(0), profile(0)).values())


def test_brighter_pictures_drift_in_brightness_and_features_not_in_classes() -> None:
    told = effects(profile(0), profile(1, brighter=0.08))
    assert told["brightness"][0] > 0.2 and told["brightness"][1] < 1e-6
    assert told["features"][0] > 0.1 and told["features"][1] < 1e-6
    assert told["classes"][1] > 0.001


def test_other_class_shares_are_named() -> None:
    shift = drift.compare(profile(0), profile(1, shares=(0.2, 0.6, 0.2)))[0]
    assert shift.effect > 0.2 and shift.p_value < 1e-6
    assert shift.words.startswith(("ash is", "birch is"))


def test_a_class_that_is_gone_is_named() -> None:
    shift = drift.compare(profile(0), profile(1, shares=(0.6, 0.4)))[0]
    assert shift.words.startswith("cedar is gone; ") and shift.p_value < 1e-6


def test_nothing_to_compare_is_no_drift() -> None:
    empty = drift.profile([], np.empty(0), np.empty((0, len(drift.LOOK_VALUES))))
    assert effects(profile(0), empty)["brightness"] == (0.0, 1.0)
    assert effects(empty, profile(0))["classes"] == (0.0, 1.0)
