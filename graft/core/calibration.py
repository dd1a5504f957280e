"""Probabilities that mean what they say: one temperature, fitted on validation rows (Guo et al. 2017)."""

import numpy as np
from numpy.typing import NDArray

BOUNDS = (0.05, 20.0)
"""A temperature outside of these says more of the rows than of the model."""


def temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The number by which to divide `logits` (n, classes) so that the log loss on `labels` (n,) is least.

    The predicted classes stay what they are. Above 1 the model was too sure of itself, below 1 not sure enough.

    Raises:
        ValueError: there are no rows, the shapes do not fit, or a logit is not finite.
    """
    if len(labels) == 0 or logits.shape[:1] != labels.shape or not np.all(np.isfinite(logits)):
        raise ValueError(f"{labels.shape} labels and {logits.shape} logits, or not numbers, give no temperature")
    from scipy.optimize import minimize_scalar

    wide = logits.astype(np.float64)
    found = minimize_scalar(lambda log: _log_loss(wide / np.exp(log), labels), bounds=np.log(BOUNDS), method="bounded")
    return float(np.exp(found.x))


def _log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())
