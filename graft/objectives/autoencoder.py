"""Learn without labels to draw what is hidden: a masked autoencoder with convolutions, or a plain one.

Masked autoencoders: He et al. 2022; hidden patches are grey in the picture itself and the decoder is one small head, as
in SimMIM (Xie et al. 2022), so that any backbone fits. With nothing hidden it is the convolutional autoencoder of Masci
et al. 2011.
"""

import functools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import batches, layers, loop, pretext, vary
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

GREY, SCALE = 127.5, 127.5
VECTOR_EDGE, VECTOR_FILTERS = 4, 64
SETTLING_BATCHES = 32
USES_UNLABELLED = True
BY_ROWS = True


class Options(BaseModel):
    """What is hidden, and the size of what draws it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    learning_rate: float = Field(default=0.003, gt=0, le=1)
    mask: float = Field(default=0.5, ge=0, lt=1, description="share of patches hidden; 0: a plain autoencoder")
    patch_px: int = Field(default=8, ge=1, le=512, description="edge of a patch")
    decoder: int = Field(default=128, ge=1, le=4096, description="filters of the decoder's hidden layer")


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train `backbone` in place by the mean squared error of what was hidden (of all pixels if nothing was).

    Half of each batch are target pictures if there are any in `data.unlabelled`.

    Batch statistics that were gathered on hidden pictures would not do for whole ones: before features are looked at,
    the moving statistics are gathered on whole training pictures.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features).
        budget: its learning rate is replaced by the option's.

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, its head fitted at last (see
        `pretext.classifier`), and the history: val_loss is the error on the validation rows behind fixed masks, which
        decides which state is kept, val_accuracy what `pretext.nearest_mean` says.
    """
    learner, validated, settle = _learner(backbone, options, budget.recipe, layers.flags(backbone))
    for name in ("decoder", "unfold"):
        pretext.fresh(learner.model.get_layer(name), budget.seed)
    size = min(budget.batch_size, len(data.validation))
    looks = pretext.n_batches(data.validation, size)

    def evaluate() -> dict[str, float]:
        error = pretext.mean_of(validated, batches.labelled(data.validation, vary.none, size, 0).take(looks))
        if options.mask:
            _each(settle, data.train, budget.batch_size)
        return {"val_loss": float(error), "val_accuracy": pretext.nearest_mean(backbone, data)}

    history = loop.run(
        learner,
        lambda start: _pictures(data, budget, start),
        evaluate,
        budget.at(options.learning_rate),
        data.progress,
        data.phase("train"),
        pretext.by_loss,
    )
    return pretext.classifier(backbone, data, budget.seed), history


def _pictures(data: TrainData, budget: Budget, start: int) -> Any:
    """Varied pictures, and each batch's own seed."""
    import tensorflow as tf

    def varied(images: Any, size: int, seed: int) -> Any:
        return batches.views(images, (data.augment,), size, seed, start)

    return (
        pretext.drawn(varied, data, budget)
        .enumerate(start)
        .map(lambda step, pictures: (pictures[0], tf.stack([budget.seed % 2**31, tf.cast(step, tf.int32)])))
    )


def _each(settle: Any, train: Split, batch_size: int) -> None:
    for images, _, _ in batches.labelled(train, vary.none, batch_size, 0).take(SETTLING_BATCHES):
        settle(images)


@functools.lru_cache(maxsize=4)
def _learner(backbone: Any, options: Options, recipe: Recipe, flags: tuple[bool, ...]) -> tuple[loop.Learner, Any, Any]:
    """Traced once: what learns, its loss outside training, and what gathers the batch statistics of whole pictures."""
    import tensorflow as tf

    model = _autoencoder(backbone, options.decoder)

    def error(images: Any, hidden: Any, training: bool) -> Any:
        cells = model(tf.where(hidden, GREY, images) if options.mask else images, training=training)
        squares = tf.square(_unpacked(cells, images) - (images - GREY) / SCALE)
        counted = tf.cast(hidden, tf.float32) * tf.ones_like(squares) if options.mask else tf.ones_like(squares)
        return tf.reduce_sum(counted * squares) / tf.reduce_sum(counted)

    def whole(images: Any, seed: Any) -> tuple[Any, Any]:
        return images, _hidden(images, seed, options)

    def loss(images: Any, hidden: Any) -> tuple[Any, dict[str, Any]]:
        return error(images, hidden, training=True), {}

    validated = tf.function(lambda images, _, seed: error(*whole(images, seed), training=False), reduce_retracing=True)
    settle = tf.function(lambda images: backbone(images, training=True), reduce_retracing=True)
    return loop.Learner(model, loss, recipe, whole=whole), validated, settle


def _hidden(images: Any, seed: Any, options: Options) -> Any:
    """(batch, h, w, 1) bool: `options.mask` of the patches of each picture, at least one, drawn from `seed`."""
    import tensorflow as tf

    count, height, width = tf.unstack(tf.shape(images)[:3])
    rows, columns = (-(-edge // options.patch_px) for edge in (height, width))
    draw = tf.random.stateless_uniform((count, rows * columns), seed + tf.constant([0, 1 << 27]))
    place = tf.argsort(tf.argsort(draw, axis=1), axis=1)
    n_hidden = tf.maximum(1, tf.cast(tf.round(options.mask * tf.cast(rows * columns, tf.float32)), tf.int32))
    patches = tf.reshape(place < n_hidden, (count, rows, columns, 1))
    pixels = tf.repeat(tf.repeat(patches, options.patch_px, axis=1), options.patch_px, axis=2)
    return pixels[:, :height, :width]


def _autoencoder(backbone: Any, filters: int) -> Any:
    """Pictures to (batch, h, w, cell * cell * channels) for `_unpacked`, through all of the backbone's weights."""
    import keras

    size, channels = backbone.input_shape[1], backbone.input_shape[-1]
    found = _last_map(backbone)
    unfold = keras.Sequential(name="unfold")
    if found is None:
        found = backbone.output
        unfold.add(keras.layers.Dense(VECTOR_EDGE**2 * VECTOR_FILTERS, activation="relu"))
        unfold.add(keras.layers.Reshape((VECTOR_EDGE, VECTOR_EDGE, VECTOR_FILTERS)))
    else:
        unfold.add(keras.layers.Identity())
    maps = unfold(found)
    cell = -(-size // maps.shape[1])
    decoder = keras.Sequential(name="decoder")
    decoder.add(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
    decoder.add(keras.layers.Conv2D(cell * cell * channels, 1, dtype="float32"))
    return keras.Model(backbone.input, decoder(maps), name="autoencoder")


def _unpacked(cells: Any, images: Any) -> Any:
    """(batch, h, w, cell * cell * channels) to pictures about [-1, 1] of the size of `images`."""
    import tensorflow as tf

    cell = round((cells.shape[-1] / images.shape[-1]) ** 0.5)
    pictures = tf.nn.depth_to_space(cells, cell) if cell > 1 else cells
    return pictures if pictures.shape[1] == images.shape[1] else tf.image.resize(pictures, images.shape[1:3])


def _last_map(backbone: Any) -> Any:
    """The last (batch, h, w, channels) tensor, if no weights follow it; else None: they would learn nothing from it."""
    import keras

    for operation in reversed(backbone.operations):
        tensor = operation.input
        if keras.backend.is_keras_tensor(tensor) and len(tensor.shape) == 4:
            before = keras.Model(backbone.input, tensor)
            return tensor if len(before.weights) == len(backbone.weights) else None
    return None
