"""Linear-probe start, then the whole net (LP-FT, Kumar et al. 2022): a random head would spoil the features first."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False


class Options(BaseModel):
    """Strength of the penalty on the head's weights at the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="inverse of scikit-learn's C")


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
    probe.fit_head(model, data, options.l2)
    return model, fit.train(model, data, budget)
