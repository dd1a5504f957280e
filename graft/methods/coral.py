"""Deep CORAL (Sun & Saenko 2016): features of both domains get the same covariances."""

import functools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import domains
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.loop import Learner
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False
USES_UNLABELLED = True


class Options(BaseModel):
    """What likeness of the domains counts, and what the source's own classes count."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probes at the start")
    weight: float = Field(default=1.0, gt=0, le=1e6, description="of the distance between the domains in the loss")
    source_weight: float = Field(default=0.3, ge=0, le=100, description="of the source's own classes in the loss")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place on target labels while its features of both domains are drawn together.

    The heads start from linear probes. Target and source need not have the same classes: each has a head of its own.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier around `backbone`, and its history (see `fit.train`; also source_loss and distance).

    Raises:
        BadInput: there are no source pictures.
        GateRefused: the loss became NaN or infinite.
    """
    learner = functools.partial(_learner, options, budget.recipe, budget.steps)
    return domains.adapt("coral", backbone, data, budget, options.l2, learner)


@functools.lru_cache(maxsize=2)
def _learner(
    options: Options, recipe: Recipe, steps: int, model: Any, second: Any, weights: tuple[float, ...] | None
) -> Learner:
    shares = options.weight, options.source_weight
    return domains.learner(model, second, apart, recipe, weights, steps, shares)


def apart(source: Any, target: Any, done: Any) -> tuple[Any, dict[str, Any]]:
    """The squared Frobenius distance of the covariances over 4 d^2, for d features."""
    import tensorflow as tf

    gap = _covariance(source) - _covariance(target)
    return tf.reduce_sum(gap**2) / (4.0 * tf.cast(tf.shape(source)[1], tf.float32) ** 2), {}


def _covariance(features: Any) -> Any:
    import tensorflow as tf

    centred = features - tf.reduce_mean(features, axis=0)
    return tf.matmul(centred, centred, transpose_a=True) / tf.cast(tf.shape(features)[0] - 1, tf.float32)
