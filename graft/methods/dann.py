"""Domain-adversarial training (DANN, Ganin et al. 2016): features from which no one can tell the domain."""

import functools
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from graft.core import domains, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.loop import Learner
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False
USES_UNLABELLED = True


class Options(BaseModel):
    """How hard the domain classifier is fooled, and what the source's own classes count."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probes at the start")
    weight: float = Field(default=0.1, gt=0, le=100, description="of the reversed gradient, once it is up")
    source_weight: float = Field(default=0.3, ge=0, le=100, description="of the source's own classes in the loss")
    hidden: int = Field(default=100, ge=1, le=4096, description="units of the domain classifier")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place on target labels and against a classifier of domains, from a linear probe.

    The gradient of the domain classifier is reversed where it reaches the features, and its weight rises with the share
    p of the steps that is done as 2 / (1 + exp(-10 p)) - 1. Target and source need not have the same classes: each has
    a head of its own.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier around `backbone`, and its history (see `fit.train`; also source_loss, distance: the
        domain classifier's loss, and domain_accuracy).

    Raises:
        BadInput: there are no source pictures.
        GateRefused: the loss became NaN or infinite.
    """

    def learner(model: Any, second: Any, weights: tuple[float, ...] | None) -> Learner:
        contest = _contest(model, second, options, budget.recipe, weights, budget.steps)
        _draw(contest.judge, budget.seed)
        return contest.learner

    return domains.adapt("dann", backbone, data, budget, options.l2, learner)


class _Contest(NamedTuple):
    """The learner, and the classifier of domains that it learns to fool."""

    learner: Learner
    judge: Any


@functools.lru_cache(maxsize=2)
def _contest(
    model: Any, second: Any, options: Options, recipe: Recipe, weights: tuple[float, ...] | None, steps: int
) -> _Contest:
    import keras
    import tensorflow as tf

    judge = keras.Sequential([keras.layers.Dense(options.hidden, "relu"), keras.layers.Dense(1)])
    judge.build((None, probe.backbone_of(model).output_shape[-1]))

    def apart(source: Any, target: Any, done: Any) -> tuple[Any, dict[str, Any]]:
        factor = options.weight * (2.0 / (1.0 + tf.exp(-10.0 * done)) - 1.0)
        said = judge(reverse(tf.concat([source, target], axis=0), factor), training=True)[:, 0]
        is_target = tf.concat([tf.zeros(tf.shape(source)[0]), tf.ones(tf.shape(target)[0])], axis=0)
        right = tf.reduce_mean(tf.cast((said > 0.0) == (is_target > 0.0), tf.float32))
        told = tf.nn.sigmoid_cross_entropy_with_logits(labels=is_target, logits=said)
        return tf.reduce_mean(told), {"domain_accuracy": right}

    shares = 1.0, options.source_weight
    more = judge.trainable_variables
    return _Contest(domains.learner(model, second, apart, recipe, weights, steps, shares, more), judge)


def reverse(features: Any, factor: Any) -> Any:
    """`features` as they are; the gradient that comes back is turned round, and multiplied by `factor`."""
    import tensorflow as tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def identity(same: Any) -> Any:
        return tf.identity(same), lambda upstream: -factor * upstream

    return identity(features)


def _draw(judge: Any, seed: int) -> None:
    """Fresh weights."""
    import keras

    for number, layer in enumerate(judge.layers):
        kernel, bias = layer.get_weights()
        drawn = keras.initializers.GlorotUniform(seed=seed * 1000 + number)(kernel.shape)
        layer.set_weights([np.asarray(drawn), np.zeros_like(bias)])
