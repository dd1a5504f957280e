"""Fine-tune the last blocks and the head, keep the rest (Yosinski et al. 2014; chosen by shift, Lee et al. 2023).

What is kept need not be run again for each step: with `cached_views`, so many variations of each training picture
are taken through the kept part once, and the blocks learn from those.
"""

from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False


class Options(BaseModel):
    """How much of the net learns."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    blocks: int = Field(default=2, ge=1, le=1000, description="that learn; the whole net if it has no more")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move, batch statistics included."""
    return [variable for layer in _kept(options, backbone) for variable in layer.weights]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune the last blocks of `backbone` in place with the head, which starts as a linear probe.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    with layers.frozen(_kept(options, backbone)):
        return model, fit.train(model, data, budget)


def _kept(options: Options, backbone: Any) -> list[Any]:
    """Layers with weights before the last blocks."""
    return list(chain(*layers.blocks(backbone)[: -options.blocks]))
