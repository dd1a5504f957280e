"""Fine-tune, prune, fine-tune again (Han et al. 2015), by whole channels (Li et al. 2017): a smaller, faster net."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, prune, unlabelled
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False
SMALLER = True


class Options(BaseModel):
    """How much of the net goes, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    share: float = Field(
        default=0.5, ge=0, le=0.95, description="of the channels of each convolution that may lose any"
    )
    own_share: float = Field(default=0.5, gt=0, lt=1, description="of the steps, for the whole net")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probe at the start")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place as by `full`, cut out its least channels, and fine-tune what is left.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier, around a smaller backbone (the same one where no channel may go: what an addition joins
        keeps its width), and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    begun = unlabelled.start(model, data, budget, options.own_share, options.l2)
    smaller = prune.pruned(model, options.share)
    return smaller, begun.followed_by(fit.train(smaller, begun.data, begun.budget))
