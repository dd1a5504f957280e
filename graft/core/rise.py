"""Where a model looked, found by asking it alone: what it answers when parts of the picture are hidden.

RISE (Petsiuk et al. 2018): random soft masks hide about half of the picture each; a place speaks for a class as far as
the class is more probable where the place is shown. It needs no gradient, so that a TFLite file can be asked.
`benchmarks.maps` measured it against occlusion with a moving patch (Zeiler & Fergus 2014).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(n, height, width, 3) uint8 -> probabilities (n, classes) float32."""

MASKS = 128
CELLS = 7
"""On a side of a mask, each shown or hidden."""
PLACES = 16
"""On a side of a map."""
AT_ONCE = 8
LEAST = 1e-9
"""Where showing a place goes with less than this, the rest is rounding."""


def maps(
    ask: Ask, sample: NDArray[np.uint8], classes: Sequence[int], masks: int = MASKS, seed: int = 0
) -> NDArray[np.float32]:
    """What in a picture speaks for each of some classes.

    Args:
        ask: the model; asked about `masks` pictures.
        sample: (size, size, 3) uint8 with a size of at least PLACES, as the model takes it.
        classes: columns of what `ask` answers.

    Returns:
        (classes, PLACES, PLACES) float32 in [0, 1]; the largest of each is 1, or all are 0 if nothing speaks for it.
    """
    generator, columns = np.random.default_rng(seed), list(classes)
    shown, answers = [], []
    for start in range(0, masks, AT_ONCE):
        drawn = [mask(generator, len(sample)) for _ in range(min(AT_ONCE, masks - start))]
        shown += [_small(one) for one in drawn]
        answers.append(ask(np.stack([hidden(sample, one) for one in drawn]))[:, columns])
    covariance = _covariance(np.concatenate(answers).astype(np.float64), np.stack(shown).astype(np.float64))
    tops = covariance.max(axis=(1, 2), keepdims=True)
    scaled = np.where(tops > LEAST, np.maximum(covariance, 0.0) / np.where(tops > LEAST, tops, 1.0), 0.0)
    return scaled.astype(np.float32)


def mask(generator: np.random.Generator, size: int) -> NDArray[np.float32]:
    """(size, size) float32 in [0, 1], 1 is shown: a coarse grid of coin tosses, softened and shifted."""
    large = (CELLS + 1) * -(-size // CELLS)
    coarse = (generator.random((CELLS + 1, CELLS + 1)) < 0.5).astype(np.float32)
    top, left = generator.integers(0, large - size + 1, 2)
    soft = np.asarray(Image.fromarray(coarse).resize((large, large), Image.Resampling.BILINEAR))
    return soft[top : top + size, left : left + size]


def hidden(sample: NDArray[np.uint8], shown: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture (size, size, 3) uint8 where `shown` (size, size) is 1, its mean colour where that is 0."""
    mean = sample.mean(axis=(0, 1), dtype=np.float32)
    mixed: NDArray[np.uint8] = (mean + shown[..., None] * (sample - mean)).round().astype(np.uint8)
    return mixed


def _small(shown: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(shown).resize((PLACES, PLACES), Image.Resampling.BOX))


def _covariance(answers: NDArray[np.float64], shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """(classes, PLACES, PLACES), of how probable a class is and how far a place is shown, over the masks."""
    found: NDArray[np.float64] = np.einsum("nc,nhw->chw", answers - answers.mean(axis=0), shown - shown.mean(axis=0))
    return found / len(shown)
