"""Maps by hiding parts: they show the places that the answer rests on, and those alone."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import occlusion
from graft.core.occlusion import CELLS

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
LIT = (slice(6, 14), slice(36, 44))


def sees(rows: slice, columns: slice) -> Ask:
    """A model of two classes: the first is as probable as the place is bright."""

    def ask(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
        bright = samples[:, rows, columns].mean(axis=(1, 2, 3)) / 255
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)

    return ask


def picture(size: int = 48) -> NDArray[np.uint8]:
    """Dark, with one place lit."""
    sample = np.full((size, size, 3), 20, np.uint8)
    sample[LIT] = 250
    return sample


def test_the_place_that_speaks_for_a_class_is_the_place_that_is_lit() -> None:
    found = occlusion.maps(sees(*LIT), picture(), [0])
    assert found.shape == (1, CELLS, CELLS) and found.dtype == np.float32
    row, column = np.unravel_index(found[0].argmax(), found[0].shape)
    centre = (np.array([row, column]) + 0.5) * 48 / CELLS
    assert 6 <= centre[0] <= 14 and 36 <= centre[1] <= 44
    far = np.indices((CELLS, CELLS)).transpose(1, 2, 0) + 0.5
    away = np.abs(far * 48 / CELLS - [10, 40]).max(axis=2) > 48 / 2
    assert away.any() and (found[0][away] == 0).all()


def test_what_speaks_for_one_class_does_not_speak_for_the_other() -> None:
    one, other = occlusion.maps(sees(*LIT), picture(), [0, 1])
    assert one.max() == 1 and other.max() == 0


def test_a_model_that_looks_nowhere_gives_an_empty_map() -> None:
    found = occlusion.maps(lambda samples: np.full((len(samples), 2), 0.5, np.float32), picture(), [0, 1])
    assert found.shape == (2, CELLS, CELLS) and not found.any()


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_a_model_that_is_certain_of_everything_breaks_nothing(certain: float) -> None:
    found = occlusion.maps(lambda samples: np.full((len(samples), 1), certain, np.float32), picture(), [0])
    assert np.isfinite(found).all() and not found.any()


@pytest.mark.parametrize("size", [16, 33, 224])
def test_every_pixel_is_hidden_and_none_always(size: int) -> None:
    sample = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    before = sample.copy()
    asked: list[NDArray[np.uint8]] = []

    def ask(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(samples)
        return np.full((len(samples), 1), 0.5, np.float32)

    occlusion.maps(ask, sample, [0])
    differs = (np.concatenate(asked) != sample).any(axis=3).sum(axis=0)
    assert differs.min() > 0 and differs.max() < CELLS * CELLS
    assert (sample == before).all()
