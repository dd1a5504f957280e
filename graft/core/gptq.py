"""Weights that are rounded one after the other, each of which makes up for what those before it are off by.

What a layer reads moves together, so that most of what one weight is off by can be had back from others. Rounded in
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


def rounded(weights: NDArray[np.float32], covariance: NDArray[np.float64], bits: int) -> NDArray[np.float32]:
    """The weights of a layer where a converter rounds them to, so that it moves none of them once more.

    Integers have a step for each output, of which the largest weight is the last one, and stays so.

    Args:
        weights: (inputs, outputs).
        covariance: (inputs, inputs), of the inputs: what a bias can make up for does not count.
        bits: of a weight, 2 to 8; `HALF`: float16.
    """
    inputs = len(weights)
    order = np.argsort(-np.diag(covariance), kind="stable")  # those that count most are rounded while all can make up
    left = weights[order].astype(np.float64)
    nearest = _half if bits == HALF else _integers(left, 2 ** (bits - 1) - 1)
    damped = covariance[np.ix_(order, order)] + (DAMPED * np.trace(covariance) / inputs or 1.0) * np.eye(inputs)
    pull = np.linalg.cholesky(np.linalg.inv(damped)).T
    done = np.empty_like(left)
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        off = np.empty((stop - start, left.shape[1]))
        for row in range(start, stop):
            done[row] = nearest(row, left[row])
            off[row - start] = (left[row] - done[row]) / pull[row, row]
            left[row + 1 : stop] -= np.outer(pull[row, row + 1 : stop], off[row - start])
        left[stop:] -= pull[start:stop, stop:].T @ off
    made = np.empty_like(weights)
    made[order] = done
    return made


def _half(row: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.astype(np.float16).astype(np.float64)


def _integers(weights: NDArray[np.float64], steps: int) -> Callable[[int, NDArray[np.float64]], NDArray[np.float64]]:
    """From a row's number and values to the nearest ones; a row that has an output's largest weight keeps that."""
    outputs = np.arange(weights.shape[1])
    largest = np.abs(weights).argmax(axis=0)
    ends = np.sign(weights[largest, outputs]) * steps
    step = np.maximum(np.abs(weights).max(axis=0) / steps, np.finfo(np.float32).tiny)

    def nearest(row: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.clip(np.round(values / step), -steps, steps)
        rounded: NDArray[np.float64] = np.where(largest == row, ends, whole) * step
        return rounded

    return nearest
