"""May this release move on? Judged by what its receipt says was measured, against what it would replace."""

from typing import Any

from graft.core.errors import BadInput
from graft.hub.receipt import Receipt

LIMITS = ("max_drop_points", "min_gain_points")


def refusals(new: Receipt, standing: Receipt | None) -> list[str]:
    """Why `new` may not take the place of `standing` (None: nothing stands there), a line each; none if it may.

    Raises:
        BadInput: the receipt lacks what the gate reads.
    """
    reasons, limits = [], new.contents.gate
    gain = _number(new, "evaluation", "gain", "seen", "points")
    if gain < limits["min_gain_points"]:
        reasons.append(
            f"reuse gains {gain:+z.1f} points over training from scratch; publish.min_gain_points was "
            f"{limits['min_gain_points']:g}"
        )
    if standing:
        drop = 100.0 * (accuracy(standing) - accuracy(new))
        if drop > limits["max_drop_points"]:
            reasons.append(
                f"its file is {drop:.1f} points less accurate than {standing.version} "
                f"({accuracy(new):.1%} against {accuracy(standing):.1%}); publish.max_drop_points was "
                f"{limits['max_drop_points']:g}"
            )
    return reasons


def accuracy(receipt: Receipt) -> float:
    """Of the file that runs by default, on every test picture, in [0, 1]."""
    return _number(receipt, "export", "files", receipt.contents.model.file, "accuracy")


def _number(receipt: Receipt, *path: str) -> float:
    value: Any = receipt.contents.metrics
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"the receipt of {receipt.name}@{receipt.version} has no metrics.{'.'.join(path)}")
    return float(value)
