"""What is drawn when, and mixed with what."""

from itertools import islice

import numpy as np
import pytest

from graft.core import batches, episodes, vary
from graft.core.dataset import Split

SPLIT = Split(np.arange(24, dtype=np.uint8)[:, None, None, None] + np.zeros((24, 8, 8, 3), np.uint8), np.arange(24) % 3)


def drawn(start: int = 0, seed: int = 1, count: int = 6, size: int = 8) -> list[list[int]]:
    found = islice(batches.labelled(SPLIT, vary.none, size, seed, start), count)
    return [images.numpy()[:, 0, 0, 0].astype(int).tolist() for images, _, _ in found]


def test_every_row_comes_once_per_pass_in_an_order_of_its_own() -> None:
    found = drawn()
    first, second = sum(found[:3], []), sum(found[3:], [])
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second and drawn(seed=2) != found


def test_a_later_start_gives_what_would_have_come() -> None:
    assert drawn(start=4, count=2) == drawn()[4:]
    odd = drawn(count=12, size=7)  # batches that straddle passes, and a batch larger than the split
    assert drawn(start=5, count=7, size=7) == odd[5:]
    assert [len(rows) for rows in drawn(count=2, size=50)] == [50, 50]


def test_views_show_the_same_pictures_varied_each_in_its_way() -> None:
    weak, strong = next(iter(batches.views(SPLIT.images, (vary.none, vary.standard), 8, 1)))
    first, _, _ = next(iter(batches.labelled(SPLIT, vary.none, 8, 1)))
    np.testing.assert_array_equal(weak, first)
    assert not np.array_equal(weak, strong)
    one, two = next(iter(batches.views(SPLIT.images, (vary.standard, vary.standard), 8, 1)))
    assert not np.array_equal(one, two)


def test_nothing_tunes_itself_and_holds_up_the_end_of_a_training() -> None:
    import tensorflow as tf

    labelled, views = batches.labelled(SPLIT, vary.none, 8, 1), batches.views(SPLIT.images, (vary.none,), 8, 1)
    few = episodes.endless(SPLIT, episodes.Shape(3, 2, 1), vary.none, 1)
    both = tf.data.Dataset.zip(labelled, views).map(lambda ours, theirs: (*ours, *theirs))
    assert [one.options().autotune.enabled for one in (labelled, views, few, both)] == [False] * 4


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_pictures_and_targets_are_mixed_in_the_same_share(mixup: float, cutmix: float) -> None:
    import tensorflow as tf

    images = tf.constant(np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((4, 10, 10, 3), np.float32))
    for step in range(5):
        seed = tf.constant([3, step])
        mixed, targets = batches.mixed(images, tf.one_hot(tf.range(4), 4), seed, mixup, cutmix)
        np.testing.assert_allclose(tf.reduce_sum(targets, axis=1), 1.0, atol=1e-6)
        expected = tf.linalg.matvec(targets, tf.range(4.0))  # a picture's brightness is the number of its class
        np.testing.assert_allclose(tf.reduce_mean(mixed, axis=(1, 2, 3)), expected, atol=1e-4)
