"""Adapt batch normalisation alone: statistics of the target (AdaBN, Li et al. 2018), then a linear probe.

The scales and shifts may learn too; they alone carry a surprising part of what a net knows (Frankle et al. 2021).
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False
USES_UNLABELLED = True
BATCH = 256


class Options(BaseModel):
    """Which pictures are measured, and whether scales and shifts learn."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    affine: bool = Field(default=False, description="train scales and shifts with the head, after the probe")
    unlabelled: bool = Field(default=True, description="measure pictures without labels too")
    max_pictures: int = Field(default=4096, ge=1, le=1_000_000, description="that are measured")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move: all that are no batch norm's."""
    norms = layers.batch_norms(backbone)
    moves = {id(one) for norm in norms for one in (norm.weights if options.affine else norm.non_trainable_weights)}
    return [one for one in backbone.weights if id(one) not in moves]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Give the batch norms of `backbone` the target's statistics in place, and a head by logistic regression.

    A backbone without batch norms stays as it is.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history: one row of step 0
        (step, val_accuracy, val_loss), or with `affine` those of `fit.train`.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    norms = layers.batch_norms(backbone)
    if norms:
        _measure(backbone, _pictures(options, data, budget.seed))
    probe.fit_head(model, data, options.l2)
    if not options.affine:
        return model, [{"step": 0.0, **fit.evaluate(model, data.validation)}]
    return model, fit.train(model, data, budget, rates=[(one, 1.0) for one in (*norms, model.get_layer("head"))])


def _pictures(options: Options, data: TrainData, seed: int) -> NDArray[np.uint8]:
    """Pictures of the target in an order drawn from `seed`, so that no batch is of one class."""
    held = [np.asarray(data.train.images)]
    if options.unlabelled and data.unlabelled is not None:
        held.append(data.unlabelled)
    rows = np.random.default_rng(seed).permutation(sum(map(len, held)))[: options.max_pictures]
    n, more = len(held[0]), rows[rows >= len(held[0])] - len(held[0])
    return np.concatenate([held[0][rows[rows < n]], *(one[np.sort(more)] for one in held[1:])])


def _measure(backbone: Any, images: NDArray[np.uint8]) -> None:
    """Set the moving statistics of `backbone` to the mean and variance over all of `images`.

    Each batch is normalised by its own statistics on its way; their means and variances are pooled.
    """
    import tensorflow as tf

    norms, step = layers.batch_norms(backbone), _step(backbone)
    sums = [(np.zeros(one.moving_mean.shape), np.zeros(one.moving_mean.shape)) for one in norms]
    for rows in np.array_split(np.arange(len(images)), -(-len(images) // BATCH)):
        step(tf.convert_to_tensor(images[rows]))
        for norm, (mean, square) in zip(norms, sums, strict=True):
            own, share = norm.moving_mean.numpy().astype(np.float64), len(rows) / len(images)
            mean += share * own
            square += share * (norm.moving_variance.numpy() + own**2)
    for norm, (mean, square) in zip(norms, sums, strict=True):
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(np.maximum(square - mean**2, 0.0))


@functools.lru_cache(maxsize=2)
def _step(backbone: Any) -> Any:
    """A pass after which the moving statistics are those of its batch alone."""
    import tensorflow as tf

    def step(images: Any) -> None:
        norms = layers.batch_norms(backbone)
        momenta = [one.momentum for one in norms]
        for norm in norms:
            norm.momentum = 0.0
        backbone(tf.cast(images, tf.float32), training=True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    return tf.function(step, reduce_retracing=True)
