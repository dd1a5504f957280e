"""The net that the article prints: Conv32-pool-Conv64-pool-Flatten-Dense64, without its 10-way head."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from graft.core.spec import Spec


class Options(BaseModel):
    """Nothing to choose: the article's sizes are its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(options: Options, spec: Spec, seed: int) -> Any:
    """The article's Sequential CNN up to its last hidden layer.

    Args:
        seed: of the initial weights (Glorot uniform, Keras' default, as in the article).

    Returns:
        keras.Model from (batch, size, size, 3) float32 in [0, 255] to (batch, 64) float32.
    """
    import keras
    from keras import layers

    def initial(index: int) -> Any:
        return keras.initializers.GlorotUniform(seed=seed * 1000 + index)

    inputs = keras.Input(spec.shape, dtype="float32")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(32, 3, activation="relu", kernel_initializer=initial(0))(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, activation="relu", kernel_initializer=initial(1))(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu", kernel_initializer=initial(2))(x)
    return keras.Model(inputs, x, name="backbone")
