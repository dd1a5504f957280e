"""Training that also looks at target pictures without labels: its supervised start, its batches, its teacher."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import batches, fit, layers, probe
from graft.core.budget import Budget
from graft.core.dataset import Augment
from graft.core.errors import BadInput
from graft.core.fit import TrainData
from graft.core.loop import History


def pictures(data: TrainData, method: str) -> NDArray[np.uint8]:
    """The target's pictures without labels.

    Raises:
        BadInput: there are none.
    """
    if data.unlabelled is None or not len(data.unlabelled):
        raise BadInput(
            f"finetune.method {method} learns from target pictures without labels and there are none: "
            "finetune.unlabelled: rest with fewer finetune.labels_per_class would do, or method full"
        )
    return data.unlabelled


def kept(backbone: Any, last_blocks: int) -> list[Any]:
    """Layers of `backbone` before its last blocks, for `layers.frozen`; none if `last_blocks` is 0."""
    return list(chain(*layers.blocks(backbone)[:-last_blocks])) if last_blocks else []


@dataclass(frozen=True)
class Start:
    """What a supervised start did, and what is left to spend."""

    history: History
    data: TrainData
    budget: Budget

    def followed_by(self, history: History) -> History:
        """Both histories as one, the later steps counted on."""
        done = self.history[-1]["step"] if self.history else 0.0
        return self.history + [{**row, "step": row["step"] + done} for row in history]


def start(model: Any, data: TrainData, budget: Budget, share: float, l2: float) -> Start:
    """Train on the labels alone, from a linear probe (see `probe.fit_head`), for `share` of the steps.

    A teacher that knows nothing yet would teach nonsense.
    """
    probe.fit_head(model, data, l2)
    steps = min(round(share * budget.steps), budget.steps - 1)
    if not steps:
        return Start([], data, budget)
    looks = min(max(1, round(share * budget.evaluations)), steps)
    first = replace(budget, steps=steps, evaluations=looks)
    rest = replace(budget, steps=budget.steps - steps, evaluations=max(1, budget.evaluations - looks))
    early = replace(data, progress=lambda done, _: data.progress(done, budget.steps))
    late = replace(data, progress=lambda done, _: data.progress(steps + done, budget.steps))
    return Start(fit.train(model, early, first, phase="start"), late, rest)


def both(
    data: TrainData, images: NDArray[np.uint8], augments: tuple[Augment, ...], sizes: tuple[int, int], seed: int
) -> Callable[[int], Iterable[tuple[Any, ...]]]:
    """For `loop.run`: labelled batches as of `batches.labelled`, then a view of `images` for each of `augments`.

    Args:
        sizes: labelled pictures and pictures without labels a step.
    """
    import tensorflow as tf

    def drawn(start: int) -> Any:
        labelled = batches.labelled(data.train, data.augment, sizes[0], seed, start)
        views = batches.views(images, augments, sizes[1], seed, start)
        return tf.data.Dataset.zip(labelled, views).map(lambda ours, theirs: (*ours, *theirs))

    return drawn


def answers(model: Any, values: Iterable[Any], images: Any) -> Any:
    """Logits of `model` outside training if its variables, in their order, had `values`. No gradient flows back."""
    import keras
    import tensorflow as tf

    with keras.StatelessScope(zip(model.variables, values, strict=True)):
        return tf.stop_gradient(model(images, training=False))
