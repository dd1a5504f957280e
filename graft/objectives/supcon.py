"""Learn that pictures of a class belong together: supervised contrastive learning (Khosla et al. 2020)."""

import functools
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graft.core import batches, contrast, layers, loop, pretext, vary
from graft.core.budget import Budget
from graft.core.dataset import Augment
from graft.core.fit import TrainData
from graft.core.recipe import Recipe


class Options(BaseModel):
    """What the views are and how sharply classes are told apart."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    learning_rate: float = Field(default=0.003, gt=0, le=1)
    temperature: float = Field(default=0.1, gt=0, le=10, description="of the softmax over cosines; lower is sharper")
    projection: int = Field(default=64, ge=2, le=4096, description="outputs of the projection head")
    least_area: float = Field(default=0.5, gt=0, le=1, description="least share of a picture that a view shows")
    variation: Literal["standard", "strong"] = Field(default="standard", description="of a view, besides its cut")


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train `backbone` in place so that two views of each picture of a class lie near, and other classes far.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features).
        budget: its learning rate is replaced by the option's.

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, its head fitted at last (see
        `pretext.classifier`), and the history: accuracy is the share of views whose nearest is of their class,
        val_loss the same loss on fixed views of the validation rows, val_accuracy what `pretext.nearest_mean` says; it
        decides which state is kept.
    """
    view = contrast.view(data.strong if options.variation == "strong" else data.augment, options.least_area)
    made = (options.temperature, options.projection, budget.recipe)
    learner, validated = _learner(backbone, view, *made, layers.flags(backbone))
    pretext.fresh(learner.model.get_layer("projection"), budget.seed)
    size, judged = (min(budget.batch_size, len(split)) for split in (data.train, data.validation))
    looks = pretext.n_batches(data.validation, judged)

    def evaluate() -> dict[str, float]:
        drawn = batches.labelled(data.validation, vary.none, judged, 0).take(looks)
        return {
            "val_loss": float(pretext.mean_of(validated, drawn)),
            "val_accuracy": pretext.nearest_mean(backbone, data),
        }

    history = loop.run(
        learner,
        lambda start: batches.labelled(data.train, vary.none, size, budget.seed, start),
        evaluate,
        budget.at(options.learning_rate),
        data.progress,
        data.phase("train"),
    )
    return pretext.classifier(backbone, data, budget.seed), history


@functools.lru_cache(maxsize=4)
def _learner(
    backbone: Any, view: Augment, temperature: float, width: int, recipe: Recipe, flags: tuple[bool, ...]
) -> tuple[loop.Learner, Any]:
    """Traced once: what learns, and its loss outside training."""
    import tensorflow as tf

    model = contrast.projected(backbone, width)

    def told(images: Any, labels: Any, seed: Any, training: bool) -> tuple[Any, Any]:
        views = [view(images, seed + tf.constant([0, number << 24])) for number in (0, 1)]
        points = model(tf.concat(views, axis=0), training=training)
        return contrast.cost(points, tf.tile(labels, [2]), temperature)

    def loss(images: Any, labels: Any, seed: Any) -> tuple[Any, dict[str, Any]]:
        value, accuracy = told(images, labels, seed, training=True)
        return value, {"accuracy": accuracy}

    validated = tf.function(
        lambda images, labels, seed: told(images, labels, seed, training=False)[0], reduce_retracing=True
    )
    return loop.Learner(model, loss, recipe), validated
