"""Where a model looked, found by asking it alone: what it answers when a part of the picture is hidden.

Occlusion sensitivity (Zeiler & Fergus 2014). It needs no gradient, so that a TFLite file can be asked.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(n, height, width, 3) uint8 -> probabilities (n, classes) float32."""

CELLS, WIDE = 8, 3
AT_ONCE = 16
LEAST = 1e-4
"""Probabilities are held this far from 0 and 1: beyond it log-odds tell rounding apart, in int8 files above all."""


def maps(
    ask: Ask, sample: NDArray[np.uint8], classes: Sequence[int], cells: int = CELLS, wide: int = WIDE
) -> NDArray[np.float32]:
    """What in a picture speaks for each of some classes: by how much hiding a place lowers the class's log-odds.

    Args:
        ask: the model; asked for `cells` squared pictures and one.
        sample: (size, size, 3) uint8, as the model takes it.
        classes: columns of what `ask` answers.
        cells: places on a side of a map.
        wide: places on a side of what is hidden at once; odd.

    Returns:
        (classes, cells, cells) float32 in [0, 1]; the largest of each is 1, or all are 0 if nothing speaks for it.
    """
    shown = hidden(sample, cells, wide)
    parts = [ask(shown[start : start + AT_ONCE]) for start in range(0, len(shown), AT_ONCE)]
    columns = list(classes)
    whole, left = _odds(ask(sample[None])[:, columns]), _odds(np.concatenate(parts)[:, columns])
    lost = np.maximum(whole - left, 0.0).T.reshape(len(columns), cells, cells)
    tops = lost.max(axis=(1, 2), keepdims=True)
    scaled: NDArray[np.float32] = (lost / np.where(tops > 0, tops, 1.0)).astype(np.float32)
    return scaled


def hidden(sample: NDArray[np.uint8], cells: int, wide: int) -> NDArray[np.uint8]:
    """The picture once for each place, row by row, with `wide` squared cells about the place in its mean colour."""
    edges = np.linspace(0, len(sample), cells + 1).round().astype(int)
    first = edges[np.maximum(np.arange(cells) - wide // 2, 0)]
    last = edges[np.minimum(np.arange(cells) + wide // 2 + 1, cells)]
    shown = np.repeat(sample[None], cells * cells, axis=0)
    mean = sample.mean(axis=(0, 1)).round().astype(np.uint8)
    for number, one in enumerate(shown):
        row, column = divmod(number, cells)
        one[first[row] : last[row], first[column] : last[column]] = mean
    return shown


def _odds(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    held = np.clip(probabilities.astype(np.float64), LEAST, 1 - LEAST)
    odds: NDArray[np.float64] = np.log(held / (1 - held))
    return odds
