"""Learn without labels that two views of a picture are one thing, all others not (SimCLR, Chen et al. 2020)."""

import functools
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graft.core import batches, contrast, layers, loop, pretext
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

USES_UNLABELLED = True


class Options(BaseModel):
    """What the views are, and how sharply they are told apart."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    learning_rate: float = Field(default=0.003, gt=0, le=1)
    temperature: float = Field(default=0.2, gt=0, le=10, description="of the softmax over cosines; lower is sharper")
    projection: int = Field(default=64, ge=2, le=4096, description="outputs of the projection head")
    least_area: float = Field(default=0.3, gt=0, le=1, description="least share of a picture that a view shows")
    variation: Literal["standard", "strong"] = Field(default="strong", description="of a view, besides its cut")


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train `backbone` in place by NT-Xent; no label of the source moves it, nor decides which state is kept.

    Half of each batch are target pictures if there are any in `data.unlabelled`.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features).
        budget: its learning rate is replaced by the option's.

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, its head fitted at last (see
        `pretext.classifier`), and the history: accuracy is the share of views whose nearest is their twin, val_loss the
        same loss on fixed views of the validation rows, val_accuracy what `pretext.nearest_mean` says.
    """
    learner, validated = _learner(
        backbone, options.temperature, options.projection, budget.recipe, layers.flags(backbone)
    )
    pretext.fresh(learner.model.get_layer("projection"), budget.seed)
    view = contrast.view(data.strong if options.variation == "strong" else data.augment, options.least_area)
    size = min(budget.batch_size, len(data.validation))
    looks = pretext.n_batches(data.validation, size)

    def evaluate() -> dict[str, float]:
        views = batches.views(data.validation.images, (view, view), size, 0).take(looks)
        return {
            "val_loss": float(pretext.mean_of(validated, views)),
            "val_accuracy": pretext.nearest_mean(backbone, data),
        }

    history = loop.run(
        learner,
        lambda start: pretext.drawn(
            lambda images, size, seed: batches.views(images, (view, view), size, seed, start), data, budget
        ),
        evaluate,
        budget.at(options.learning_rate),
        data.progress,
        data.phase("train"),
        pretext.by_loss,
    )
    return pretext.classifier(backbone, data, budget.seed), history


@functools.lru_cache(maxsize=4)
def _learner(
    backbone: Any, temperature: float, width: int, recipe: Recipe, flags: tuple[bool, ...]
) -> tuple[loop.Learner, Any]:
    """Traced once: what learns, and its loss outside training."""
    import tensorflow as tf

    model = contrast.projected(backbone, width)

    def told(first: Any, second: Any, training: bool) -> tuple[Any, Any]:
        points = model(tf.concat([first, second], axis=0), training=training)
        return contrast.cost(points, tf.tile(tf.range(tf.shape(first)[0]), [2]), temperature)

    def loss(first: Any, second: Any) -> tuple[Any, dict[str, Any]]:
        value, accuracy = told(first, second, training=True)
        return value, {"accuracy": accuracy}

    validated = tf.function(lambda first, second: told(first, second, training=False)[0], reduce_retracing=True)
    return loop.Learner(model, loss, recipe), validated
