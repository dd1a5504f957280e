"""Linear-probe start, then the whole net (LP-FT, Kumar et al. 2022): a random head would spoil the features first.

Batch norms may be frozen: statistics of a few small batches differ so much from those that inference uses that a net
may collapse (Singh & Shrivastava 2019), and few rows give few batches.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False


class Options(BaseModel):
    """Where the head starts, and what becomes of batch normalisation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    start: Literal["probe", "random"] = Field(default="probe", description="the head: logistic regression, or random")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")
    batch_norm: Literal["train", "frozen"] = Field(default="train", description="statistics and scales")


def keeps(options: Options, backbone: Any) -> list[Any]:
    """Variables of `backbone` that do not move."""
    norms = layers.batch_norms(backbone) if options.batch_norm == "frozen" else []
    return [variable for norm in norms for variable in norm.weights]


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place with its head, which starts where logistic regression on frozen features ends.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    if options.start == "probe":
        probe.fit_head(model, data, options.l2)
    with layers.frozen(layers.batch_norms(backbone) if options.batch_norm == "frozen" else []):
        return model, fit.train(model, data, budget)
