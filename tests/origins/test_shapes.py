"""What the drawn pictures promise beyond the contract: how many, which are unseen, and what tells a figure."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from graft.core.dataset import Picture, Request
from tasks.origins import shapes


def drawn(role: str, size_px: int = 32, **options: int) -> list[Picture]:
    return list(shapes.fetch(shapes.Options(**options), Request("any", 5, size_px, Path(), role=role)))


def grey(picture: Picture) -> NDArray[np.float64]:
    """Mean of red, green and blue on an 8x8 copy, in which noise hardly counts."""
    small = Image.open(io.BytesIO(picture.data)).resize((8, 8), Image.Resampling.BOX)
    means: NDArray[np.float64] = np.asarray(small, np.float64).mean(axis=2)
    return means


@pytest.mark.parametrize("role", ["source", "target"])
def test_each_class_has_as_many_pictures_as_asked_for_or_its_roles_number(role: str) -> None:
    asked = Counter(one.label for one in drawn(role, images_per_class=6))
    assert set(asked.values()) == {6}
    own = Counter(one.label for one in drawn(role, size_px=16))
    assert own == dict.fromkeys(asked, shapes.IMAGES_PER_CLASS[role])


@pytest.mark.parametrize("role", ["source", "target"])
def test_figures_on_a_plain_ground_are_unseen_and_all_are_lighter_than_it(role: str) -> None:
    pictures = drawn(role, size_px=64, images_per_class=40)
    assert {(one.group, one.split) for one in pictures} == {("plain", "unseen"), ("textured", "")}
    plain = [one for one in pictures if one.group == "plain"]
    assert set(Counter(one.label for one in plain).values()) == {6}
    for one in plain:
        cells = grey(one)
        ground = np.median(cells[[0, 0, -1, -1], [0, -1, 0, -1]])  # no figure reaches all the corners
        assert cells.min() > ground - 4 and cells.max() > ground + 8, one.path


def test_the_domains_share_no_figure() -> None:
    assert not {one.label for one in drawn("source", images_per_class=4)} & {
        one.label for one in drawn("target", images_per_class=4)
    }
