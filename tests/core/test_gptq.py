"""Weights that make up for one another stand where a converter rounds them to, and cost a layer less."""

import numpy as np
import pytest
from numpy.typing import NDArray

from graft.core import gptq

GENERATOR = np.random.default_rng(0)
WEIGHTS = GENERATOR.normal(size=(90, 7)).astype(np.float32)
TOGETHER = GENERATOR.normal(size=(400, 12)) @ GENERATOR.normal(size=(12, 90)) + GENERATOR.normal(size=(400, 90)) / 10
"""What a layer reads: ninety inputs that a dozen things move."""

COVARIANCE = np.cov(TOGETHER, rowvar=False)


def settled(weights: NDArray[np.float32], covariance: NDArray[np.float64], bits: int) -> NDArray[np.float32]:
    """Of one layer."""
    return gptq.rounded(weights[None], covariance[None], bits)[0]


def nearest(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each by itself, to 127 steps on either side for each output."""
    step = np.maximum(np.abs(weights).max(axis=0) / 127, 1e-30)
    return (np.round(weights / step) * step).astype(np.float32)


def cost(made: NDArray[np.float32], weights: NDArray[np.float32] = WEIGHTS) -> float:
    """Mean square by which the layer's outputs are off."""
    off = (made - weights).astype(np.float64)
    return float(np.trace(off.T @ COVARIANCE @ off))


def is_rounded(made: NDArray[np.float32], weights: NDArray[np.float32], bits: int) -> bool:
    """Whether a converter, which sees `made` alone, would leave it; steps are those of the weights before."""
    if bits == gptq.HALF:
        return np.array_equal(made, made.astype(np.float16).astype(np.float32))
    last = 2 ** (bits - 1) - 1
    whole = made / (np.abs(made).max(axis=0) / last)
    same = np.allclose(np.abs(made).max(axis=0), np.abs(weights).max(axis=0), rtol=1e-6)
    return same and bool(np.abs(whole - np.round(whole)).max() < 1e-4)


@pytest.mark.parametrize("bits", [2, 4, 8, gptq.HALF])
def test_they_are_rounded_and_cost_less_than_the_nearest(bits: int) -> None:
    made = settled(WEIGHTS, COVARIANCE, bits)
    by_itself = settled(WEIGHTS, np.eye(90), bits)
    assert made.dtype == np.float32 and is_rounded(made, WEIGHTS, bits) and is_rounded(by_itself, WEIGHTS, bits)
    assert 0 < cost(made) < 0.5 * cost(by_itself)


def test_inputs_that_move_by_themselves_leave_each_weight_at_the_nearest() -> None:
    variances = np.diag(GENERATOR.uniform(0.1, 10, 90))
    np.testing.assert_allclose(settled(WEIGHTS, variances, 8), nearest(WEIGHTS), rtol=1e-6)


@pytest.mark.parametrize("bits", [4, 8, gptq.HALF])
def test_what_is_rounded_already_stays(bits: int) -> None:
    once = settled(WEIGHTS, np.eye(90), bits)
    np.testing.assert_allclose(settled(once, COVARIANCE, bits), once, rtol=1e-6)


@pytest.mark.parametrize("bits", [8, gptq.HALF])
def test_layers_side_by_side_are_rounded_as_each_alone(bits: int) -> None:
    weights = np.stack([WEIGHTS, 3 * WEIGHTS[::-1]])
    covariances = np.stack([COVARIANCE, np.eye(90)])
    alone = [settled(one, covariance, bits) for one, covariance in zip(weights, covariances, strict=True)]
    np.testing.assert_allclose(gptq.rounded(weights, covariances, bits), np.stack(alone), rtol=1e-6)


def test_outputs_of_zeros_and_inputs_that_never_move_are_no_trouble() -> None:
    weights = WEIGHTS.copy()
    weights[:, 3] = 0.0
    still = COVARIANCE.copy()
    still[5], still[:, 5] = 0.0, 0.0
    made = settled(weights, still, 8)
    assert np.isfinite(made).all() and not made[:, 3].any()
    np.testing.assert_allclose(made[5], nearest(weights)[5], rtol=1e-6)
    np.testing.assert_allclose(settled(weights, np.zeros((90, 90)), 8), nearest(weights), rtol=1e-6)
