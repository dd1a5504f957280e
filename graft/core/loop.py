"""The one training loop: whatever is learned, it is stepped, watched, stopped, averaged and resumed here.

A training that is killed goes on from its last checkpoint and ends with the weights that it would have had: batches are
drawn by the number of their step, and all that moves is in the checkpoint.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import parallel, resume, steps, structure
from graft.core.budget import Budget
from graft.core.dataset import Progress
from graft.core.errors import GateRefused
from graft.core.recipe import Recipe, optimizer, rate
from graft.core.resume import Checkpoint

SAVED_EVERY_S = 10.0
PLATEAU_PATIENCE, PLATEAU_FACTOR = 2, 0.3

History = list[dict[str, float]]
Loss = Callable[..., tuple[Any, dict[str, Any]]]
"""What a batch's tensors cost: (scalar, what else to tell of the batch by name, scalars). Runs inside a graph."""


@dataclass(frozen=True)
class Group:
    """Variables that learn at `rate` times the budget's learning rate."""

    variables: Sequence[Any]
    rate: float = 1.0


class Learner:
    """What learns, with its optimizers and its traced step; may be trained again, from anew each time.

    Args:
        model: what is evaluated, and left at its best.
        loss: called with a batch's tensors; it calls `model` with training=True itself.
        groups: what gradients move; all trainable weights of `model` unless given.
        more: variables beside the model's own that are part of the state: a teacher's, a projection head's.
        after: what else moves after a step, inside the graph.
        whole: what is made of a batch before `loss` sees it, with a row a picture in each tensor; then `loss` is called
            with those, is a mean over rows, and batches can be cut. None: `loss` needs the batch as it is.

    Raises:
        BadInput: the way in use cuts batches, and `whole` is None.
    """

    def __init__(
        self,
        model: Any,
        loss: Loss,
        recipe: Recipe,
        groups: Sequence[Group] = (),
        more: Sequence[Any] = (),
        after: Callable[[], None] = lambda: None,
        whole: Callable[..., tuple[Any, ...]] | None = None,
    ) -> None:
        import tensorflow as tf

        self.model, self.recipe, self.way = model, recipe, parallel.in_use()
        self._groups = [one for one in groups or (Group(model.trainable_variables),) if one.variables]
        self._optimizers = [self.way.summed(optimizer(recipe, one.variables)) for one in self._groups]
        self._moved = [variable for one in self._groups for variable in one.variables]
        own, learns = ({id(variable) for variable in some} for some in (model.variables, self._moved))
        self._channels = [one for one in structure.groups(model) if {id(variable) for variable in one} <= learns]
        self.average = [tf.Variable(tf.convert_to_tensor(one)) for one in model.variables] if recipe.ema else []
        self._after = after
        step = steps.Step(self.way, loss, whole, self._moved, self._apply)
        strangers = {id(one): one for one in (*self._moved, *more, *step.state) if id(one) not in own}
        self._more = list(strangers.values())
        self.step, self._begin_step = step.traced(model), step.begin

    def _apply(self, gradients: Sequence[Any]) -> None:
        """Move all that a step moves, inside the graph."""
        import tensorflow as tf

        recipe = self.recipe
        if recipe.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, recipe.clip_norm)
        rest = list(gradients)
        for group, by in zip(self._groups, self._optimizers, strict=True):
            mine, rest = rest[: len(group.variables)], rest[len(group.variables) :]
            by.apply(mine, group.variables)
        if recipe.group_lasso:
            structure.shrink(self._channels, recipe.group_lasso * self._optimizers[0].learning_rate)
        self._after()
        for mean, now in zip(self.average, self.model.variables, strict=False):
            new = tf.convert_to_tensor(now)
            # a sum of two shares would round what is frozen
            mean.assign(new if mean.dtype.is_integer else mean + (1.0 - recipe.ema) * (new - mean))

    def begin(self) -> None:
        """Optimizers that have seen nothing; averages that start where the model stands."""
        for by in self._optimizers:
            for variable in by.variables:
                variable.assign(np.zeros(variable.shape, variable.dtype))
        for mean, now in zip(self.average, self.model.variables, strict=False):
            mean.assign(now)
        self._begin_step()

    def at(self, learning_rate: float) -> None:
        """Set the learning rate of the next step."""
        for group, by in zip(self._groups, self._optimizers, strict=True):
            by.learning_rate = learning_rate * group.rate

    @property
    def learning_rate(self) -> Any:
        """Of the first group at the present step, for what moves `after` it."""
        return self._optimizers[0].learning_rate

    @property
    def state(self) -> list[Any]:
        """All variables that a step may move."""
        by = [variable for one in self._optimizers for variable in one.variables]
        return [*self.model.variables, *self._more, *by, *self.average]

    def swap(self) -> None:
        """The averaged weights in, the learning ones out; and back."""
        for mean, now in zip(self.average, self.model.variables, strict=False):
            held = now.numpy()
            now.assign(mean)
            mean.assign(held)


def by_accuracy(row: dict[str, float]) -> tuple[float, ...]:
    """The better the higher: validation accuracy; the lower loss breaks ties."""
    return row["val_accuracy"], -row["val_loss"]


def run(
    learner: Learner,
    batches: Callable[[int], Iterable[tuple[Any, ...]]],
    evaluate: Callable[[], dict[str, float]],
    budget: Budget,
    progress: Progress = lambda done, total: None,
    checkpoint: Checkpoint | None = None,
    rank: Callable[[dict[str, float]], tuple[float, ...]] = by_accuracy,
) -> History:
    """Train `learner` and leave its model at the evaluation that ranks highest.

    Args:
        batches: from a step (counted from 0) on, without end; the same step gives the same batch, in every process.
        evaluate: what is told of the model as it stands, `val_accuracy` and `val_loss` for `by_accuracy`.
        checkpoint: where the state is kept every few seconds; what is there already is taken up. A training that
            had ended is not run again. Of several processes the chief reads and writes it, and tells the others.

    Returns:
        One row per evaluation: step, the means since the last one, what `evaluate` told.

    Raises:
        GateRefused: the loss became NaN or infinite.
    """
    learner.begin()
    run = _Run(learner, rank)
    keeps = checkpoint if learner.way.chief else None
    if checkpoint and run.take_up(checkpoint):
        progress(min(run.step, budget.steps), budget.steps)
    last, saved = budget.steps_per_evaluation * math.ceil(budget.steps / budget.steps_per_evaluation), time.monotonic()
    source = iter(batches(run.step)) if run.step < last and not run.done else iter(())
    while run.step < last and not run.done:
        learner.at(budget.learning_rate * rate(run.step, budget.steps, learner.recipe) * run.cut)
        run.count(learner.step(*next(source)), budget)
        if run.step % budget.steps_per_evaluation == 0:
            run.look(evaluate, min(run.step, budget.steps))
            progress(min(run.step, budget.steps), budget.steps)
        if keeps and time.monotonic() - saved > SAVED_EVERY_S:
            run.save(keeps)
            saved = time.monotonic()
    run.finish()
    if keeps:
        run.save(keeps)
    return run.history


class _Run:
    """How far a training is, and the best that it saw."""

    def __init__(self, learner: Learner, rank: Callable[[dict[str, float]], tuple[float, ...]]) -> None:
        self._learner, self._rank = learner, rank
        self.step, self.cut, self.done = 0, 1.0, False
        self.history: History = []
        self._sums: dict[str, float] = {}
        self._counted = 0
        self._best: list[NDArray[Any]] = []
        self._best_row, self._since = -1, 0

    def count(self, result: tuple[Any, dict[str, Any]], budget: Budget) -> None:
        cost, told = result
        for name, value in {"loss": cost, **told}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self.step += 1
        self._counted += 1
        if not math.isfinite(self._sums["loss"]):
            raise GateRefused(
                f"training diverged at step {self.step}: the loss became {float(cost)} at learning rate "
                f"{budget.learning_rate}; a lower rate would do"
            )

    def look(self, evaluate: Callable[[], dict[str, float]], step: int) -> None:
        """Evaluate, keep the best state, cut the rate on a plateau, stop where patience ends."""
        means = {name: total / self._counted for name, total in self._sums.items()}
        self._sums, self._counted = {}, 0
        self._learner.swap()
        # each looks, for what looking moves; what the chief saw counts
        self.history.append({"step": float(step), **means, **self._learner.way.agreed_on(evaluate())})
        if self._best_row < 0 or self._rank(self.history[-1]) > self._rank(self.history[self._best_row]):
            self._best_row, self._since = len(self.history) - 1, 0
            self._best = [variable.numpy() for variable in self._learner.model.variables]
        else:
            self._since += 1
        self._learner.swap()
        recipe = self._learner.recipe
        if recipe.schedule == "plateau" and self._since and self._since % PLATEAU_PATIENCE == 0:
            self.cut *= PLATEAU_FACTOR
        self.done = bool(recipe.patience) and self._since >= recipe.patience

    def finish(self) -> None:
        for variable, value in zip(self._learner.model.variables, self._best, strict=True):
            variable.assign(value)
        self.done = True

    def save(self, checkpoint: Checkpoint) -> None:
        facts = {
            name.lstrip("_"): getattr(self, name)
            for name in ("step", "cut", "done", "history", "_sums", "_counted", "_best_row", "_since")
        }
        checkpoint.save(facts, {"state": [one.numpy() for one in self._learner.state], "best": self._best})

    def take_up(self, checkpoint: Checkpoint) -> bool:
        """Go on where the checkpoint stands; False if there is none that fits."""
        way = self._learner.way
        held = resume.unpacked(way.agreed(checkpoint.raw() if way.chief else b"")) if way.several else checkpoint.load()
        if not held:
            return False
        facts, groups = held
        now, state, best = self._learner.state, groups.get("state", []), groups.get("best", [])
        if [one.shape for one in state] != [tuple(one.shape) for one in now]:
            return False
        for variable, value in zip(now, state, strict=True):
            variable.assign(value)
        self.step, self.cut, self.done = facts["step"], facts["cut"], facts["done"]
        self.history, self._sums, self._counted = facts["history"], facts["sums"], facts["counted"]
        self._best, self._best_row, self._since = best, facts["best_row"], facts["since"]
        return True
