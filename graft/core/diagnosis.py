"""Why a file does not answer as its model: the usual faults are tried on the model, and the one that fits is named.

A file that swaps red and blue answers what the model answers on pictures whose red and blue are swapped.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ROWS = 128
"""So many pictures tell the faults apart."""

EXPLAINS = 0.9
"""A fault is named if the faulty model and the file agree on so many pictures ..."""

LEFT = 0.5
"""... and no more than this share of the difference between their probabilities is left."""


def _bytes_in(low: float, high: float) -> Callable[[Floats], Floats]:
    """What becomes of [0, 255] where it is taken to [low, high]."""
    return lambda x: np.float32((high - low) / 255) * x + np.float32(low)


def _coarse(x: Floats) -> Floats:
    """Nearest neighbour to half the size and back."""
    return x[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)[:, : x.shape[1], : x.shape[2]]


def _smooth(x: Floats) -> Floats:
    """Means of two by two pixels; an odd edge stays as it is."""
    high, wide = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    blocks = x[:, :high, :wide].reshape(len(x), high // 2, 2, wide // 2, 2, -1).mean(axis=(2, 4))
    whole = x.copy()
    whole[:, :high, :wide] = blocks.repeat(2, axis=1).repeat(2, axis=2)
    return whole


def _cropped(x: Floats) -> Floats:
    """The middle half, each pixel twice: a crop where the whole picture was meant."""
    top, left = x.shape[1] // 4, x.shape[2] // 4
    middle = x[:, top : top + (x.shape[1] + 1) // 2, left : left + (x.shape[2] + 1) // 2]
    return middle.repeat(2, axis=1).repeat(2, axis=2)[:, : x.shape[1], : x.shape[2]]


FAULTS: Mapping[str, Mapping[str, Callable[[Floats], Floats]]] = {
    "preprocessing scale": {
        "with pictures in [0, 1]": _bytes_in(0, 1),
        "with pictures in [-1, 1]": _bytes_in(-1, 1),
        "with bytes taken as signed": _bytes_in(-128, 127),
        "with scaling to [0, 1] left out": _bytes_in(0, 255 * 255),
        "with scaling to [-1, 1] left out": _bytes_in(127.5, 127.5 + 127.5 * 255),
    },
    "channel order": {"with red and blue swapped": lambda x: x[..., ::-1]},
    "resizing": {
        "with every other pixel left out": _coarse,
        "with pictures of half the size": _smooth,
        "with the middle of the pictures alone": _cropped,
        "with height and width swapped": lambda x: x.transpose(0, 2, 1, 3),
    },
}
"""By name and what was done to the pictures, (n, size, size, 3) float32 in [0, 255]."""

LABEL_ORDER = "label order"
RANGE = "quantisation range"


def faulty(predict: Callable[[Floats], Floats], images: NDArray[np.uint8]) -> dict[tuple[str, str], Floats]:
    """What the model would answer on `images` (n, size, size, 3) if a file had a fault, by the fault's name and how.

    Args:
        predict: the model, from float32 pictures in [0, 255] to probabilities (n, classes).
    """
    pictures = np.asarray(images, dtype=np.float32)
    return {
        (name, how): predict(np.ascontiguousarray(change(pictures), dtype=np.float32))
        for name, ways in FAULTS.items()
        for how, change in ways.items()
    }


def likely_cause(answered: Floats, reference: Floats, faults: Mapping[tuple[str, str], Floats]) -> str:
    """The fault that explains a file's answers in a few words, its name first; "" if none of them does.

    Args:
        answered: (n, classes), of the file.
        reference: of the model, on the same pictures.
        faults: of the model with each fault; see `faulty`.
    """
    tried = [(name, how, _apart(answered, other), _agree(answered, other)) for (name, how), other in faults.items()]
    order = _best_order(answered, reference)
    if not np.array_equal(order, np.arange(len(order))):
        moved = answered[:, order]
        tried.append(
            (LABEL_ORDER, "with its labels in another order", _apart(moved, reference), _agree(moved, reference))
        )
    before = _apart(answered, reference)
    name, how, after, agreement = min(tried, key=lambda one: one[2])
    if agreement < max(EXPLAINS, _agree(answered, reference)) or after > LEFT * before:
        return ""
    return f"{name} ({how} they agree on {agreement:.0%})"


def _best_order(answered: Floats, reference: Floats) -> NDArray[np.int64]:
    """The order of the file's columns that comes nearest to the model's (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment

    cost = np.abs(answered[:, :, None] - reference[:, None, :]).mean(axis=0)
    _, column = linear_sum_assignment(cost)
    return np.argsort(column)


def _agree(answered: Floats, reference: Floats) -> float:
    return float((answered.argmax(axis=1) == reference.argmax(axis=1)).mean())


def _apart(answered: Floats, reference: Floats) -> float:
    return float(np.abs(answered - reference).mean())
