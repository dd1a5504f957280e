"""Few-shot episodes (Vinyals et al. 2016): a few classes, some pictures of each to learn from and others to ask about.

The same step has the same episode, wherever one begins. A class with fewer rows than an episode wants has them parted
between both uses and gives some of them twice; one that cannot be parted is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import batches
from graft.core.dataset import Augment, Split
from graft.core.errors import BadInput

Rows = NDArray[np.int64]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    """Classes an episode, and of each the pictures to learn from and those to ask about (0: none are asked)."""

    way: int
    shots: int
    queries: int


def endless(split: Split, shape: Shape, augment: Augment, seed: int, start: int = 0) -> Any:
    """Episodes of `split` from step `start` on, varied; with fewer classes than `shape` says if there are no more.

    Returns:
        tf.data.Dataset of ((way, shots + queries, h, w, c) float32 in [0, 255],), those to learn from first.

    Raises:
        BadInput: fewer than two classes have rows for both uses.
    """
    import tensorflow as tf

    usable = _with_rows(split, 2 if shape.queries else 1)
    if len(usable) < 2:
        raise BadInput(
            f"few-shot episodes want 2 classes of the source with {2 if shape.queries else 1} training pictures or "
            f"more; {len(usable)} {'has' if len(usable) == 1 else 'have'} them: more pictures or another objective "
            "would do"
        )

    def draw() -> Iterator[tuple[Pictures, NDArray[np.int32]]]:
        step = start
        while True:
            generator = np.random.default_rng((seed, step))
            rows = [_parted(split, one, shape, generator) for one in _classes(usable, shape, generator)]
            yield np.asarray(split.images[np.stack(rows)]), np.array([seed % 2**31, step], dtype=np.int32)
            step += 1

    def vary(pictures: Any, own: Any) -> tuple[Any]:
        flat = tf.reshape(tf.cast(pictures, tf.float32), (-1, *split.images.shape[1:]))
        return (tf.reshape(augment(flat, own), tf.shape(pictures)),)

    pictures = tf.TensorSpec((None, shape.shots + shape.queries, *split.images.shape[1:]), tf.uint8)
    return batches.piped(draw, (pictures, tf.TensorSpec((2,), tf.int32)), vary)


def judging(train: Split, validation: Split, shape: Shape, count: int) -> list[tuple[Pictures]]:
    """`count` episodes, the same at every call, that learn from training rows and ask about validation rows.

    Returns:
        Of each, (way, shots + queries, h, w, c) uint8, those to learn from first; not varied.

    Raises:
        BadInput: fewer than two classes have rows in both splits.
    """
    usable = np.intersect1d(_with_rows(train, 1), _with_rows(validation, 1))
    if len(usable) < 2:
        raise BadInput(
            f"few-shot episodes are judged by validation pictures of 2 classes or more; {len(usable)} of the source's "
            f"{'has' if len(usable) == 1 else 'have'} some: more pictures or a larger data.split.validation would do"
        )
    found = []
    for index in range(count):
        generator = np.random.default_rng((0, index))
        pictures = []
        for one in _classes(usable, shape, generator):
            known = train.images[_some(np.flatnonzero(train.labels == one), shape.shots, generator)]
            asked = validation.images[_some(np.flatnonzero(validation.labels == one), shape.queries, generator)]
            pictures.append(np.concatenate([known, asked]))
        found.append((np.stack(pictures),))
    return found


def _with_rows(split: Split, least: int) -> Rows:
    classes, counts = np.unique(split.labels, return_counts=True)
    return np.asarray(classes[counts >= least], dtype=np.int64)


def _classes(usable: Rows, shape: Shape, generator: np.random.Generator) -> Rows:
    return generator.choice(usable, min(shape.way, len(usable)), replace=False)


def _parted(split: Split, label: int, shape: Shape, generator: np.random.Generator) -> Rows:
    """Rows of a class to learn from, then others to ask about."""
    rows = generator.permutation(np.flatnonzero(split.labels == label))
    if not shape.queries:
        return np.resize(rows, shape.shots)
    share = round(len(rows) * shape.shots / (shape.shots + shape.queries))
    known = min(max(1, share), len(rows) - 1)
    return np.concatenate([np.resize(rows[:known], shape.shots), np.resize(rows[known:], shape.queries)])


def _some(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    return np.resize(generator.permutation(rows), count)
