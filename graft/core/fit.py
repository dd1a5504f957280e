"""Classifiers: built, trained by the recipe that every arm shares, and asked."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import batches, layers, loop, structure, vary
from graft.core.budget import Budget
from graft.core.dataset import Augment, Progress, Split
from graft.core.loop import Group, History, Learner
from graft.core.recipe import Recipe
from graft.core.resume import Checkpoint


@dataclass(frozen=True)
class TrainData:
    """What an objective or a method may see. The test rows are not here.

    Attributes:
        train, validation: see `Split`.
        n_classes: labels are in [0, n_classes).
        augment: how training pictures are varied.
        progress: called with (steps done, steps in all).
        strong: a harder variation, for methods that compare two views of a picture.
        unlabelled: (n, size, size, channels) uint8 pictures of the target without labels; empty if there are none.
        source: training rows of the source with its own labels, for methods that look at both; None if not at hand.
        checkpoint: where the training's state is kept, to be taken up after a kill; None keeps none.
    """

    train: Split
    validation: Split
    n_classes: int
    augment: Augment
    progress: Progress = lambda done, total: None
    strong: Augment = vary.none
    unlabelled: NDArray[np.uint8] | None = None
    source: Split | None = None
    checkpoint: Checkpoint | None = None

    def phase(self, name: str) -> Checkpoint | None:
        """The checkpoint of a part of the training."""
        return self.checkpoint.phase(name) if self.checkpoint else None


def classifier(backbone: Any, n_classes: int, seed: int) -> Any:
    """`backbone` with a fresh linear head: float32 pictures in [0, 255] to (batch, n_classes) logits.

    The head's weights are drawn from `seed`. The same backbone object gives the same model object, so that training
    it again from other weights (the next seed, the next learning rate) does not trace the graph again.
    """
    import keras

    model = _classifier(backbone, n_classes)
    kernel, bias = model.get_layer("head").get_weights()
    drawn = keras.initializers.GlorotUniform(seed=seed)(kernel.shape)
    model.get_layer("head").set_weights([np.asarray(drawn), np.zeros_like(bias)])
    return model


@functools.lru_cache(maxsize=4)
def _classifier(backbone: Any, n_classes: int) -> Any:
    import keras

    inputs = keras.Input(backbone.input_shape[1:], dtype="float32")
    logits = keras.layers.Dense(n_classes, dtype="float32", name="head")(backbone(inputs))
    return keras.Model(inputs, logits, name="classifier")


def train(
    model: Any, data: TrainData, budget: Budget, phase: str = "train", rates: Sequence[tuple[Any, float]] = ()
) -> History:
    """Train a `classifier` in place by cross-entropy and leave it at its best validation accuracy.

    Args:
        phase: names this part of a training that has several.
        rates: (layer, factor): that layer's trainable weights learn at so many times the budget's rate, those of
            layers that are not named not at all; empty trains all trainable weights alike.

    Returns:
        One row per evaluation: step, loss, accuracy, val_loss, val_accuracy.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    trained: dict[float, tuple[int, ...]] = {}
    for layer, rate in rates or [(model, 1.0)]:
        trained[rate] = (*trained.get(rate, ()), *map(id, layer.trainable_weights))
    learner = _learner(
        model, budget.recipe, tuple(trained.items()), weights_of(data, budget.recipe), layers.flags(model)
    )
    return loop.run(
        learner,
        lambda start: batches.labelled(data.train, data.augment, budget.batch_size, budget.seed, start),
        lambda: evaluate(model, data.validation) | _channels(model, budget.recipe),
        budget,
        data.progress,
        data.phase(phase),
    )


def _channels(model: Any, recipe: Recipe) -> dict[str, float]:
    on, every = structure.channels(model)
    return {"channels_on": float(on), "channels": float(every)} if recipe.group_lasso else {}


@functools.lru_cache(maxsize=8)
def _learner(
    model: Any,
    recipe: Recipe,
    trained: tuple[tuple[float, tuple[int, ...]], ...],
    weights: tuple[float, ...] | None,
    flags: tuple[bool, ...],
) -> Learner:
    """Traced once for a model, a recipe and what is trained and frozen."""
    known = {id(variable): variable for variable in model.weights}
    groups = [Group([known[one] for one in variables], rate) for rate, variables in trained]

    def whole(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        return targets_of(images, labels, seed, model.output_shape[-1], recipe)

    def loss(images: Any, targets: Any) -> tuple[Any, dict[str, Any]]:
        return cost(model(images, training=True), targets, weights)

    return Learner(model, loss, recipe, groups, whole=whole)


def cross_entropy(model: Any, recipe: Recipe, weights: Sequence[float] | None = None) -> loop.Loss:
    """The loss of labelled batches by the recipe: (images, labels, seed) to (scalar, {accuracy}).

    Args:
        weights: of each class; None takes all alike.
    """
    n_classes = model.output_shape[-1]

    def loss(images: Any, labels: Any, seed: Any) -> tuple[Any, dict[str, Any]]:
        images, targets = targets_of(images, labels, seed, n_classes, recipe)
        return cost(model(images, training=True), targets, weights)

    return loss


def targets_of(images: Any, labels: Any, seed: Any, n_classes: int, recipe: Recipe) -> tuple[Any, Any]:
    """A labelled batch by the recipe: pictures, mixed or not, and (batch, n_classes) targets whose rows sum to 1."""
    import tensorflow as tf

    targets = tf.one_hot(labels, n_classes)
    if recipe.label_smoothing:
        targets = (1.0 - recipe.label_smoothing) * targets + recipe.label_smoothing / n_classes
    return batches.mixed(images, targets, seed, recipe.mixup, recipe.cutmix)


def cost(logits: Any, targets: Any, weights: Sequence[float] | None = None) -> tuple[Any, dict[str, Any]]:
    """Mean cross-entropy of a batch, and its accuracy by name.

    Args:
        weights: of each class; None takes all alike.
    """
    import keras
    import tensorflow as tf

    each = keras.ops.categorical_crossentropy(targets, logits, from_logits=True)
    if weights is not None:
        each = each * tf.reduce_sum(targets * tf.constant(weights, tf.float32), axis=1)
    right = tf.argmax(logits, axis=1) == tf.argmax(targets, axis=1)
    return tf.reduce_mean(each), {"accuracy": tf.reduce_mean(tf.cast(right, tf.float32))}


def weights_of(data: TrainData, recipe: Recipe) -> tuple[float, ...] | None:
    """The weights of the classes by the recipe; None takes all alike."""
    return class_weights(data) if recipe.class_weights == "balanced" else None


def class_weights(data: TrainData) -> tuple[float, ...]:
    """By class: inversely proportional to its training rows, 1 on average over the rows (King & Zeng 2001)."""
    counts = np.maximum(np.bincount(data.train.labels, minlength=data.n_classes), 1)
    return tuple(float(weight) for weight in len(data.train) / (data.n_classes * counts))


def evaluate(model: Any, split: Split) -> dict[str, float]:
    """Accuracy and log loss of `model` on `split`: val_accuracy, val_loss."""
    probabilities = softmax(predict(model, split.images))
    picked = np.clip(probabilities[np.arange(len(split)), split.labels], 1e-7, 1.0)
    accuracy = float(np.mean(probabilities.argmax(axis=1) == split.labels))
    return {"val_accuracy": accuracy, "val_loss": float(-np.mean(np.log(picked)))}


def predict(model: Any, images: NDArray[Any], batch_size: int = 250) -> NDArray[np.float32]:
    """What `model` answers without training behaviour: (n, outputs) float32, batch by batch in bounded memory."""
    import tensorflow as tf

    step = _forward(model)
    parts = [
        step(tf.convert_to_tensor(np.asarray(images[start : start + batch_size]))).numpy()
        for start in range(0, len(images), batch_size)
    ]
    answers: NDArray[np.float32] = np.concatenate(parts).astype(np.float32)
    return answers


@functools.lru_cache(maxsize=8)
def _forward(model: Any) -> Any:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(x: Any) -> Any:
        return model(tf.cast(x, tf.float32), training=False)

    return step


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row-wise probabilities of (n, classes) logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def mean_rank(histories: Sequence[History]) -> tuple[float, ...]:
    """The better the higher: the best evaluation of each history (see `loop.by_accuracy`), on average over them."""
    best = [max(map(loop.by_accuracy, history)) for history in histories]
    return tuple(float(value) for value in np.mean(best, axis=0))
