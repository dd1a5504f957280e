"""What objectives share that train no source classifier: fresh heads, a watch on features, a classifier at last."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graft.core import fit, probe
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.fit import TrainData

WATCHED_ROWS = 1000
HEAD_ROWS, HEAD_L2 = 5000, 1.0


def fresh(part: Any, seed: int) -> None:
    """Draw the kernels of `part` (a keras.Model) anew from `seed` (Glorot uniform) and set its biases to zero.

    What was traced once is trained again that way.
    """
    import keras

    for index, weight in enumerate(part.weights):
        flat = len(weight.shape) < 2
        drawn = keras.initializers.Zeros() if flat else keras.initializers.GlorotUniform(seed=seed * 1000 + index)
        weight.assign(drawn(weight.shape))


def nearest_mean(backbone: Any, data: TrainData) -> float:
    """Share in [0, 1] of validation rows whose features lie nearest the mean of their own class's training rows.

    A classifier that needs no training (Mensink et al. 2013), by cosine on at most `WATCHED_ROWS` rows of each split:
    it tells how features come on while a loss is learned that does not say it.
    """
    known, asked = (probe.sample(split, WATCHED_ROWS) for split in (data.train, data.validation))
    features = _unit(fit.predict(backbone, known.images))
    classes = np.unique(known.labels)
    means = _unit(np.stack([features[known.labels == label].mean(axis=0) for label in classes]))
    answers = classes[(_unit(fit.predict(backbone, asked.images)) @ means.T).argmax(axis=1)]
    return float(np.mean(answers == asked.labels))


def classifier(backbone: Any, data: TrainData, seed: int) -> Any:
    """The source classifier around a `backbone` that is only read: logistic regression on its features.

    Returns:
        keras.Model, pictures to logits; its head is fitted to at most `HEAD_ROWS` rows.
    """
    model = fit.classifier(backbone, data.n_classes, seed)
    probe.fit_head(model, data, HEAD_L2, HEAD_ROWS)
    return model


def drawn(make: Callable[[Any, int, int], Any], data: TrainData, budget: Budget) -> Any:
    """Batches of pictures whose labels do not count; half of each are the target's if `data.unlabelled` has any.

    Args:
        make: (pictures, how many a batch, seed) to a tf.data.Dataset of tuples of tensors, a row a picture.
    """
    import tensorflow as tf

    source, target = data.train.images, data.unlabelled
    if target is None or not len(target):
        return make(source, budget.batch_size, budget.seed)
    half = max(1, budget.batch_size // 2)
    pairs = make(source, max(1, budget.batch_size - half), budget.seed), make(target, half, budget.seed + 1)
    return tf.data.Dataset.zip(*pairs).map(
        lambda ours, theirs: tuple(tf.concat(pair, axis=0) for pair in zip(ours, theirs, strict=True))
    )


def mean_of(told: Callable[..., Any], batches: Iterable[tuple[Any, ...]]) -> Any:
    """`told` of each batch, on average over them."""
    return np.mean([np.asarray(told(*batch)) for batch in batches], axis=0)


def by_loss(row: dict[str, float]) -> tuple[float, ...]:
    """The better the higher: for `loop.run` where labels must not decide."""
    return (-row["val_loss"],)


def n_batches(split: Split, batch_size: int, most: int = 8) -> int:
    """How many batches look at `split` once, but no more than `most`."""
    return min(most, -(-len(split) // batch_size))


def _unit(rows: Any) -> Any:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
