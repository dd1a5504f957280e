"""A small residual convnet with dense 3x3 convolutions: they train far faster on a CPU than depthwise ones."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core.spec import Spec


class Options(BaseModel):
    """Channels of the stem; the three stages have 2, 4 and 7 times as many."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    width: int = Field(default=24, ge=4, le=512, description="channels of the stem")


def build(options: Options, spec: Spec, seed: int) -> Any:
    """A residual net (He et al. 2016, pre-activation form) with batch normalisation and global average pooling.

    Args:
        seed: of the initial weights (He normal).

    Returns:
        keras.Model from (batch, size, size, 3) float32 in [0, 255] to (batch, features) float32.
    """
    import keras
    from keras import layers

    seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def conv(x: Any, filters: int, kernel: int, stride: int = 1) -> Any:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        layer = layers.Conv2D(filters, kernel, stride, "same", use_bias=False, kernel_initializer=initial)
        return layer(x)

    def activate(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    def block(x: Any, filters: int, stride: int) -> Any:
        pre = activate(x)
        changes = stride > 1 or x.shape[-1] != filters
        shortcut = conv(layers.AveragePooling2D(stride)(pre) if stride > 1 else pre, filters, 1) if changes else x
        y = conv(pre, filters, 3, stride)
        y = conv(activate(y), filters, 3)
        return layers.Add()([shortcut, y])

    inputs = keras.Input(spec.shape, dtype="float32")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = conv(x, options.width, 3, 2)
    for times in (2, 4, 7):
        x = block(x, options.width * times, 2)
    x = layers.GlobalAveragePooling2D()(activate(x))
    return keras.Model(inputs, x, name="backbone")
