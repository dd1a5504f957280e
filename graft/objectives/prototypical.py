"""Learn features in which a class is a place: few-shot episodes and their prototypes (Snell et al. 2017)."""

import functools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import episodes, layers, loop, pretext
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

JUDGING_EPISODES = 20


class Options(BaseModel):
    """What an episode is: fewer classes than `way` where the source has no more."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    learning_rate: float = Field(default=0.003, gt=0, le=1)
    way: int = Field(default=10, ge=2, le=1000, description="classes an episode")
    shots: int = Field(default=3, ge=1, le=1000, description="pictures of each that make its prototype")
    queries: int = Field(default=3, ge=1, le=1000, description="pictures of each that are asked about")


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train `backbone` in place: a picture is to lie near the mean of a few others of its class, and far from others'.

    An episode is a step; the budget's batch size does not count.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features).
        budget: its learning rate is replaced by the option's.

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, its head fitted at last (see
        `pretext.classifier`), and the history: val_loss and val_accuracy are those of `JUDGING_EPISODES` episodes,
        always the same, that ask about validation rows.

    Raises:
        BadInput: the source has too few pictures for episodes (see `episodes.endless` and `episodes.judging`).
    """
    shape = episodes.Shape(options.way, options.shots, options.queries)
    judging = episodes.judging(data.train, data.validation, shape, JUDGING_EPISODES)
    learner, validated = _learner(backbone, options.shots, budget.recipe, layers.flags(backbone))

    def evaluate() -> dict[str, float]:
        loss, accuracy = pretext.mean_of(validated, judging)
        return {"val_loss": float(loss), "val_accuracy": float(accuracy)}

    history = loop.run(
        learner,
        lambda start: episodes.endless(data.train, shape, data.augment, budget.seed, start),
        evaluate,
        budget.at(options.learning_rate),
        data.progress,
        data.phase("train"),
    )
    return pretext.classifier(backbone, data, budget.seed), history


@functools.lru_cache(maxsize=4)
def _learner(backbone: Any, shots: int, recipe: Recipe, flags: tuple[bool, ...]) -> tuple[loop.Learner, Any]:
    """Traced once: what learns, and its loss and accuracy outside training."""
    import keras
    import tensorflow as tf

    def told(pictures: Any, training: bool) -> tuple[Any, Any]:
        way, each = tf.unstack(tf.shape(pictures)[:2])
        flat = tf.reshape(tf.cast(pictures, tf.float32), (-1, *backbone.input_shape[1:]))
        features = tf.reshape(backbone(flat, training=training), (way, each, backbone.output_shape[-1]))
        prototypes, asked = tf.reduce_mean(features[:, :shots], axis=1), features[:, shots:]
        distances = tf.reduce_sum(tf.square(asked[:, :, None] - prototypes[None, None]), axis=-1)
        labels = tf.repeat(tf.range(way)[:, None], each - shots, axis=1)
        loss = keras.ops.sparse_categorical_crossentropy(labels, -distances, from_logits=True)
        right = tf.argmin(distances, axis=-1, output_type=tf.int32) == labels
        return tf.reduce_mean(loss), tf.reduce_mean(tf.cast(right, tf.float32))

    def loss(pictures: Any) -> tuple[Any, dict[str, Any]]:
        value, accuracy = told(pictures, training=True)
        return value, {"accuracy": accuracy}

    validated = tf.function(lambda pictures: told(pictures, training=False), reduce_retracing=True)
    return loop.Learner(backbone, loss, recipe), validated
