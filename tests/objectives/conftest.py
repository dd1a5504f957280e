"""The least net that has a map, batch statistics and a vector at the end: it is traced in no time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graft.core import vary
from graft.core.dataset import Split
from graft.core.fit import TrainData


@pytest.fixture
def tiny() -> Callable[[int], Any]:
    def build(seed: int) -> Any:
        import keras

        inputs = keras.Input((16, 16, 3))
        x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
        x = keras.layers.Conv2D(6, 3, 4, "same", kernel_initializer=keras.initializers.HeNormal(seed=seed))(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="backbone")

    return build


@pytest.fixture
def data() -> TrainData:
    """Three classes by colour."""
    generator = np.random.default_rng(0)
    labels = np.arange(36) % 3
    images = generator.integers(0, 120, (36, 16, 16, 3), dtype=np.uint8)
    images[np.arange(36), 4:12, 4:12, labels] = 230
    split = Split(images, labels)
    return TrainData(split, split.take(np.arange(12)), 3, vary.none)
