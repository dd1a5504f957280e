"""Keep the backbone as it is and learn a linear head on its features (Alain & Bengio 2017)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = True


class Options(BaseModel):
    """Strength of the penalty on the head's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    l2: float = Field(default=1.0, gt=0, le=1e6, description="inverse of scikit-learn's C")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Put the head that logistic regression finds on the frozen features on `backbone`.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features); it does not move, batch statistics
            included.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone`, and a history of one row: step 0,
        val_accuracy, val_loss.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    return model, [{"step": 0.0, **fit.evaluate(model, data.validation)}]
