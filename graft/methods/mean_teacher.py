"""Mean teacher (Tarvainen & Valpola 2017): a net agrees with the average of its own past about varied pictures."""

import functools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, loop, unlabelled
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False
USES_UNLABELLED = True


class Options(BaseModel):
    """How slowly the teacher follows, and how much agreeing with it counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probe at the start")
    last_blocks: int = Field(default=0, ge=0, description="only so many blocks next to the head learn; 0 is all")
    supervised: float = Field(default=0.35, ge=0, le=0.9, description="share of the steps on labels alone, at first")
    unlabelled_ratio: int = Field(default=3, ge=1, le=7, description="pictures without labels for each labelled one")
    ema: float = Field(default=0.99, ge=0.5, lt=1, description="decay of the average, the teacher, which is kept")
    weight: float = Field(default=100.0, gt=0, le=10_000, description="of the agreement in the loss, once it is up")
    ramp_up: float = Field(default=0.3, ge=0, le=1, description="share of the later steps in which the weight rises")
    strong: bool = Field(default=True, description="the pupil sees strongly varied copies, the teacher ordinary ones")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move, batch statistics included."""
    return [variable for layer in unlabelled.kept(backbone, options.last_blocks) for variable in layer.weights]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place on the labels, then on them and on agreement with the teacher.

    The first part is `full`'s. Then half a batch is labelled, and `unlabelled_ratio` times as many pictures come in
    two views, one for each; the squared difference of the probabilities is what their disagreement costs. Labelled
    and unlabelled pictures go through the net at once, so that batch normalisation sees both.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier around `backbone`, and its history (see `fit.train`; of the second part also
        disagreement).

    Raises:
        BadInput: there are no pictures without labels.
        GateRefused: the loss became NaN or infinite.
    """
    images = unlabelled.pictures(data, "mean_teacher")
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    with layers.frozen(unlabelled.kept(backbone, options.last_blocks)):
        begun = unlabelled.start(model, data, budget, options.supervised, options.l2)
        weights = fit.weights_of(data, budget.recipe)
        labelled = max(1, budget.batch_size // 2)
        views = (data.augment, data.strong if options.strong else data.augment)
        sizes = (labelled, labelled * options.unlabelled_ratio)
        ramp = max(1.0, options.ramp_up * begun.budget.steps)
        history = loop.run(
            _learner(model, options, budget.recipe, weights, ramp, layers.flags(model)),
            unlabelled.both(data, images, views, sizes, budget.seed),
            lambda: fit.evaluate(model, data.validation),
            begun.budget,
            begun.data.progress,
            data.phase("train"),
        )
    return model, begun.followed_by(history)


@functools.lru_cache(maxsize=2)
def _learner(
    model: Any,
    options: Options,
    recipe: Recipe,
    weights: tuple[float, ...] | None,
    ramp_steps: float,
    flags: tuple[bool, ...],
) -> loop.Learner:
    import tensorflow as tf

    n_classes = model.output_shape[-1]

    def loss(images: Any, labels: Any, seed: Any, theirs: Any, ours: Any) -> tuple[Any, dict[str, Any]]:
        taught = tf.nn.softmax(unlabelled.answers(model, learner.average, theirs))
        images, targets = fit.targets_of(images, labels, seed, n_classes, recipe)
        logits = model(tf.concat([images, ours], axis=0), training=True)
        known, told = fit.cost(logits[: tf.shape(images)[0]], targets, weights)
        apart = tf.reduce_mean((tf.nn.softmax(logits[tf.shape(images)[0] :]) - taught) ** 2)
        risen = tf.minimum((tf.cast(seed[1], tf.float32) + 1.0) / ramp_steps, 1.0)
        weight = options.weight * tf.exp(-5.0 * (1.0 - risen) ** 2)
        return known + weight * apart, told | {"disagreement": apart}

    learner = loop.Learner(model, loss, recipe.model_copy(update={"ema": options.ema}))
    return learner
