"""Distillation (Hinton et al. 2015): a net learns what a teacher answers, on labelled pictures and on others.

With `share` the pupil is smaller than its teacher: the net itself without its least channels.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from graft.core import fit, layers, loop, probe, prune, saved, unlabelled
from graft.core.budget import Budget
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False
USES_UNLABELLED = True
SMALLER = True

Teacher = Callable[[Any], Any]
"""Pictures (batch, size, size, channels) in [0, 255] to (batch, classes) logits, inside a graph."""


class Options(BaseModel):
    """Who teaches, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    teacher: str = Field(default="", max_length=4096, description="a .keras classifier in the workspace; or the net")
    teacher_sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$", description="of the teacher's file")
    temperature: float = Field(default=2.0, ge=1, le=100, description="by which both sides' logits are divided")
    labels_weight: float = Field(default=0.1, ge=0, le=100, description="of the labels in the loss")
    start: Literal["probe", "random"] = Field(default="probe", description="of the head")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probe at the start")
    last_blocks: int = Field(default=0, ge=0, description="only so many blocks next to the head learn; 0 is all")
    own_share: float = Field(default=0.5, gt=0, lt=1, description="of the steps, for the net to become the teacher")
    share: float = Field(default=0.0, ge=0, le=0.95, description="of the inner channels that the pupil does without")

    @model_validator(mode="after")
    def _file_has_hash(self) -> Self:
        if bool(self.teacher) != bool(self.teacher_sha256):
            raise ValueError("should have teacher and teacher_sha256, or neither")
        if self.teacher and self.share:
            raise ValueError(
                "should have a teacher of its own or a share, which leaves the whole net to be the teacher"
            )
        return self


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move, batch statistics included."""
    return [variable for layer in unlabelled.kept(backbone, options.last_blocks) for variable in layer.weights]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Teach `backbone` in place what the classifier in the teacher's file answers.

    Without a file the net teaches itself (born-again, Furlanello et al. 2018): it is fine-tuned as by `full` for
    `own_share` of the steps, and what came of that teaches it anew from its pretrained weights. Or it teaches what
    `prune.pruned` leaves of it, which begins where the whole net ended and needs no head from a probe.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier around `backbone`, or around a smaller one, and its history (see `fit.train`).

    Raises:
        BadInput: the teacher's file is none, another one, or of other classes.
        GateRefused: the loss became NaN or infinite.
    """
    if options.teacher:
        teacher = saved.classifier(options.teacher, options.teacher_sha256, data.n_classes, "finetune.method.teacher")
        return distil(backbone, teacher, data, budget, options)
    pretrained = backbone.get_weights()
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    with layers.frozen(unlabelled.kept(backbone, options.last_blocks)):
        begun = unlabelled.start(model, data, budget, options.own_share, options.l2)
    if options.share and (pupil := prune.pruned(model, options.share)) is not model:
        follows = options.model_copy(update={"start": "random"})
        return pupil, begun.followed_by(_taught(pupil, _resized(model), begun.data, begun.budget, follows))
    past = _past(model)
    for variable, now in zip(past.weights, model.variables, strict=True):
        variable.assign(now)
    backbone.set_weights(pretrained)
    return model, begun.followed_by(_taught(model, past.answer, begun.data, begun.budget, options))


def distil(
    student: Any, teacher: Any, data: TrainData, budget: Budget, options: Options
) -> tuple[Any, list[dict[str, float]]]:
    """Teach the backbone `student` in place what `teacher` answers; see `adapt`.

    Args:
        teacher: keras.Model, float32 pictures in [0, 255] to (batch, data.n_classes) logits; where it takes another
            size than the pictures', they are resized for it. It does not move.

    Raises:
        BadInput: teacher and data have another number of classes or channels.
    """
    shape = teacher.input_shape
    if teacher.output_shape[-1] != data.n_classes or shape[-1] != data.train.images.shape[-1]:
        raise BadInput(
            f"the teacher takes {shape[-1]} channels and tells {teacher.output_shape[-1]} classes; the pictures have "
            f"{data.train.images.shape[-1]} and {data.n_classes}"
        )
    model = fit.classifier(student, data.n_classes, budget.seed)
    return model, _taught(model, _resized(teacher), data, budget, options)


def _taught(model: Any, teacher: Teacher, data: TrainData, budget: Budget, options: Options) -> loop.History:
    if options.start == "probe":
        probe.fit_head(model, data, options.l2)
    weights = fit.weights_of(data, budget.recipe)
    images = data.train.images if data.unlabelled is None or not len(data.unlabelled) else data.unlabelled
    labelled = max(1, budget.batch_size // 4)
    sizes = (labelled, max(1, budget.batch_size - labelled))
    with layers.frozen(unlabelled.kept(probe.backbone_of(model), options.last_blocks)):
        return loop.run(
            _learner(model, teacher, options, budget.recipe, weights, layers.flags(model)),
            unlabelled.both(data, images, (data.strong,), sizes, budget.seed),
            lambda: fit.evaluate(model, data.validation),
            budget,
            data.progress,
            data.phase("train"),
        )


@functools.lru_cache(maxsize=2)
def _learner(
    model: Any,
    teacher: Teacher,
    options: Options,
    recipe: Recipe,
    weights: tuple[float, ...] | None,
    flags: tuple[bool, ...],
) -> loop.Learner:
    import tensorflow as tf

    n_classes, temperature = model.output_shape[-1], options.temperature

    def loss(images: Any, labels: Any, seed: Any, others: Any) -> tuple[Any, dict[str, Any]]:
        images, targets = fit.targets_of(images, labels, seed, n_classes, recipe)
        seen = tf.concat([images, others], axis=0)
        taught = tf.stop_gradient(teacher(seen)) / temperature
        logits = model(seen, training=True)
        known, told = fit.cost(logits[: tf.shape(images)[0]], targets, weights)
        apart = tf.nn.log_softmax(taught) - tf.nn.log_softmax(logits / temperature)
        divergence = temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.nn.softmax(taught) * apart, axis=1))
        return divergence + options.labels_weight * known, told | {"divergence": divergence}

    return loop.Learner(model, loss, recipe)


@functools.lru_cache(maxsize=2)
def _resized(teacher: Any) -> Teacher:
    """`teacher` outside training, for pictures of any size."""
    import tensorflow as tf

    size = teacher.input_shape[1:3]

    def answer(images: Any) -> Any:
        fits = None in size or tuple(images.shape[1:3]) == tuple(size)
        return teacher(images if fits else tf.image.resize(images, size), training=False)

    return answer


class _Past(NamedTuple):
    """Weights that are held, and what the net would answer with them."""

    weights: list[Any]
    answer: Teacher


@functools.lru_cache(maxsize=2)
def _past(model: Any) -> _Past:
    import tensorflow as tf

    held = [tf.Variable(tf.convert_to_tensor(one)) for one in model.variables]
    return _Past(held, lambda images: unlabelled.answers(model, held, images))
