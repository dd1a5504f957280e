"""Whichever method does best in cross-validation on the training rows (Stone 1974), for a stated share of the steps."""

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from graft.core import plugins
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.errors import BadInput, GateRefused
from graft.core.fit import TrainData
from graft.core.folds import folds
from graft.core.sections import Choice

FREEZES_BACKBONE = False
USES_UNLABELLED = True
NAME = "auto"


class Options(BaseModel):
    """Between which methods to choose, and what the choice may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    candidates: tuple[str, ...] = Field(("linear_probe", "full", "discriminative"), min_length=2, max_length=16)
    folds: int = Field(default=2, ge=2, le=10)
    share: float = Field(default=0.5, gt=0, lt=1, description="of the steps, for choosing; the rest trains")

    @field_validator("candidates", mode="before")
    @classmethod
    def _list_to_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("candidates")
    @classmethod
    def _others(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if NAME in value or len(set(value)) < len(value):
            raise ValueError(f"should name each method once, and not {NAME}")
        return value


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Train every candidate on every fold, each as long as any other, then the best one on all training rows.

    Where a class has fewer rows than there are folds, the validation rows choose.

    Args:
        backbone: keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The chosen method's classifier and history; each row also has `cv_<method>`: its accuracy in cross-validation.

    Raises:
        BadInput: there is no method of a candidate's name, or the steps do not suffice.
        GateRefused: every candidate diverged, or the chosen one did.
    """
    start = backbone.get_weights()
    methods = {name: plugins.resolve("graft.methods", Choice(name=name), "candidates") for name in options.candidates}
    parts = _parts(options, data, budget.seed)
    each = round(budget.steps * options.share) // (len(methods) * len(parts))
    if not each:
        raise BadInput(
            f"finetune.steps is {budget.steps}; {len(methods)} candidates on {len(parts)} folds in "
            f"{options.share:.0%} of them would do no step: more steps or fewer candidates would do"
        )

    def accuracy(name: str, fold: int) -> float:
        seen = replace(
            data,
            train=parts[fold][0],
            validation=parts[fold][1],
            progress=lambda done, total: None,
            checkpoint=data.phase(f"{name}-{fold}"),
        )
        backbone.set_weights(start)
        method = methods[name]
        spent = replace(budget, steps=each, evaluations=min(budget.evaluations, each))
        try:
            _, history = method.module.adapt(method.options, backbone, seen, spent)
        except GateRefused:
            return 0.0
        return float(max(row["val_accuracy"] for row in history))

    found = {f"cv_{name}": float(np.mean([accuracy(name, fold) for fold in range(len(parts))])) for name in methods}
    chosen = methods[max(methods, key=lambda name: found[f"cv_{name}"])]
    backbone.set_weights(start)
    rest = replace(budget, steps=budget.steps - each * len(methods) * len(parts))
    model, history = chosen.module.adapt(chosen.options, backbone, replace(data, checkpoint=data.phase("chosen")), rest)
    return model, [row | found for row in history]


def _parts(options: Options, data: TrainData, seed: int) -> list[tuple[Split, Split]]:
    try:
        drawn = folds(data.train.labels, data.train.units, options.folds, seed)
    except BadInput:
        return [(data.train, data.validation)]
    return [(data.train.take(mine), data.train.take(held_out)) for mine, held_out in drawn]
