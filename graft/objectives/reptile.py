"""Learn weights from which a few gradient steps learn new classes: Reptile (Nichol et al. 2018)."""

import functools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import episodes, fit, layers, loop, pretext
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

JUDGING_EPISODES, JUDGING_QUERIES = 10, 5


class Options(BaseModel):
    """What an episode is, how it is learned, and how far the weights follow what it learned."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    learning_rate: float = Field(default=1.0, gt=0, le=1, description="share of an episode's way the weights follow")
    inner_rate: float = Field(default=0.3, gt=0, le=10, description="learning rate inside an episode")
    inner_steps: int = Field(default=5, ge=1, le=1000, description="gradient steps an episode")
    way: int = Field(default=5, ge=2, le=1000, description="classes an episode")
    shots: int = Field(default=5, ge=1, le=1000, description="pictures of each, every inner step")


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train `backbone` in place: each step learns an episode by plain SGD and goes part of the way there.

    The recipe's schedule takes that part to zero; its optimizer and its batch size do not count. Moving batch
    statistics are those of the weights that stay, not of the ones inside episodes.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features).
        budget: its learning rate is replaced by the option's; a step is `inner_steps` gradient steps.

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, its head fitted at last (see
        `pretext.classifier`), and the history: loss is the mean over the inner steps, val_loss and val_accuracy are
        those on validation rows after `JUDGING_EPISODES` episodes, always the same, were learned; batch norms take the
        statistics of the pictures asked about, as in the paper's transductive setting.

    Raises:
        BadInput: the source has too few pictures for episodes (see `episodes.endless` and `episodes.judging`).
        GateRefused: the loss became NaN or infinite.
    """
    judged = episodes.Shape(options.way, options.shots, JUDGING_QUERIES)
    judging = episodes.judging(data.train, data.validation, judged, JUDGING_EPISODES)
    drawn = episodes.Shape(options.way, options.shots * options.inner_steps, 0)
    learner, validated = _learner(backbone, options, budget.recipe, layers.flags(backbone))
    pretext.fresh(learner.model.get_layer("head"), budget.seed)

    def evaluate() -> dict[str, float]:
        loss, accuracy = pretext.mean_of(validated, judging)
        return {"val_loss": float(loss), "val_accuracy": float(accuracy)}

    history = loop.run(
        learner,
        lambda start: episodes.endless(data.train, drawn, data.augment, budget.seed, start),
        evaluate,
        budget.at(options.learning_rate),
        data.progress,
        data.phase("train"),
    )
    return pretext.classifier(backbone, data, budget.seed), history


@functools.lru_cache(maxsize=4)
def _learner(backbone: Any, options: Options, recipe: Recipe, flags: tuple[bool, ...]) -> tuple[loop.Learner, Any]:
    """Traced once: what learns, and loss and accuracy on what is asked once an episode was learned."""
    import keras
    import tensorflow as tf

    model = fit.classifier(backbone, options.way, 0)
    shots, shape = options.shots, backbone.input_shape[1:]

    def adapted(pictures: Any) -> tuple[list[Any], Any]:
        """The trainable weights after (way, inner_steps, shots, h, w, c), and the mean loss on the way there."""
        start = [tf.convert_to_tensor(one) for one in model.trainable_variables]

        def step(index: Any, total: Any, *weights: Any) -> tuple[Any, ...]:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                cost, _ = _told(answers(weights, pictures[:, index]))
            slopes = tape.gradient(cost, weights)
            return index + 1, total + cost, *(w - options.inner_rate * g for w, g in zip(weights, slopes, strict=True))

        steps = tf.shape(pictures)[1]
        _, total, *end = tf.while_loop(lambda index, *_: index < steps, step, (0, 0.0, *start))
        return end, total / tf.cast(steps, tf.float32)

    def answers(weights: Any, pictures: Any) -> Any:
        """(way, each, way) logits of (way, each, h, w, c) if the trainable weights were `weights`."""
        way, each = tf.unstack(tf.shape(pictures)[:2])
        with keras.StatelessScope(zip(model.trainable_variables, weights, strict=True)):
            logits = model(tf.reshape(pictures, (-1, *shape)), training=True)
        return tf.reshape(logits, (way, each, options.way))

    def loss(pictures: Any) -> tuple[Any, dict[str, Any]]:
        way = tf.shape(pictures)[0]
        inner = tf.reshape(pictures, (way, options.inner_steps, shots, *shape))
        end, value = adapted(inner)
        model(tf.reshape(inner[:, 0], (-1, *shape)), training=True)  # moves the batch statistics
        # descending it goes from the weights to where the episode ended
        pull = tf.add_n(
            [
                tf.reduce_sum(tf.stop_gradient(one - there) * one)
                for one, there in zip(map(tf.convert_to_tensor, model.trainable_variables), end, strict=True)
            ]
        )
        return tf.stop_gradient(value - pull) + pull, {}

    def validated(pictures: Any) -> tuple[Any, Any]:
        pictures = tf.cast(pictures, tf.float32)
        end, _ = adapted(tf.repeat(pictures[:, None, :shots], options.inner_steps, axis=1))
        return _told(answers(end, pictures[:, shots:]))

    outer = recipe.model_copy(update={"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip_norm": 0.0})
    return loop.Learner(model, loss, outer), tf.function(validated, reduce_retracing=True)


def _told(logits: Any) -> tuple[Any, Any]:
    """Cross-entropy and accuracy of (way, each, ...) logits whose first axis is the class."""
    import keras
    import tensorflow as tf

    labels = tf.repeat(tf.range(tf.shape(logits)[0])[:, None], tf.shape(logits)[1], axis=1)
    right = tf.argmax(logits, axis=-1, output_type=tf.int32) == labels
    cost = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return tf.reduce_mean(cost), tf.reduce_mean(tf.cast(right, tf.float32))
