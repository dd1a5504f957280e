"""Episodes adapt to what there is, never ask about what they showed, and follow the number of their step."""

import itertools
from typing import Any

import numpy as np
import pytest

from graft.core import episodes, vary
from graft.core.dataset import Split
from graft.core.episodes import Shape
from graft.core.errors import BadInput


def split(counts: list[int], first: int = 0) -> Split:
    """Pictures of 2 px whose pixels say their row."""
    n = sum(counts)
    images = np.broadcast_to(np.arange(first, first + n, dtype=np.uint8)[:, None, None, None], (n, 2, 2, 3))
    return Split(images, np.repeat(np.arange(len(counts)), counts))


def rows(episode: Any) -> Any:
    return np.asarray(episode)[..., 0, 0, 0].astype(int)


def taken(shape: Shape, given: Split, count: int, start: int = 0) -> list[Any]:
    drawn = episodes.endless(given, shape, vary.none, 5, start)
    return [rows(pictures) for (pictures,) in itertools.islice(iter(drawn), count)]


def test_an_episode_has_its_classes_and_asks_about_other_pictures_than_it_shows() -> None:
    given = split([9, 2, 5, 7])
    found = taken(Shape(3, 2, 3), given, 30)
    seen = set()
    for episode in found:
        assert episode.shape == (3, 5)
        labels = given.labels[episode]
        assert np.all(labels == labels[:, :1]) and len(set(labels[:, 0])) == 3
        seen |= set(labels[:, 0])
        assert not any(set(one[:2]) & set(one[2:]) for one in episode)
    assert seen == {0, 1, 2, 3}


def test_an_episode_is_that_of_its_step_wherever_one_begins() -> None:
    shape, given = Shape(2, 2, 1), split([6, 6, 6])
    whole = taken(shape, given, 6)
    np.testing.assert_array_equal(whole[4:], taken(shape, given, 2, start=4))
    assert not all(np.array_equal(whole[0], one) for one in whole[1:])


def test_fewer_classes_make_smaller_episodes_and_a_class_of_one_picture_is_left_out() -> None:
    given = split([4, 1, 2])
    found = np.stack(taken(Shape(5, 3, 3), given, 10))
    assert found.shape == (10, 2, 6) and 1 not in given.labels[found]
    alone = np.stack(taken(Shape(5, 3, 0), given, 10))
    assert alone.shape == (10, 3, 3) and 1 in given.labels[alone]


def test_judging_episodes_show_training_pictures_ask_about_validation_and_stay_the_same() -> None:
    train, validation = split([3, 3, 3, 3]), split([1, 2, 0, 2], first=100)
    found, again = (episodes.judging(train, validation, Shape(2, 2, 2), 8) for _ in range(2))
    for (episode,), (twin,) in zip(found, again, strict=True):
        np.testing.assert_array_equal(episode, twin)
        shown, asked = rows(episode)[:, :2], rows(episode)[:, 2:]
        np.testing.assert_array_equal(train.labels[shown], validation.labels[asked - 100])
        assert 2 not in train.labels[shown]


def test_what_cannot_be_an_episode_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match="2 classes of the source with 2 training pictures.*1 has them") as caught:
        episodes.endless(split([4, 1]), Shape(2, 1, 1), vary.none, 0)
    with pytest.raises(BadInput, match="validation pictures of 2 classes.*1 of the source's has") as other:
        episodes.judging(split([4, 4]), split([3, 0]), Shape(2, 1, 1), 2)
    assert "\n" not in str(caught.value) + str(other.value)
