"""Learn the source's own classes: plain cross-entropy, the head thrown away afterwards."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit
from graft.core.budget import Budget
from graft.core.fit import TrainData

BY_ROWS = True
"""The loss is a mean over the pictures of a batch, which may be cut for several devices."""


class Options(BaseModel):
    """How fast the backbone learns from the source."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    learning_rate: float = Field(default=0.003, gt=0, le=1)


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train `backbone` in place to tell the source's classes apart.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features).
        budget: its learning rate is replaced by the option's.

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, and its history (see `fit.train`).
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    history = fit.train(model, data, budget.at(options.learning_rate))
    return model, history
