"""Weights that are rounded one after the other, each of which makes up for what those before it are off by.

What a layer reads moves together, so that much of what one weight is off by can be had back from others. Rounded in
turn, with what is left moved to where the layer's output is off the least, they lose less than each rounded by itself
(GPTQ, Frantar et al. 2023, after the optimal brain surgeon of Hassibi & Stork 1993).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

HALF = 16
"""Bits that stand for float16 and not for integers."""

DAMPED = 0.01
"""Of the mean variance of the inputs, added to each, as in the paper: samples are few."""

BLOCK = 64
"""Weights after which all others are moved at once, as the paper does for speed."""

Nearest = Callable[[int, NDArray[np.float64]], NDArray[np.float64]]
"""From the number of an input and its weights (layers, outputs) to those that they are rounded to."""


def rounded(weights: NDArray[np.float32], covariance: NDArray[np.float64], bits: int) -> NDArray[np.float32]:
    """The weights of layers where a converter rounds them to, so that it moves none of them once more.

    Integers have a step for each output, of which the largest weight is the last one, and stays so.

    Args:
        weights: (layers, inputs, outputs); each layer's make up for its own alone.
        covariance: (layers, inputs, inputs), of the inputs: what a bias can make up for does not count.
        bits: of a weight, 2 to 8; `HALF`: float16.
    """
    inputs = weights.shape[1]
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    order = np.argsort(-variances, axis=1, kind="stable")  # those that count most while all others can make up for it
    left = np.take_along_axis(weights, order[..., None], axis=1).astype(np.float64)
    nearest = _half if bits == HALF else _integers(left, 2 ** (bits - 1) - 1)
    pull = _pull(np.take_along_axis(np.take_along_axis(covariance, order[..., None], 1), order[:, None], 2))
    done = np.empty_like(left)
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        off = np.empty((len(left), stop - start, left.shape[2]))
        for row in range(start, stop):
            done[:, row] = nearest(row, left[:, row])
            off[:, row - start] = (left[:, row] - done[:, row]) / pull[:, row, row, None]
            left[:, row + 1 : stop] -= pull[:, row, row + 1 : stop, None] * off[:, row - start, None]
        left[:, stop:] -= pull[:, start:stop, stop:].transpose(0, 2, 1) @ off
    made = np.empty_like(weights)
    np.put_along_axis(made, order[..., None], done.astype(weights.dtype), axis=1)
    return made


def _pull(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(layers, inputs, inputs) upper triangles: how much of an error of one input others take over."""
    inputs = covariance.shape[1]
    spread = DAMPED * np.trace(covariance, axis1=1, axis2=2) / inputs
    damped = covariance + np.where(spread > 0, spread, 1.0)[:, None, None] * np.eye(inputs)
    pull: NDArray[np.float64] = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    return pull


def _half(row: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float16).astype(np.float64)


def _integers(weights: NDArray[np.float64], steps: int) -> Nearest:
    """A row that has an output's largest weight keeps that."""
    largest = np.abs(weights).argmax(axis=1)
    most = np.take_along_axis(weights, largest[:, None], axis=1)[:, 0]
    step = np.maximum(np.abs(most) / steps, np.finfo(np.float32).tiny)

    def nearest(row: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.clip(np.round(values / step), -steps, steps)
        rounded: NDArray[np.float64] = np.where(largest == row, np.sign(most) * steps, whole) * step
        return rounded

    return nearest
