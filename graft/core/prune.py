"""Structured magnitude pruning: of each convolution whose channels may go, those that matter least.

Whole channels, since no runtime multiplies fewer numbers for single weights that are zero. What a channel passes on is
about its scale after normalisation (Liu et al. 2017) times the size of the kernel that reads it (Li et al. 2017 take
that of the kernel that makes it, which a normalisation behind it undoes).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.core import compact
from graft.core.compact import Chain


def pruned(model: Any, share: float) -> Any:
    """A smaller model, which answers as `model` would with those channels at zero; `model` itself if none can go.

    Args:
        model: see `compact.compacted`; it stays as it is.
        share: of each convolution's channels, in [0, 1); one is left at least.
    """
    names = [layer.name for layer in model.layers]
    before = model.get_weights()
    for chain in compact.chains(model.get_layer("backbone") if "backbone" in names else model):
        _silence(chain, least(importance(chain), share))
    smaller = compact.compacted(model)
    model.set_weights(before)
    return smaller


def importance(chain: Chain) -> NDArray[np.float64]:
    """(channels,) how much each gives to what reads it; 0 is nothing."""
    kernel = np.asarray(chain.consumer.kernel, np.float64)
    channels = int(chain.producer.filters)
    read = kernel.reshape(-1, channels, kernel.shape[-1])
    given: NDArray[np.float64] = np.sqrt((read**2).sum(axis=(0, 2)))
    norms = [layer for layer in chain.passes if _is_norm(layer) and layer.gamma is not None]
    if norms:
        scale: NDArray[np.float64] = np.abs(np.asarray(norms[-1].gamma, np.float64))
    else:
        scale = np.sqrt((np.asarray(chain.producer.kernel, np.float64).reshape(-1, channels) ** 2).sum(axis=0))
    return given * scale


def least(values: NDArray[np.float64], share: float) -> NDArray[np.bool]:
    """(channels,) True for the smallest of them, the first of equals: `share` of all, rounded down."""
    order = np.argsort(values, kind="stable")
    found = np.zeros(len(values), bool)
    found[order[: min(int(share * len(values)), len(values) - 1)]] = True
    return found


def _silence(chain: Chain, off: NDArray[np.bool]) -> None:
    """Turn channels to zero, from the convolution through all that they pass."""
    for layer in (chain.producer, *chain.passes):
        if _is_norm(layer):
            scales = [one for one in (layer.gamma, layer.beta) if one is not None]
        else:
            scales = [one for one in (getattr(layer, "kernel", None), getattr(layer, "bias", None)) if one is not None]
        for one in scales:
            across = off[:, None] if one.ndim == 4 and one.shape[-1] != len(off) else off  # a depthwise kernel
            one.assign(np.where(across, 0.0, np.asarray(one)))


def _is_norm(layer: Any) -> bool:
    import keras

    return type(layer) is keras.layers.BatchNormalization
