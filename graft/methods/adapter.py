"""Low-rank adapters beside frozen kernels (Rebuffi et al. 2017; low rank, Hu et al. 2022), merged in the end.

A 1x1 convolution of rank r beside a convolution adds to the centre tap of its kernel, so what comes out is the same
net with other weights: nothing that ships knows of adapters.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from graft.core import batches, fit, layers, loop, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData
from graft.core.recipe import Recipe

FREEZES_BACKBONE = False


class Options(BaseModel):
    """How large the adapters are."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    rank: int = Field(default=4, ge=1, le=4096, description="of what each kernel learns")
    taps: Literal["centre", "all"] = Field(default="centre", description="1x1 beside each kernel, or as large as it")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move: all but the kernels of dense layers and of ordinary convolutions."""
    moves = set(map(id, _kernels(backbone)))
    return [one for one in backbone.weights if id(one) not in moves]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Learn adapters and the head, which starts as a linear probe, and merge the adapters into `backbone` in place.

    Depthwise convolutions have none: no pointwise one can be merged into them.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    with layers.frozen([backbone]):
        learner, adapters = _learner(model, options, budget.recipe, fit.weights_of(data, budget.recipe))
        for number, one in enumerate(adapters):
            one.begin((budget.seed, number))
        history = loop.run(
            learner,
            lambda step: batches.labelled(data.train, data.augment, budget.batch_size, budget.seed, step),
            lambda: fit.evaluate(model, data.validation),
            budget,
            data.progress,
            data.phase("train"),
        )
    return model, history


@dataclass(frozen=True)
class Adapter:
    """What `kernel` learns: `down` (inputs, rank) times `up` (rank, outputs), on top of `frozen`, where it started."""

    kernel: Any
    frozen: Any
    down: Any
    up: Any

    @classmethod
    def beside(cls, kernel: Any, options: Options) -> "Adapter":
        import keras

        *spatial, inputs, outputs = kernel.shape
        rows = inputs * int(np.prod(spatial)) if options.taps == "all" else inputs
        rank = min(options.rank, rows, outputs)
        zeros = [np.zeros(shape, np.float32) for shape in (kernel.shape, (rows, rank), (rank, outputs))]
        return cls(kernel, *map(keras.Variable, zeros))

    def begin(self, seed: tuple[int, int]) -> None:
        """Adding nothing yet: one factor drawn, the other zero."""
        self.frozen.assign(self.kernel)
        rows, rank = self.down.shape
        self.down.assign(np.random.default_rng(seed).normal(0.0, rows**-0.5, (rows, rank)))
        self.up.assign(np.zeros(self.up.shape))

    def merged(self) -> Any:
        """The kernel with what was learned, a tensor."""
        import tensorflow as tf

        product, (*spatial, inputs, _) = tf.matmul(self.down, self.up), self.kernel.shape
        if product.shape[0] == inputs:
            sides = [[(taps - 1) // 2, taps // 2] for taps in spatial]
            product = tf.pad(product[(None,) * len(spatial)], [*sides, [0, 0], [0, 0]])
        return self.frozen + tf.reshape(product, self.kernel.shape)


@dataclass(frozen=True)
class _Adapted:
    """A model with a frozen backbone, called with its adapters in place of its kernels."""

    model: Any
    adapters: Sequence[Adapter]

    @property
    def output_shape(self) -> Any:
        return self.model.output_shape

    def __call__(self, images: Any, training: bool) -> Any:
        merged = {id(one.kernel): one.merged() for one in self.adapters}
        others = self.model.non_trainable_variables
        values = [merged.get(id(one), one) for one in others]
        logits, after = self.model.stateless_call(self.model.trainable_variables, values, images, training=training)
        weights = set(map(id, self.model.weights))
        for variable, value in zip(others, after, strict=True):
            if id(variable) not in weights:  # the state of a dropout's generator
                variable.assign(value)
        return logits


@functools.lru_cache(maxsize=2)
def _learner(
    model: Any, options: Options, recipe: Recipe, weights: tuple[float, ...] | None
) -> tuple[loop.Learner, list[Adapter]]:
    adapters = [Adapter.beside(kernel, options) for kernel in _kernels(model.get_layer("backbone"))]
    learned = [*model.get_layer("head").trainable_weights, *(part for one in adapters for part in (one.down, one.up))]

    def merge() -> None:
        for one in adapters:
            one.kernel.assign(one.merged())

    loss = fit.cross_entropy(_Adapted(model, adapters), recipe, weights)
    held = [one.frozen for one in adapters]
    return loop.Learner(model, loss, recipe, [loop.Group(learned)], held, merge), adapters


def _kernels(backbone: Any) -> list[Any]:
    import keras

    return [one.kernel for one in layers.parts(backbone) if isinstance(one, keras.layers.Conv2D | keras.layers.Dense)]
