"""FixMatch (Sohn et al. 2020): a sure answer on a picture is the label of a strongly varied copy of it."""

import functools
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, loop, unlabelled, vary
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False
USES_UNLABELLED = True


class Options(BaseModel):
    """Who labels, from which certainty on, and how much that counts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probe at the start")
    last_blocks: int = Field(default=0, ge=0, description="only so many blocks next to the head learn; 0 is all")
    supervised: float = Field(default=0.35, ge=0, le=0.9, description="share of the steps on labels alone, at first")
    unlabelled_ratio: int = Field(default=3, ge=1, le=7, description="pictures without labels for each labelled one")
    threshold: float = Field(default=0.8, gt=0, le=1, description="certainty from which an answer is a label")
    adaptive: bool = Field(default=False, description="thresholds follow the certainty of each class (FreeMatch)")
    teacher: Literal["average", "self"] = Field(default="average", description="who answers: the averaged net, or it")
    ema: float = Field(default=0.99, ge=0.5, lt=1, description="decay of the average, which is also what is kept")
    align: bool = Field(default=False, description="answers are drawn to the classes' shares among the labels")
    weight: float = Field(default=1.0, gt=0, le=100, description="of the pictures without labels in the loss")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move, batch statistics included."""
    return [variable for layer in unlabelled.kept(backbone, options.last_blocks) for variable in layer.weights]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place on the labels, then on them and on pictures without any.

    The first part is `full`'s. Then half a batch is labelled, and `unlabelled_ratio` times as many pictures come in
    two views: the weak one is answered by the averaged net (an EMA teacher, Tarvainen & Valpola 2017) outside
    training; labelled and strong ones go through the net at once, so that batch normalisation sees both. Adaptive
    thresholds are FreeMatch's (Wang et al. 2023), begun at `threshold`; `align` is distribution alignment
    (Berthelot et al. 2020), and assumes that labelled pictures have the classes' true shares.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier around `backbone`, and its history (see `fit.train`; of the second part also
        unlabelled_loss and kept, the share of pictures without labels that got one).

    Raises:
        BadInput: there are no pictures without labels.
        GateRefused: the loss became NaN or infinite.
    """
    images = unlabelled.pictures(data, "fixmatch")
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    with layers.frozen(unlabelled.kept(backbone, options.last_blocks)):
        begun = unlabelled.start(model, data, budget, options.supervised, options.l2)
        weights = fit.weights_of(data, budget.recipe)
        shares = np.bincount(data.train.labels, minlength=data.n_classes) / len(data.train)
        pupil = _pupil(model, options, budget.recipe, weights, tuple(map(float, shares)), layers.flags(model))
        pupil.certainty.assign(options.threshold)
        pupil.answered.assign(shares)
        labelled = max(1, budget.batch_size // 2)
        sizes = (labelled, labelled * options.unlabelled_ratio)
        drawn = unlabelled.both(begun.data, images, (vary.weak, data.strong), sizes, budget.seed)
        history = loop.run(
            pupil.learner,
            drawn,
            lambda: fit.evaluate(model, data.validation),
            begun.budget,
            begun.data.progress,
            data.phase("train"),
        )
    return model, begun.followed_by(history)


class _Pupil(NamedTuple):
    """The learner, how sure the answers are on average, and how often each class is answered."""

    learner: loop.Learner
    certainty: Any
    answered: Any


@functools.lru_cache(maxsize=2)
def _pupil(
    model: Any,
    options: Options,
    recipe: Recipe,
    weights: tuple[float, ...] | None,
    shares: tuple[float, ...],
    flags: tuple[bool, ...],
) -> _Pupil:
    import keras
    import tensorflow as tf

    certainty, answered = tf.Variable(options.threshold, dtype=tf.float32), tf.Variable(shares, dtype=tf.float32)

    def loss(images: Any, labels: Any, seed: Any, weak: Any, strong: Any) -> tuple[Any, dict[str, Any]]:
        holder = learner.average if options.teacher == "average" else model.variables
        answer = tf.nn.softmax(unlabelled.answers(model, holder, weak))
        _follow(answered, tf.reduce_mean(answer, axis=0), options.ema)
        if options.align:
            answer = answer * tf.constant(shares) / tf.maximum(answered, 1e-6)
            answer = answer / tf.maximum(tf.reduce_sum(answer, axis=1, keepdims=True), 1e-12)
        sure, label = tf.reduce_max(answer, axis=1), tf.argmax(answer, axis=1)
        _follow(certainty, tf.reduce_mean(sure), options.ema)
        limits = certainty * answered / tf.reduce_max(answered)
        limit = tf.gather(limits, label) if options.adaptive else options.threshold
        kept = tf.cast(sure >= limit, tf.float32)
        images, targets = fit.targets_of(images, labels, seed, len(shares), recipe)
        logits = model(tf.concat([images, strong], axis=0), training=True)
        known, told = fit.cost(logits[: tf.shape(images)[0]], targets, weights)
        each = keras.ops.sparse_categorical_crossentropy(label, logits[tf.shape(images)[0] :], from_logits=True)
        guessed = tf.reduce_mean(kept * each)
        told |= {"unlabelled_loss": guessed, "kept": tf.reduce_mean(kept)}
        return known + options.weight * guessed, told

    averaged = recipe.model_copy(update={"ema": options.ema})
    learner = loop.Learner(model, loss, averaged, more=(certainty, answered))
    return _Pupil(learner, certainty, answered)


def _follow(variable: Any, value: Any, decay: float) -> None:
    variable.assign(decay * variable + (1.0 - decay) * value)
