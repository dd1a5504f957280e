"""Learn nothing: a backbone that was pretrained elsewhere stays as it came; a random one shows what no transfer gives.

The source's classes are only read off its features (linear probe, Alain & Bengio 2017).
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from graft.core import fit, pretext
from graft.core.budget import Budget
from graft.core.fit import TrainData


class Options(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def pretrain(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Keep `backbone` bit for bit; fit the source's head on its features.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features).

    Returns:
        The source classifier (keras.Model, pictures to logits) around `backbone`, and a history of one row: step 0,
        val_accuracy, val_loss.
    """
    model = pretext.classifier(backbone, data, budget.seed)
    return model, [{"step": 0.0, **fit.evaluate(model, data.validation)}]
