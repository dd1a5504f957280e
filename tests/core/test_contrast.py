"""The contrastive loss is the papers' formula; views stay pictures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import contrast, vary


def by_hand(points: NDArray[np.float64], groups: list[int], temperature: float) -> float:
    """Khosla et al. 2020, equation 2; for pairs it is equation 1 of Chen et al. 2020."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    total = 0.0
    for i, mine in enumerate(groups):
        others = [a for a in range(len(groups)) if a != i]
        below = sum(np.exp(unit[i] @ unit[a] / temperature) for a in others)
        friends = [p for p in others if groups[p] == mine]
        total -= np.mean([np.log(np.exp(unit[i] @ unit[p] / temperature) / below) for p in friends])
    return total / len(groups)


@pytest.mark.parametrize("groups", [[0, 1, 2, 0, 1, 2], [0, 0, 1, 0, 0, 1], [4, 4, 4, 4, 4, 4]])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_cost_is_that_of_the_formula(groups: list[int], temperature: float) -> None:
    points = np.random.default_rng(0).normal(size=(6, 5))
    cost, nearest = contrast.cost(points.astype(np.float32), np.array(groups), temperature)
    assert float(cost) == pytest.approx(by_hand(points, groups, temperature), rel=1e-4)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    likeness = unit @ unit.T - 9 * np.eye(6)
    assert float(nearest) == pytest.approx(np.mean(np.array(groups)[likeness.argmax(axis=1)] == np.array(groups)))


def test_a_view_is_a_part_of_its_picture_and_follows_its_seed() -> None:
    ramp = np.linspace(0, 255, 32, dtype=np.float32)
    images = np.broadcast_to(ramp[None, :, None, None], (64, 32, 32, 3)).copy()
    seed, other = np.array([3, 1], np.int32), np.array([3, 2], np.int32)
    view = contrast.view(vary.none, 0.25)
    seen = view(images, seed).numpy()
    assert seen.shape == images.shape and seen.min() >= 0 and seen.max() <= 255
    np.testing.assert_array_equal(seen, view(images, seed))
    assert not np.array_equal(seen, view(images, other))
    shown = (seen[:, -1, 0, 0] - seen[:, 0, 0, 0]) / 255  # of the height
    assert shown.min() >= np.sqrt(0.25 * 3 / 4) - 0.01 and shown.max() <= 1.0 and shown.std() > 0.05
    assert contrast.view(vary.none, 1.0)(images, seed) is images
    assert contrast.view(vary.none, 0.25) is view  # what was traced with it is found again
