"""Discriminative learning rates (Howard & Ruder 2018): the nearer a block is to the pictures, the slower it learns.

Early layers see edges and colours, which any domain has; what they know is worth keeping.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False


class Options(BaseModel):
    """How fast rates fall towards the pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    decay: float = Field(default=0.4, gt=0, le=1, description="rate of a block over that of the next; the paper: 1/2.6")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place: the head at the budget's rate, each block at `decay` times the rate after it.

    The head starts where logistic regression on frozen features ends. Deep nets want a `decay` near 1.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    depths = enumerate(reversed(layers.blocks(backbone)), start=1)
    rates = [(layer, options.decay**depth) for depth, block in depths for layer in block]
    return model, fit.train(model, data, budget, rates=[(model.get_layer("head"), 1.0), *rates])
