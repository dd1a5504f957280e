"""A copy is found however it was saved; other pictures are not taken for copies."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from graft.core import duplicates


def drawing(seed: int) -> Image.Image:
    """A few ellipses on a plain ground."""
    generator = np.random.default_rng(seed)
    picture = Image.new("RGB", (64, 64), tuple(int(v) for v in generator.integers(0, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y = generator.integers(0, 50, 2)
        colour = tuple(int(v) for v in generator.integers(0, 256, 3))
        draw.ellipse([x, y, x + generator.integers(8, 40), y + generator.integers(8, 40)], fill=colour)
    return picture


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


COPIES = {
    "half the size": lambda one: one.resize((32, 32), Image.Resampling.LANCZOS),
    "twice the size": lambda one: one.resize((128, 128), Image.Resampling.BICUBIC),
    "JPEG at 50": lambda one: jpeg(one, 50),
    "brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.05),
    "darker": lambda one: ImageEnhance.Brightness(one).enhance(0.95),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_lies_close_and_is_paired_with_its_original(how: str) -> None:
    originals = [drawing(seed) for seed in range(40)]
    rows = np.array([duplicates.descriptor(one) for one in [*originals, *map(COPIES[how], originals)]])
    pairs, distances = duplicates.near(rows.astype(np.float16), 0.08)
    assert {tuple(pair) for pair in pairs.tolist()} == {(n, n + 40) for n in range(40)}
    assert distances.max() < 0.08


def test_different_drawings_are_no_pair() -> None:
    rows = np.array([duplicates.descriptor(drawing(seed)) for seed in range(300)])
    assert len(duplicates.near(rows, 0.08)[0]) == 0


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_rows_have_no_pair(n: int) -> None:
    pairs, distances = duplicates.near(np.zeros((n, duplicates.N_VALUES), np.float32), 0.08)
    assert pairs.shape == (0, 2) and distances.shape == (0,)


def test_no_pair_within_the_radius_is_lost_to_the_tree() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, duplicates.N_VALUES)).astype(np.float32)
    rows[100:] = rows[:100] + generator.normal(scale=0.005, size=(100, duplicates.N_VALUES))
    gaps = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    close = {(int(a), int(b)) for a, b in np.argwhere(gaps < 0.05) if a < b}
    assert {tuple(pair) for pair in duplicates.near(rows, 0.05)[0].tolist()} == close and len(close) > 90


def test_one_tree_after_the_other_finds_what_one_for_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, duplicates.N_VALUES))
    rows = np.repeat(rows, 6, axis=0) + generator.normal(scale=0.004, size=(360, duplicates.N_VALUES))
    rows = generator.permutation(rows).astype(np.float32)
    whole = [*duplicates.near(rows, 0.08), *duplicates.nearest(rows[:50], rows[50:], 0.08)]
    monkeypatch.setattr(duplicates, "_TREE_ROWS", 37)
    parts = [*duplicates.near(rows, 0.08), *duplicates.nearest(rows[:50], rows[50:], 0.08)]
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))
    assert len(whole[0]) > 300 and (whole[2] >= 0).any()


def test_a_thousand_copies_of_one_picture_give_few_pairs() -> None:
    rows = np.tile(duplicates.descriptor(drawing(1)), (1000, 1))
    rows += np.random.default_rng(0).normal(scale=1e-4, size=rows.shape).astype(np.float32)
    pairs, _ = duplicates.near(rows, 0.08)
    assert 1000 <= 2 * len(pairs) <= 6000 and len(np.unique(pairs)) == 1000


def test_the_nearest_of_another_set_is_found_and_nothing_beyond_the_radius() -> None:
    generator = np.random.default_rng(0)
    others = generator.normal(size=(150, duplicates.N_VALUES)).astype(np.float32)
    queries = others[::3] + generator.normal(scale=0.005, size=(50, duplicates.N_VALUES)).astype(np.float32)
    queries[7] += 1.0
    found, distances = duplicates.nearest(queries, others, 0.08)
    expected = np.arange(0, 150, 3)
    expected[7] = -1
    np.testing.assert_array_equal(found, expected)
    assert distances[7] == np.float32(0.08) and np.delete(distances, 7).max() < 0.08


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_sets_of_few_rows_have_a_nearest_or_none(n: int, m: int) -> None:
    width = duplicates.N_VALUES
    found, _ = duplicates.nearest(np.zeros((n, width), np.float32), np.zeros((m, width), np.float32), 0.08)
    assert found.tolist() == [0 if m else -1] * n
