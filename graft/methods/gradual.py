"""Gradual unfreezing (Howard & Ruder 2018): the head first, then more and more blocks from the head down."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import fit, layers, loop, probe
from graft.core.budget import Budget
from graft.core.fit import TrainData

FREEZES_BACKBONE = False


class Options(BaseModel):
    """In how many stages the net is unfrozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    stages: int = Field(default=3, ge=1, le=100, description="at most one for each block; the last is the whole net")
    last_share: float = Field(default=0.5, gt=0, le=1, description="share of the steps that the whole net gets")
    l2: float = Field(default=1.0, gt=0, le=1e6, description="of the probe; inverse of scikit-learn's C")


def adapt(options: Options, backbone: Any, data: TrainData, budget: Budget) -> tuple[Any, list[dict[str, float]]]:
    """Fine-tune `backbone` in place, in stages that share the budget's steps, each with a schedule of its own.

    The head is learned first, by logistic regression on frozen features. What is frozen keeps its batch statistics.

    Args:
        backbone: functional keras.Model, float32 pictures in [0, 255] to (batch, features), pretrained.

    Returns:
        The target classifier (keras.Model, pictures to logits) around `backbone` at the best evaluation of all stages,
        and its history (see `fit.train`).

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    model = fit.classifier(backbone, data.n_classes, budget.seed)
    probe.fit_head(model, data, options.l2)
    blocks = layers.blocks(backbone)
    shares = list(_shares(budget, min(options.stages, len(blocks), budget.steps), options.last_share))
    history: list[dict[str, float]] = []
    best: tuple[tuple[float, ...], list[Any]] = ((), [])
    for number, share in enumerate(shares, start=1):
        done = sum(one.steps for one in shares[: number - 1])
        still = blocks[: len(blocks) - math.ceil(number * len(blocks) / len(shares))]
        with layers.frozen(chain(*still)):
            rows = fit.train(model, _told(data, done, budget.steps), share, phase=f"stage{number}")
        history += [{**row, "step": row["step"] + done} for row in rows]
        best = max(best, (max(map(loop.by_accuracy, rows)), model.get_weights()), key=lambda one: one[0])
    model.set_weights(best[1])
    return model, history


def _shares(budget: Budget, stages: int, last_share: float) -> Iterator[Budget]:
    """The budget of each stage; each draws its batches in an order of its own."""
    early = max(1, int(budget.steps * (1.0 - last_share) / max(1, stages - 1)))
    for number in range(stages):
        steps = early if number < stages - 1 else budget.steps - early * (stages - 1)
        evaluations = max(1, round(budget.evaluations * steps / budget.steps))
        yield replace(budget, steps=steps, evaluations=evaluations, seed=budget.seed + 1_000_003 * number)


def _told(data: TrainData, done: int, total: int) -> TrainData:
    """The same data; progress counts the steps of the stages before."""
    return replace(data, progress=lambda now, _: data.progress(done + now, total))
