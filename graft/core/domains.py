"""Training on source and target at once, so that what the backbone says of both becomes alike."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graft.core import batches, fit, loop, probe
from graft.core.budget import Budget
from graft.core.dataset import Split, draw_per_class
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.loop import Group, History, Learner
from graft.core.recipe import Recipe

PROBED_ROWS = 1000

Apart = Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]]
"""How far domains lie apart: ((n, d) source features, (m, d) target features, share of the training done in [0, 1)) to
(scalar to make smaller, what else to tell by name)."""


def adapt(
    method: str,
    backbone: Any,
    data: TrainData,
    budget: Budget,
    l2: float,
    learner: Callable[[Any, Any, tuple[float, ...] | None], Learner],
) -> tuple[Any, History]:
    """Fine-tune `backbone` in place on target and source, each with a head that starts from a linear probe.

    Args:
        method: its name, for the error's text.
        l2: of the probes; see `probe.fit_head`.
        learner: made of the target's classifier, the source's, and the weights of the target's classes.

    Raises:
        BadInput: there are no source pictures.
        GateRefused: the loss became NaN or infinite.
    """
    source = _source_of(data, method)
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, l2)
    second = _source_classifier(backbone, data, source, l2, budget.seed)
    history = loop.run(
        learner(model, second, fit.weights_of(data, budget.recipe)),
        _both_domains(data, source, budget),
        lambda: fit.evaluate(model, data.validation),
        budget,
        data.progress,
        data.phase("train"),
    )
    return model, history


def learner(
    model: Any,
    source: Any,
    apart: Apart,
    recipe: Recipe,
    weights: Sequence[float] | None,
    steps: int,
    shares: tuple[float, float],
    more: Sequence[Any] = (),
) -> Learner:
    """Learns by the cross-entropy of the target, that of the source, and how far both lie apart, in one pass.

    Batch normalisation sees both domains at once.

    Args:
        model, source: classifiers around one backbone.
        weights: of the target's classes; None takes all alike.
        steps: of the whole training.
        shares: what the distance and the source's cross-entropy count.
        more: variables that `apart` learns.
    """
    import tensorflow as tf

    backbone, heads = probe.backbone_of(model), (model.get_layer("head"), source.get_layer("head"))
    counts = model.output_shape[-1], source.output_shape[-1]

    def cost(images: Any, labels: Any, seed: Any, others: Any, theirs: Any, classes: Any) -> tuple[Any, dict[str, Any]]:
        images, targets = fit.targets_of(images, labels, seed, counts[0], recipe)
        sizes = [tf.shape(one)[0] for one in (images, others, theirs)]
        features = backbone(tf.concat([images, others, theirs], axis=0), training=True)
        ours, also_ours, source_features = tf.split(features, sizes)
        known, told = fit.cost(heads[0](ours), targets, weights)
        there, _ = fit.cost(heads[1](source_features), tf.one_hot(classes, counts[1]))
        done = tf.cast(seed[1], tf.float32) / steps
        far, seen = apart(source_features, tf.concat([ours, also_ours], axis=0), done)
        told |= {"source_loss": there, "distance": far} | seen
        return known + shares[0] * far + shares[1] * there, told

    second = heads[1].trainable_variables if shares[1] else []
    return Learner(model, cost, recipe, [Group([*model.trainable_variables, *second, *more])])


def _source_of(data: TrainData, method: str) -> Split:
    if data.source is None or not len(data.source):
        raise BadInput(
            f"finetune.method {method} looks at source pictures too and there are none; method full would do"
        )
    return data.source


def _both_domains(data: TrainData, source: Split, budget: Budget) -> Callable[[int], Iterable[tuple[Any, ...]]]:
    """Half a batch of labelled target pictures, half a batch of others, a batch of the source.

    Where the target has no pictures without labels, the labelled ones stand in for them.
    """
    import tensorflow as tf

    half = max(1, budget.batch_size // 2)
    others = data.train.images if data.unlabelled is None or not len(data.unlabelled) else data.unlabelled

    def drawn(start: int) -> Any:
        labelled = batches.labelled(data.train, data.augment, half, budget.seed, start)
        more = batches.views(others, (data.augment,), half, budget.seed + 1, start)
        theirs = batches.labelled(source, data.augment, 2 * half, budget.seed + 2, start)
        flat = tf.data.Dataset.zip(labelled, more, theirs)
        return flat.map(lambda ours, other, source: (*ours, *other, *source[:2]))

    return drawn


def _source_classifier(backbone: Any, data: TrainData, source: Split, l2: float, seed: int) -> Any:
    """A second head on `backbone` that tells the source's classes, fitted to frozen features; see `probe.fit_head`."""
    n_classes = int(source.labels.max()) + 1
    model = _second(backbone, n_classes)
    counts = np.bincount(source.labels)
    per_class = max(1, min(PROBED_ROWS // n_classes, int(counts[counts > 0].min())))
    rows = draw_per_class(source.labels, per_class, seed)
    probe.fit_head(model, replace(data, train=source.take(rows), n_classes=n_classes), l2)
    return model


@functools.lru_cache(maxsize=2)
def _second(backbone: Any, n_classes: int) -> Any:
    import keras

    inputs = keras.Input(backbone.input_shape[1:], dtype="float32")
    logits = keras.layers.Dense(n_classes, dtype="float32", name="head")(backbone(inputs))
    return keras.Model(inputs, logits, name="source")
