"""Mix-ups, hard pictures and doubted labels, against answers made to be known."""

import numpy as np

from graft.core.mistakes import hardest, pairs, suspects


def answers(*seeds: list[int], sure: float = 0.9, classes: int = 3) -> np.ndarray:
    """Probabilities of nets that call rows what `seeds` say, `sure` of it."""
    called = np.array(seeds)
    rest = (1 - sure) / (classes - 1)
    return np.where(np.eye(classes, dtype=bool)[called], sure, rest).astype(np.float32)


def test_the_commonest_mix_up_comes_first_and_its_most_agreed_picture_too() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    first, second, third = pairs(labels, answers([0, 1, 1, 1, 2, 2], [0, 0, 1, 1, 1, 0]), 8)
    assert first == (0, 1, 3, 3 / 6, [2, 1])
    assert second == (1, 2, 1, 1 / 4, [4]) and third == (2, 0, 1, 1 / 2, [5])
    assert pairs(labels, answers(list(labels)), 8) == []
    assert pairs(labels, answers([0, 1, 1, 1, 2, 2]), 1)[0].rows == [1, 2]


def test_the_hardest_are_those_that_most_seeds_got_wrong_and_no_hit_is_one() -> None:
    labels = np.array([0, 0, 0, 1])
    both = np.stack([answers([1, 2, 0, 1])[0], answers([1, 0, 0, 1], sure=0.6)[0]])
    first, second = hardest(labels, both, 3)
    assert (first.row, first.called, first.wrong) == (0, 1, 2) and abs(first.probability - (0.05 + 0.2) / 2) < 1e-6
    assert (second.row, second.called, second.wrong) == (1, 2, 1)
    assert len(hardest(labels, both, 1)) == 1


def test_planted_wrong_labels_are_named_and_honest_ones_are_not() -> None:
    generator = np.random.default_rng(0)
    true = np.arange(300) % 3
    seeds = [answers(list(true), sure=sure)[0] for sure in (0.95, 0.99, 0.97)]
    labels, planted = true.copy(), np.sort(generator.choice(300, 9, replace=False))
    labels[planted] = (labels[planted] + 1) % 3
    found = suspects(labels, np.stack(seeds), 0.95)
    assert sorted(one.row for one in found) == list(planted)
    assert all(one.called == true[one.row] and one.odds > 0.95 for one in found)
    assert suspects(true, np.stack(seeds), 0.95) == []


def test_one_seed_that_sees_it_another_way_clears_a_label() -> None:
    true = np.arange(60) % 3
    labels = true.copy()
    labels[[0, 1]] = 2, 2
    agreed, other = answers(list(true), sure=0.99)[0], answers(list(true), sure=0.99)[0]
    other[1] = answers([0], sure=0.99)[0, 0]
    assert [one.row for one in suspects(labels, np.stack([agreed, agreed, other]), 0.5)] == [0]


def test_the_surest_suspect_comes_first() -> None:
    true = np.arange(60) % 3
    labels = true.copy()
    labels[[0, 3]] = 2
    seed = answers(list(true), sure=0.9)[0]
    seed[3] = [0.97, 0.015, 0.015]
    assert [one.row for one in suspects(labels, seed[None], 0.5)] == [3, 0]
    assert [one.row for one in suspects(labels, seed[None], 0.96)] == [3]


def test_a_class_without_rows_is_no_obstacle() -> None:
    true = np.arange(60) % 2
    labels = true.copy()
    labels[0] = 1
    assert [one.row for one in suspects(labels, answers(list(true), sure=0.98), 0.9)] == [0]
