"""How much training an arm of the comparison may use: the same for all of them."""

import math
from dataclasses import dataclass, field, replace

from graft.core.recipe import Recipe


@dataclass(frozen=True)
class Budget:
    """What one training may spend.

    Attributes:
        steps: gradient steps on the whole network.
        batch_size: pictures per step.
        learning_rate: the peak of the schedule.
        evaluations: how often the validation split is looked at; the best state is kept (early stopping).
        seed: of the initial weights, the order and the augmentation.
        recipe: how the steps are taken.
    """

    steps: int
    batch_size: int
    learning_rate: float
    evaluations: int
    seed: int
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def steps_per_evaluation(self) -> int:
        """Rounded up: what the last stretch has beyond `steps` is trained at rate zero and moves no weight."""
        return math.ceil(self.steps / self.evaluations)

    def at(self, learning_rate: float) -> "Budget":
        """The same budget with another peak learning rate."""
        return replace(self, learning_rate=learning_rate)
