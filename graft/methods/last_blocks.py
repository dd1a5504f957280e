"""Fine-tune the last blocks and the head, keep the rest (Yosinski et al. 2014; chosen by shift, Lee et al. 2023).

What is kept need not be run again for each step: with `cached_views`, so many variations of each training picture
are taken through the kept part once, and the blocks learn from those.
"""

import functools
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import batches, fit, layers, loop, probe, vary
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False
MAX_BYTES = 1_000_000_000
AT_ONCE = 250


class Options(BaseModel):
    """How much of the net learns."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    blocks: int = Field(default=2, ge=1, le=1000, description="that learn; the whole net if it has no more")
    cached_views: int = Field(default=0, ge=0, le=10_000, description="of each training picture; 0 draws a new one")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move, batch statistics included."""
    return [variable for layer in _kept(options, backbone) for variable in layer.weights]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune the last blocks of `backbone` in place with the head, which starts as a linear probe.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
        BadInput: the cached views would take too much memory.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    kept = _kept(options, backbone)
    if kept and options.cached_views:
        return model, _train_cached(options, model, data, budget)
    with layers.frozen(kept):
        return model, fit.train(model, data, budget)


def _kept(options: Options, backbone: Any) -> list[Any]:
    """Layers with weights before the last blocks."""
    return list(chain(*layers.blocks(backbone)[: -options.blocks]))


def _train_cached(options: Options, model: Any, data: TrainData, budget: Budget) -> loop.History:
    """Train what learns on maps that the kept part made of varied pictures; both are parts of `model`."""
    early, _ = layers.parted(model.get_layer("backbone"), options.blocks)
    maps, validation = _views(options, early, data, budget.seed), fit.predict(early, data.validation.images)
    train, chosen_by = (
        Split(held, labels)  # type: ignore[arg-type]  # maps in place of pictures
        for held, labels in (
            (maps, np.tile(data.train.labels, options.cached_views)),
            (validation, data.validation.labels),
        )
    )
    late, learner = _late(model, options, budget.recipe, fit.weights_of(data, budget.recipe))
    return loop.run(
        learner,
        lambda start: batches.labelled(train, vary.none, budget.batch_size, budget.seed, start),
        lambda: fit.evaluate(late, chosen_by),
        budget,
        data.progress,
        data.phase("train"),
    )


def _views(options: Options, early: Any, data: TrainData, seed: int) -> NDArray[np.float32]:
    """Maps of `cached_views` variations of all training pictures, one variation after the other."""
    import tensorflow as tf

    images, views = data.train.images, options.cached_views
    size = 4 * len(images) * views * int(np.prod(early.output_shape[1:]))
    if size > MAX_BYTES:
        raise BadInput(
            f"finetune.method.cached_views is {views}: {len(images)} pictures would take {size / 1e6:.0f} MB; "
            f"{MAX_BYTES * views // size} views or 0 would do"
        )
    maps = np.empty((views * len(images), *early.output_shape[1:]), np.float32)
    for view in range(views):
        for start in range(0, len(images), AT_ONCE):
            some = tf.cast(images[start : start + AT_ONCE], tf.float32)
            varied = data.augment(some, tf.constant([seed % 2**31, view * len(images) + start]))
            maps[view * len(images) + start :][: len(some)] = fit.predict(early, varied)
    return maps


@functools.lru_cache(maxsize=2)
def _late(model: Any, options: Options, recipe: Recipe, weights: tuple[float, ...] | None) -> tuple[Any, loop.Learner]:
    """From maps to logits: the blocks that learn, with the head; and what trains them."""
    import keras

    _, rest = layers.parted(model.get_layer("backbone"), options.blocks)
    late = keras.Model(rest.inputs[0], model.get_layer("head")(rest.outputs[0]), name="late")
    return late, loop.Learner(late, fit.cross_entropy(late, recipe, weights), recipe)
