"""L2-SP (Li, Grandvalet & Davoine 2018): the penalty pulls towards the pretrained weights instead of towards zero.

The pull is applied beside the gradient, as AdamW's decay is (Loshchilov & Hutter 2019) and for this penalty Chen et al.
(2020) do it: an adaptive optimizer would divide it away. With plain SGD that is the paper's penalty.
"""

import functools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import batches, fit, layers, loop, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False


class Options(BaseModel):
    """How strong the two pulls are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    alpha: float = Field(default=1.0, ge=0, le=100, description="pull of the backbone towards where it started")
    beta: float = Field(default=0.01, ge=0, le=100, description="pull of the head's kernel towards zero")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place with its head, which starts as a linear probe.

    Each step takes alpha times the learning rate of the way back to where the backbone's weights started, and beta
    times the rate of the head's kernel towards zero; this takes the place of the recipe's weight decay.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`),
        `drift` among it: the squared distance.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    recipe = budget.recipe.model_copy(update={"weight_decay": 0.0})
    learner, start = _learner(model, options, recipe, fit.weights_of(data, recipe), layers.flags(model))
    for held, weight in zip(start, backbone.trainable_weights, strict=True):
        held.assign(weight)
    history = loop.run(
        learner,
        lambda step: batches.labelled(data.train, data.augment, budget.batch_size, budget.seed, step),
        lambda: fit.evaluate(model, data.validation),
        budget,
        data.progress,
        data.phase("train"),
    )
    return model, history


@functools.lru_cache(maxsize=2)
def _learner(
    model: Any, options: Options, recipe: Recipe, weights: tuple[float, ...] | None, flags: tuple[bool, ...]
) -> tuple[loop.Learner, list[Any]]:
    """What learns, and the variables that hold where the backbone started."""
    import tensorflow as tf

    moving, kernel = model.get_layer("backbone").trainable_weights, model.get_layer("head").kernel
    start = [tf.Variable(tf.convert_to_tensor(one)) for one in moving]
    cross_entropy = fit.cross_entropy(model, recipe, weights)

    def loss(*batch: Any) -> tuple[Any, dict[str, Any]]:
        cost, told = cross_entropy(*batch)
        drift = tf.add_n([tf.reduce_sum((now - then) ** 2) for now, then in zip(moving, start, strict=True)])
        return cost, {**told, "drift": drift}

    def pull() -> None:
        back, down = (tf.minimum(learner.learning_rate * strength, 1.0) for strength in (options.alpha, options.beta))
        for now, then in zip(moving, start, strict=True):
            now.assign_sub(back * (now - then))
        kernel.assign_sub(down * kernel)

    learner = loop.Learner(model, loss, recipe, after=pull)
    return learner, start
