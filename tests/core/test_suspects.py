"""Wrong labels and odd pictures stand out, and the same seed says the same."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from graft.core import patches, suspects


def clusters(n: int = 900, n_classes: int = 3, size: int = 12) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features of classes that overlap a little."""
    generator = np.random.default_rng(0)
    centres = 2.0 * generator.normal(size=(n_classes, size))
    labels = generator.integers(0, n_classes, n)
    return (centres[labels] + generator.normal(size=(n, size))).astype(np.float32), labels


def in_pieces(features: NDArray[np.float32]) -> suspects.Chunks:
    def pieces() -> Iterator[NDArray[np.float32]]:
        yield from (features[start : start + 256] for start in range(0, len(features), 256))

    return pieces


def test_flipped_labels_are_the_most_suspicious_and_their_true_class_is_named() -> None:
    features, true = clusters()
    flipped = np.random.default_rng(1).choice(len(true), 45, replace=False)
    given = true.copy()
    given[flipped] = (given[flipped] + 1) % 3
    told = suspects.labels(in_pieces(features), given, 3, seed=0)
    worst = np.argsort(told.quality)[:90]
    assert np.isin(flipped, worst).mean() >= 0.95
    assert told.suspect[flipped].mean() >= 0.9 and told.suspect.sum() <= 60
    assert (told.predicted[flipped] == true[flipped]).mean() >= 0.95
    assert not np.any(told.suspect & (told.predicted == given))
    assert 0.0 <= told.quality.min() and told.quality.max() <= 1.0


def test_the_same_seed_gives_the_same_answer_however_the_rows_are_cut() -> None:
    features, given = clusters()
    one = suspects.labels(in_pieces(features), given, 3, seed=4)
    other = suspects.labels(lambda: iter([features]), given, 3, seed=4)
    np.testing.assert_allclose(one.quality, other.quality, atol=1e-4)


def test_sound_labels_give_few_suspects() -> None:
    features, given = clusters()
    assert suspects.labels(in_pieces(features), given, 3, seed=0).suspect.mean() < 0.03


def test_rows_unlike_all_others_lie_far_out() -> None:
    features, _ = clusters(size=40)
    features[7] *= 9.0
    far = suspects.outlyingness(in_pieces(features / features.std(axis=0)))
    assert far.argmax() == 7 and far[7] > 6.0
    assert np.delete(far, 7).max() < 6.0


def thumbs(n: int = 120) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Stripes, horizontal or upright, in noise."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, n)
    wave = (np.arange(32) // 3 % 2 * 120).astype(np.float64)
    pictures = [np.tile(wave, (32, 1)) if label else np.tile(wave, (32, 1)).T for label in labels]
    noisy = np.stack(pictures)[..., None] + generator.normal(60, 30, (n, 32, 32, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def test_patch_features_tell_patterns_apart_and_have_unit_variance() -> None:
    pictures, labels = thumbs()
    features = patches.learn(pictures, size=16, seed=0, n_filters=24)(pictures)
    assert features.shape == (120, 16) and features.dtype == np.float32
    np.testing.assert_allclose(features.std(axis=0), 1.0, atol=0.05)
    told = suspects.labels(in_pieces(features), labels, 2, seed=0)
    assert (told.predicted == labels).mean() > 0.95


def test_patch_features_depend_on_the_seed_alone() -> None:
    pictures, _ = thumbs(60)
    one, same, other = (patches.learn(pictures, 8, seed, 16)(pictures) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_a_handful_of_pictures_still_has_features() -> None:
    pictures, _ = thumbs(5)
    assert patches.learn(pictures, 512, 0, 64)(pictures).shape[0] == 5
