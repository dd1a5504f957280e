"""Where a model looked, found by asking it alone: what it answers when a part of the picture is hidden.

Occlusion sensitivity (Zeiler & Fergus 2014). It needs no gradient, so that a TFLite file can be asked.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(n, height, width, 3) uint8 -> probabilities (n, classes) float32."""

CELLS = 8
"""Places on a side of a map."""
WIDE = 3
"""Places on a side of what is hidden at once."""
AT_ONCE = 16
LEAST = 1e-4
"""Probabilities are held this far from 0 and 1: beyond it log-odds tell rounding apart, in int8 files above all."""


def maps(ask: Ask, sample: NDArray[np.uint8], classes: Sequence[int]) -> NDArray[np.float32]:
    """What in a picture speaks for each of some classes: by how much hiding a place lowers the class's log-odds.

    Args:
        ask: the model; asked for `CELLS` squared pictures and one.
        sample: (size, size, 3) uint8, as the model takes it.
        classes: columns of what `ask` answers.

    Returns:
        (classes, CELLS, CELLS) float32 in [0, 1]; the largest of each is 1, or all are 0 if nothing speaks for it.
    """
    shown = hidden(sample)
    parts = [ask(shown[start : start + AT_ONCE]) for start in range(0, len(shown), AT_ONCE)]
    columns = list(classes)
    whole, left = _odds(ask(sample[None])[:, columns]), _odds(np.concatenate(parts)[:, columns])
    lost = np.maximum(whole - left, 0.0).T.reshape(len(columns), CELLS, CELLS)
    tops = lost.max(axis=(1, 2), keepdims=True)
    scaled: NDArray[np.float32] = (lost / np.where(tops > 0, tops, 1.0)).astype(np.float32)
    return scaled


def hidden(sample: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture CELLS squared times, a place of WIDE by WIDE cells about each cell hidden under its mean colour."""
    edges = np.linspace(0, len(sample), CELLS + 1).round().astype(int)
    mean = sample.mean(axis=(0, 1)).round().astype(np.uint8)
    shown = np.repeat(sample[None], CELLS * CELLS, axis=0)
    reach = WIDE // 2
    for number, one in enumerate(shown):
        row, column = divmod(number, CELLS)
        first, last = (
            (edges[max(at - reach, 0)] for at in (row, column)),
            (edges[min(at + reach + 1, CELLS)] for at in (row, column)),
        )
        (top, left), (bottom, right) = first, last
        one[top:bottom, left:right] = mean
    return shown


def _odds(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    held = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    odds: NDArray[np.float64] = np.log(held / (1 - held))
    return odds
