"""Nearest class mean by cosine (Mensink et al. 2013, Snell et al. 2017), for very few labels: nothing is trained.

Features are centred first, which helps nearest means much (SimpleShot, Wang et al. 2019). Since a common factor does
not change which class is nearest, the result is an ordinary linear head.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, probe
from graft.core.budget import Budget
from graft.core.errors import BadInput
from graft.core.fit import TrainData

FREEZES_BACKBONE = True
SCALES = np.geomspace(0.1, 300.0, 81)
UNTOLD_SCALE = 10.0
"""Of cosines where no class has two rows to tell it by, as in Gidaris & Komodakis (2018)."""

Matrix = NDArray[np.float64]


class Options(BaseModel):
    """What is done to features before they are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    centre: bool = Field(default=True, description="subtract the mean of the training pictures' features")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Put a head on `backbone` whose columns are the classes' mean directions, all times one scale.

    The scale is the one under which training rows, each left out of its own class's mean, are likeliest; validation
    rows are only reported on.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features); it does not move, batch statistics
            included.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and a history of one row: step 0,
        val_accuracy, val_loss.

    Raises:
        BadInput: a class has no training row.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    features = fit.predict(probe.backbone_of(model), data.train.images).astype(np.float64)
    kernel, bias = head(features, data.train.labels, data.n_classes, options.centre)
    model.get_layer("head").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return model, [{"step": 0.0, **fit.evaluate(model, data.validation)}]


def head(features: Matrix, labels: NDArray[np.int64], n_classes: int, centre: bool) -> tuple[Matrix, Matrix]:
    """Kernel (features, classes) and bias (classes,) of the nearest class mean by cosine.

    Raises:
        BadInput: a class has no row.
    """
    counts = np.bincount(labels, minlength=n_classes)
    if not counts.all():
        raise BadInput(f"method prototypes: class {counts.argmin()} has no training picture; one would do")
    mean = features.mean(axis=0) if centre else np.zeros(features.shape[1])
    lengths = np.linalg.norm(features - mean, axis=1)
    unit_length = lengths.mean() + 1e-12
    directions = _unit(features - mean)
    sums = np.eye(n_classes)[labels].T @ directions
    cosines = directions @ _unit(sums).T
    # a row's own class as it looks without the row
    cosines[np.arange(len(labels)), labels] = (directions * _unit(sums[labels] - directions)).sum(axis=1)
    told = counts[labels] > 1
    scale = _likeliest((lengths[:, None] / unit_length * cosines)[told], labels[told]) if told.any() else UNTOLD_SCALE
    kernel = scale / unit_length * _unit(sums).T
    return kernel, -mean @ kernel


def _likeliest(logits: Matrix, labels: NDArray[np.int64]) -> float:
    """The factor on `logits` that gives `labels` the least log loss."""

    def loss(scale: float) -> float:
        shifted = scale * (logits - logits.max(axis=1, keepdims=True))
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]))

    return float(min(SCALES, key=loss))


def _unit(rows: Matrix) -> Matrix:
    scaled: Matrix = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)
    return scaled
