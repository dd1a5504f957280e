"""Maps by hiding parts: they show the places that the answer rests on."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import rise
from graft.core.rise import MASKS, PLACES

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
SIZE = 48
LIT = (slice(6, 18), slice(30, 42))
LIT_PLACES = (slice(2, 6), slice(10, 14))


def sees(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A model of two classes: the first is as probable as the place is bright."""
    bright = samples[:, LIT[0], LIT[1]].mean(axis=(1, 2, 3)) / 255
    return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


def always(*probabilities: float) -> Ask:
    """A model that looks at nothing."""
    return lambda samples: np.tile(np.array(probabilities, np.float32), (len(samples), 1))


def picture(size: int = SIZE) -> NDArray[np.uint8]:
    """Dark, with one place lit."""
    sample = np.full((size, size, 3), 20, np.uint8)
    sample[LIT] = 250
    return sample


def test_the_place_that_speaks_for_a_class_is_the_place_that_is_lit() -> None:
    found = rise.maps(sees, picture(), [0])
    assert found.shape == (1, PLACES, PLACES) and found.dtype == np.float32
    row, column = np.unravel_index(found[0].argmax(), found[0].shape)
    assert 2 <= row < 6 and 10 <= column < 14
    far = found[0][8:, :8]
    assert found[0][LIT_PLACES].mean() > 4 * far.mean()


def test_what_speaks_for_one_class_does_not_speak_for_the_other() -> None:
    one, other = rise.maps(sees, picture(), [0, 1])
    assert one[LIT_PLACES].min() > 0 and other[LIT_PLACES].max() == 0
    np.testing.assert_array_equal(rise.maps(sees, picture(), [1])[0], other)


@pytest.mark.parametrize("probabilities", [(0.5, 0.5), (0.1, 0.9), (0.0, 1.0), (1 / 3, 2 / 3)])
def test_a_model_that_looks_nowhere_gives_an_empty_map(probabilities: tuple[float, ...]) -> None:
    found = rise.maps(always(*probabilities), picture(), [0, 1])
    assert found.shape == (2, PLACES, PLACES) and not found.any()


def test_a_picture_gets_the_same_map_each_time_and_another_one_by_another_seed() -> None:
    one = rise.maps(sees, picture(), [0])
    np.testing.assert_array_equal(rise.maps(sees, picture(), [0]), one)
    assert (rise.maps(sees, picture(), [0], seed=1) != one).any()


@pytest.mark.parametrize("size", [16, 33, 224])
def test_every_place_is_hidden_and_shown_and_the_picture_left_alone(size: int) -> None:
    sample = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    before, asked = sample.copy(), []

    def ask(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(samples)
        return always(0.5)(samples)

    rise.maps(ask, sample, [0])
    shown = np.concatenate(asked)
    assert shown.shape == (MASKS, size, size, 3) and shown.dtype == np.uint8
    kept = (shown == sample).all(axis=3).mean(axis=0)
    assert kept.min() > 0 and kept.max() < 0.9
    assert (sample == before).all()
