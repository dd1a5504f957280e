"""One training loop for every arm: what the arms share cannot differ between them."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core.budget import Budget
from graft.core.dataset import Progress, Split
from graft.core.errors import GateRefused

WEIGHT_DECAY = 0.01
WARM_UP_SHARE = 0.1

Augment = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class TrainData:
    """What an objective or a method may see. The test rows are not here.

    Attributes:
        train, validation: see `Split`.
        n_classes: labels are in [0, n_classes).
        augment: (images float32 [0, 255], seed) -> images, a function of tensors.
        progress: called with (steps done, steps in all).
    """

    train: Split
    validation: Split
    n_classes: int
    augment: Augment
    progress: Progress = lambda done, total: None


def classifier(backbone: Any, n_classes: int, seed: int) -> Any:
    """`backbone` with a fresh linear head: float32 pictures in [0, 255] to (batch, n_classes) logits.

    The head's weights are drawn from `seed`. The same backbone object gives the same model object, so that training
    it again from other weights (the next seed, the next learning rate) does not trace the graph again.
    """
    import keras

    model = _compiled(backbone, n_classes)
    kernel, bias = model.get_layer("head").get_weights()
    drawn = keras.initializers.GlorotUniform(seed=seed)(kernel.shape)
    model.get_layer("head").set_weights([np.asarray(drawn), np.zeros_like(bias)])
    return model


@functools.lru_cache(maxsize=4)
def _compiled(backbone: Any, n_classes: int) -> Any:
    import keras

    inputs = keras.Input(backbone.input_shape[1:], dtype="float32")
    logits = keras.layers.Dense(n_classes, dtype="float32", name="head")(backbone(inputs))
    model = keras.Model(inputs, logits, name="classifier")
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3, weight_decay=WEIGHT_DECAY),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(model: Any, data: TrainData, budget: Budget) -> list[dict[str, float]]:
    """Train all trainable weights of a `classifier` in place and leave it at its best validation accuracy.

    AdamW (Loshchilov & Hutter 2019), cosine schedule with linear warm-up (Loshchilov & Hutter 2017).

    Returns:
        One row per evaluation: step, loss, accuracy, val_loss, val_accuracy.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    import keras

    _forget(model.optimizer)
    stretch = budget.steps_per_evaluation
    epochs = math.ceil(budget.steps / stretch)
    done = 0

    def set_rate(batch: int, logs: Any = None) -> None:
        nonlocal done
        model.optimizer.learning_rate = learning_rate(done, budget)
        done += 1

    history = model.fit(
        batches(data, budget),
        steps_per_epoch=stretch,
        epochs=epochs,
        validation_data=validation_batches(data.validation),
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            # patience of the whole run: never stops, always goes back to the best state
            keras.callbacks.EarlyStopping("val_accuracy", patience=epochs, mode="max", restore_best_weights=True),
            keras.callbacks.LambdaCallback(
                on_train_batch_begin=set_rate,
                on_epoch_end=lambda epoch, logs: data.progress(min(done, budget.steps), budget.steps),
            ),
        ],
        shuffle=False,  # the batches are drawn in random order already
        verbose=0,
    ).history
    if not np.all(np.isfinite(history["loss"])):
        raise GateRefused(
            f"training diverged: the loss became {history['loss'][-1]} at learning rate {budget.learning_rate}; "
            "a lower rate would do"
        )
    steps = [float(min((index + 1) * stretch, budget.steps)) for index in range(len(history["loss"]))]
    return [
        {"step": step} | {name: float(values[index]) for name, values in history.items()}
        for index, step in enumerate(steps)
    ]


def learning_rate(step: int, budget: Budget) -> float:
    """Rate of step `step` (from 0): linear warm-up over the first tenth, then half a cosine down to zero."""
    warm_up = max(1, round(budget.steps * WARM_UP_SHARE))
    if step < warm_up:
        return budget.learning_rate * (step + 1) / warm_up
    if step >= budget.steps:
        return 0.0
    progress = (step - warm_up) / max(1, budget.steps - warm_up)
    return budget.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def _forget(optimizer: Any) -> None:
    """Back to an optimizer that has seen nothing: no momentum, step 0."""
    for variable in optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))


def batches(data: TrainData, budget: Budget) -> Any:
    """Endless augmented batches: every row once per pass, in an order drawn from the seed.

    Returns:
        tf.data.Dataset of ((batch, h, w, c) float32 in [0, 255], (batch,) int64).
    """
    import tensorflow as tf

    shape = data.train.images.shape[1:]
    signature = (
        tf.TensorSpec((None, *shape), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((2,), tf.int32),
    )

    def vary(images: Any, labels: Any, seed: Any) -> tuple[Any, Any]:
        return data.augment(tf.cast(images, tf.float32), seed), labels

    drawn = tf.data.Dataset.from_generator(lambda: _draw(data.train, budget), output_signature=signature)
    return drawn.map(vary, num_parallel_calls=1).prefetch(2)


def validation_batches(split: Split, batch_size: int = 250) -> Any:
    """All rows of `split` once, in order, as they are: ((batch, h, w, c) float32, (batch,) int64)."""
    import tensorflow as tf

    def rows() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        for start in range(0, len(split), batch_size):
            yield (
                np.asarray(split.images[start : start + batch_size]),
                split.labels[start : start + batch_size],
            )

    signature = (
        tf.TensorSpec((None, *split.images.shape[1:]), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
    )
    drawn = tf.data.Dataset.from_generator(rows, output_signature=signature)
    known = drawn.apply(tf.data.experimental.assert_cardinality(math.ceil(len(split) / batch_size)))
    return known.map(lambda images, labels: (tf.cast(images, tf.float32), labels)).prefetch(1)


def predict(model: Any, images: NDArray[np.uint8], batch_size: int = 250) -> NDArray[np.float32]:
    """What `model` answers without training behaviour: (n, outputs) float32, batch by batch in bounded memory."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(x: Any) -> Any:
        return model(tf.cast(x, tf.float32), training=False)

    parts = [
        step(tf.convert_to_tensor(np.asarray(images[start : start + batch_size]))).numpy()
        for start in range(0, len(images), batch_size)
    ]
    answers: NDArray[np.float32] = np.concatenate(parts).astype(np.float32)
    return answers


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row-wise probabilities of (n, classes) logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def _draw(split: Split, budget: Budget) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]]:
    generator = np.random.default_rng(budget.seed)
    waiting = np.empty(0, dtype=np.int64)
    for step in itertools.count():
        while len(waiting) < budget.batch_size:
            waiting = np.concatenate([waiting, generator.permutation(len(split))])
        rows, waiting = waiting[: budget.batch_size], waiting[budget.batch_size :]
        seed = np.array([budget.seed % 2**31, step], dtype=np.int32)
        yield np.asarray(split.images[rows]), split.labels[rows], seed


def best_of(histories: Sequence[list[dict[str, float]]]) -> int:
    """Index of the history with the best validation accuracy; the lower validation loss there breaks ties."""

    def rank(history: list[dict[str, float]]) -> tuple[float, float]:
        row = max(history, key=lambda row: row["val_accuracy"])
        return row["val_accuracy"], -row["val_loss"]

    return max(range(len(histories)), key=lambda index: rank(histories[index]))
