"""Fine-tune, then go on with weights and activations rounded as a file of integers will round them (Jacob et al. 2018).

The net learns where rounding hurts least, and its kernels end on the very numbers that the file can hold. Batch
normalisation stands still while it learns that, as Krishnamoorthi (2018) advises for the end of such a training. How
rounding is done, and why no library serves: `graft/core/fake_quant.py`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fake_quant, fit, layers, unlabelled
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False
SMALLER = True


class Options(BaseModel):
    """How finely is rounded, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    bits: Literal[4, 8] = Field(default=8, description="of dense convolutions' weights: 8 for int8, 4 for int4 files")
    own_share: float = Field(default=0.5, gt=0, lt=1, description="of the steps, without any rounding")
    last_blocks: int = Field(default=0, ge=0, description="only so many blocks next to the head learn; 0 is all")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the linear probe at the start")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place as by `full` (or `last_blocks`), then with rounding.

    All kernels end as they are rounded, also those of blocks that do not learn.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier, an ordinary one without any rounding inside, around `backbone`; and its history (see
        `fit.train`), whose later rows tell of the net with rounding.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    with layers.frozen(unlabelled.kept(backbone, options.last_blocks)):
        begun = unlabelled.start(model, data, budget, options.own_share, options.l2)
        rounded = fake_quant.twin(model, options.bits)
        fake_quant.forget(rounded)
        history = begun.followed_by(fit.train(rounded, begun.data, begun.budget, phase="rounded"))
    fake_quant.settle(rounded)
    return model, history
