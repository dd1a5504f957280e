"""Deep adaptation (DAN, Long et al. 2015): the features of both domains become one sample to several kernels."""

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
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


class Options(BaseModel):
    """What likeness of the domains counts, and what the source's own classes count."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probes at the start")
    weight: float = Field(default=0.3, gt=0, le=1e6, description="of the distance between the domains in the loss")
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
    return domains.adapt("mmd", backbone, data, budget, options.l2, learner)


@functools.lru_cache(maxsize=2)
def _learner(
    options: Options, recipe: Recipe, steps: int, model: Any, second: Any, weights: tuple[float, ...] | None
) -> Learner:
    shares = options.weight, options.source_weight
    return domains.learner(model, second, apart, recipe, weights, steps, shares)


def apart(source: Any, target: Any, done: Any) -> tuple[Any, dict[str, Any]]:
    """Unbiased estimate of the squared discrepancy, summed over Gaussian kernels of several widths.

    The widths are the mean squared distance in the batch times `WIDTHS`, so that the scale of the features is no
    matter; no gradient flows through them.
    """
    import tensorflow as tf

    both = tf.concat([source, target], axis=0)
    lengths = tf.reduce_sum(both**2, axis=1)
    squares = tf.maximum(lengths[:, None] + lengths[None, :] - 2.0 * tf.matmul(both, both, transpose_b=True), 0.0)
    n, m = (tf.cast(tf.shape(one)[0], tf.float32) for one in (source, target))
    width = tf.stop_gradient(tf.reduce_sum(squares) / ((n + m) * (n + m - 1.0)) + 1e-12)
    kernel = tf.add_n([tf.exp(-squares / (width * factor)) for factor in WIDTHS])
    likeness = tf.linalg.set_diag(kernel, tf.zeros_like(lengths))  # a row's likeness to itself is left out
    split = tf.shape(source)[0]
    within = tf.reduce_sum(likeness[:split, :split]) / (n * (n - 1.0))
    within += tf.reduce_sum(likeness[split:, split:]) / (m * (m - 1.0))
    return within - 2.0 * tf.reduce_mean(likeness[:split, split:]), {}
