"""The layers of a twin that rounds (see `fake_quant`), made where Keras is at hand."""

import functools
from typing import Any, NamedTuple

import numpy as np

MEMORY = 0.98
"""Of a range, what is kept of it with the next batch."""

LEAST = 1e-8

UNEVEN = 16.0
"""How many times the median the largest weight of some feature has to be for a dense layer to be evened out."""


class Kinds(NamedTuple):
    """Classes of layers.

    Attributes:
        rounded: what a layer passes on, to 8 bits.
        folded: a convolution or dense layer with a rounded kernel, and the normalisation behind it.
        scaled: a normalisation that stands alone.
    """

    rounded: Any
    folded: Any
    scaled: Any


@functools.cache
def kinds() -> Kinds:
    """The same classes at every call."""
    import keras
    import tensorflow as tf

    def affine(norm: Any) -> tuple[Any, Any]:
        """What a normalisation multiplies with and adds, for each channel."""
        factor = 1.0 / tf.sqrt(tf.convert_to_tensor(norm.moving_variance) + norm.epsilon)
        factor = factor if norm.gamma is None else factor * norm.gamma
        offset = -norm.moving_mean * factor
        return factor, offset if norm.beta is None else offset + norm.beta

    class Rounded(keras.layers.Layer):  # type: ignore[misc]
        """To 8 bits by one range, which holds zero."""

        def __init__(self) -> None:
            super().__init__()
            self.low, self.high, self.seen = (
                self.add_weight(shape=(), initializer="zeros", trainable=False) for _ in range(3)
            )

        def call(self, x: Any, training: bool = False) -> Any:
            if training:
                for range_, now in ((self.low, tf.reduce_min(x)), (self.high, tf.reduce_max(x))):
                    mean = MEMORY * range_ + (1.0 - MEMORY) * now
                    range_.assign(tf.stop_gradient(tf.where(self.seen > 0.0, mean, now)))
                self.seen.assign(1.0)
            low, high = tf.minimum(self.low, 0.0), tf.maximum(self.high, LEAST)
            return tf.quantization.fake_quant_with_min_max_vars(x, low, high)

    class Scaled(keras.layers.Layer):  # type: ignore[misc]
        """A normalisation that stands alone: a converter makes a depthwise convolution of it, see `integers`."""

        def __init__(self, norm: Any) -> None:
            super().__init__()
            self.norm = norm

        def call(self, x: Any) -> Any:
            factor, offset = affine(self.norm)
            return x * factor + offset

    class Folded(keras.layers.Layer):  # type: ignore[misc]
        """A convolution or dense layer, with the normalisation behind it if there is one."""

        def __init__(self, layer: Any, norm: Any, bits: int) -> None:
            super().__init__()
            self.layer, self.norm, self.bits = layer, norm, bits
            self.entry = Rounded() if isinstance(layer, keras.layers.Dense) else None
            linear = getattr(layer.activation, "__name__", "linear") == "linear"
            self.takes_norm = norm is None and linear and self.entry is None

        def call(self, x: Any, training: bool = False) -> Any:
            kernel, _, offset = self.folded()
            one, bias = self.layer, self.layer.bias
            if self.entry is not None:
                gain = self.gain()
                y = self.entry(x * gain, training=training) @ self.rounded(kernel / gain[:, None])
            else:
                op = keras.ops.depthwise_conv if self.is_depthwise else keras.ops.conv
                how = {"strides": one.strides, "padding": one.padding, "dilation_rate": one.dilation_rate}
                y = op(x, self.rounded(kernel), data_format=one.data_format, **how)
            y = y + offset if bias is None else y + offset + bias
            return one.activation(y) if one.activation else y

        @property
        def is_depthwise(self) -> bool:
            return isinstance(self.layer, keras.layers.DepthwiseConv2D)

        def folded(self) -> tuple[Any, Any, Any]:
            """The kernel as a converter folds it, by what it was multiplied, and what is added."""
            kernel = tf.convert_to_tensor(self.layer.kernel)
            if self.norm is None:
                return kernel, tf.ones(()), tf.zeros(())
            factor, offset = affine(self.norm)
            if self.layer.bias is not None:
                offset = offset + (factor - 1.0) * self.layer.bias
            by = tf.reshape(factor, kernel.shape[-2:]) if self.is_depthwise else factor
            return kernel * by, by, offset

        def gain(self) -> Any:
            """By which features are multiplied to even a dense layer out; ones where it is even."""
            largest = tf.stop_gradient(tf.reduce_max(tf.abs(tf.convert_to_tensor(self.layer.kernel)), axis=1))
            median = tf.sort(largest)[largest.shape[0] // 2]
            uneven = tf.reduce_max(largest) > UNEVEN * median
            return tf.where(uneven, tf.sqrt(tf.maximum(largest, LEAST)), tf.ones_like(largest))

        def rounded(self, kernel: Any) -> Any:
            flat = tf.reshape(kernel, (-1, kernel.shape[-2] * kernel.shape[-1])) if self.is_depthwise else kernel
            axes = list(range(len(flat.shape) - 1))
            most = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(flat), axis=axes), LEAST))
            rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
                flat, -most, most, num_bits=self.bits, narrow_range=True
            )
            return tf.reshape(rounded, kernel.shape)

        def settle(self) -> None:
            if self.entry is not None and not np.all(self.gain() == 1.0):
                return
            kernel, by, _ = self.folded()
            stays = tf.abs(by) < LEAST  # nothing of it passes
            self.layer.kernel.assign(
                tf.where(stays, self.layer.kernel, self.rounded(kernel) / tf.where(stays, 1.0, by))
            )

    return Kinds(Rounded, Folded, Scaled)
