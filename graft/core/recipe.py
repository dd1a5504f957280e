"""How a net is trained: optimizer, schedule, regularisation. One recipe serves every arm of a comparison."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

STEP_AT = (0.5, 0.75)
"""The step schedule cuts the rate to a tenth at these shares of the budget."""


class Recipe(BaseModel):
    """What stands under `training` in params.yaml.

    Sources: AdamW (Loshchilov & Hutter 2019); cosine with warm-up (Loshchilov & Hutter 2017, Goyal et al. 2017); label
    smoothing (Szegedy et al. 2016); mixup (Zhang et al. 2018); cutmix (Yun et al. 2019); weight averaging (Polyak &
    Juditsky 1992); group lasso (Yuan & Lin 2006, for channels Wen et al. 2016).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decoupled; kernels only")
    schedule: Literal["cosine", "step", "plateau", "constant"] = "cosine"
    warm_up: float = Field(default=0.1, ge=0, le=0.5, description="share of the steps")
    clip_norm: float = Field(default=0.0, ge=0, le=1e6, description="of all gradients together; 0 is off")
    augment: Literal["standard", "weak", "strong", "none"] = "standard"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of the Beta distribution; 0 is off")
    cutmix: float = Field(default=0.0, ge=0, le=10, description="alpha; with mixup each batch gets one of the two")
    class_weights: Literal["none", "balanced"] = "none"
    ema: float = Field(default=0.0, ge=0, lt=1, description="decay of the averaged weights that are kept; 0 is off")
    group_lasso: float = Field(default=0.0, ge=0, le=10, description="pull of each channel's weights towards zero")
    patience: int = Field(default=0, ge=0, le=10_000, description="evaluations without a better one; 0 never stops")


def rate(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the peak learning rate at `step` (from 0) of `steps`, in [0, 1]: linear warm-up, then the schedule.

    A plateau's cuts come on top (see `loop.run`). Beyond `steps` it is zero.
    """
    warm_up = max(1, round(steps * recipe.warm_up))
    if step >= steps:
        return 0.0
    if step < warm_up:
        return (step + 1) / warm_up
    if recipe.schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
    if recipe.schedule == "step":
        return 0.1 ** sum(step >= share * steps for share in STEP_AT)
    return 1.0


def optimizer(recipe: Recipe, variables: Any) -> Any:
    """A Keras optimizer for `variables`; biases and the scales of normalisations are not decayed."""
    import keras

    decay = recipe.weight_decay or None
    made = (
        keras.optimizers.AdamW(1e-3, weight_decay=recipe.weight_decay)
        if recipe.optimizer == "adamw"
        else keras.optimizers.SGD(1e-3, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay)
    )
    made.exclude_from_weight_decay(var_list=[one for one in variables if len(one.shape) < 2])
    made.build(variables)
    return made
