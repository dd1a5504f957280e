"""A net's twin that answers as its integer file will: same weights, rounded in each step (Jacob et al. 2018).

What a converter folds is folded first, since it is the folded kernel that is rounded: a batch normalisation into the
convolution before it, by its moving statistics, which therefore stand still. Kernels are rounded symmetrically with a
scale for each channel, what layers pass on by one range for each tensor, a moving average of what batches had.
Gradients pass through the rounding as if it were not there, save where a value was cut off.

Neither of the usual tools does this for Keras 3: the TensorFlow Model Optimization toolkit takes Keras 2 models only,
and Keras' own `Model.quantize` (3.15) rounds dense layers and embeddings after training, no convolutions, into kernels
that train no more.
"""

import functools
from typing import Any

from graft.core import layers
from graft.core.fake_quant_layers import Kinds, kinds

KEEPS_RANGE = ("MaxPooling2D", "Flatten", "Reshape", "ZeroPadding2D", "Dropout", "SpatialDropout2D", "UpSampling2D")
"""Layers behind which nothing is rounded anew."""


@functools.lru_cache(maxsize=4)
def twin(model: Any, bits: int) -> Any:
    """A model with the variables of `model`, and ranges of its own, which training moves; see `forget`.

    Args:
        model: functional keras.Model, nested ones included, on (batch, height, width, channels).
        bits: of the kernels of dense convolutions; those of others have 8, as has what passes between layers.
    """
    import keras

    call = functools.partial(_call, kinds(), bits)
    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call, recursive=True)


def forget(twin: Any) -> None:
    """Ranges start anew with the next batch."""
    for one in layers.parts(twin):
        if isinstance(one, kinds().rounded):
            one.seen.assign(0.0)


def settle(twin: Any) -> None:
    """Move every kernel to where it is rounded to, so that a converter that rounds it again changes nothing.

    Kernels of a dense layer that is to be evened out (see `integers`) stay, since their steps depend on themselves.
    """
    for one in layers.parts(twin):
        if isinstance(one, kinds().folded):
            one.settle()


def _call(kinds_: Kinds, bits: int, layer: Any, *args: Any, **kwargs: Any) -> Any:
    import keras

    x = args[0] if args else None
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)):
        dense = isinstance(layer, keras.layers.Conv2D)
        return kinds_.rounded()(kinds_.folded(layer, None, bits if dense else 8)(x))
    if isinstance(layer, keras.layers.BatchNormalization):
        before = _maker(_bare(kinds_, x))
        if isinstance(before, kinds_.folded) and before.takes_norm:
            return kinds_.rounded()(kinds_.folded(before.layer, layer, before.bits)(before.input))
        return kinds_.rounded()(kinds_.scaled(layer)(x))
    if _rectifies(layer):
        return kinds_.rounded()(layer(_bare(kinds_, x)))  # a converter rounds behind it alone
    y = layer(*args, **kwargs)
    return y if type(layer).__name__ in KEEPS_RANGE else kinds_.rounded()(y)


def _maker(x: Any) -> Any:
    return x._keras_history.operation


def _bare(kinds_: Kinds, x: Any) -> Any:
    """`x` before it was rounded."""
    return _maker(x).input if isinstance(_maker(x), kinds_.rounded) else x


def _rectifies(layer: Any) -> bool:
    import keras

    named = getattr(getattr(layer, "activation", None), "__name__", "")
    return isinstance(layer, keras.layers.ReLU) or (isinstance(layer, keras.layers.Activation) and "relu" in named)
