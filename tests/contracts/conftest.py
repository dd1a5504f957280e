"""Tiny and real: thirty-two pixels, a narrow net, pictures that differ by colour and place."""

import numpy as np
import pytest

from graft.core import vary
from graft.core.dataset import Split
from graft.core.fit import TrainData
from graft.core.spec import Spec

SPEC = Spec(size_px=32)


def pictures(n: int, n_classes: int, seed: int) -> Split:
    """Bright squares on noise, a place and a colour for each class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    images = generator.integers(0, 60, (n, 32, 32, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        x, y = 4 + 14 * (label % 2), 4 + 14 * (label // 2 % 2)
        images[row, y : y + 10, x : x + 10, label % 3] = 230
    return Split(images, labels.astype(np.int64))


@pytest.fixture(scope="session")
def spec() -> Spec:
    return SPEC


@pytest.fixture(scope="session")
def data() -> TrainData:
    return TrainData(pictures(64, 4, 0), pictures(32, 4, 1), 4, vary.standard)


@pytest.fixture(scope="session")
def few() -> TrainData:
    source, unlabelled = pictures(24, 3, 4), pictures(40, 4, 5).images
    return TrainData(pictures(16, 4, 2), pictures(16, 4, 3), 4, vary.none, unlabelled=unlabelled, source=source)


LONG = (
    "test_killed_and_taken_up_again",
    "test_two_classes_will_do",
    "test_a_pretraining_that_was_killed",
    "test_the_seed",
)
SWEPT = {"adapter", "auto", "autoencoder", "batch_norm", "coral", "discriminative", "distill", "gradual", "l2_sp"} | {
    "last_blocks",
    "mean_teacher",
    "mmd",
    "prototypical",
    "prototypes",
    "pruned",
    "quantized",
    "reptile",
    "simclr",
}

SWEPT_WHOLE = {"discriminative", "keras_applications", "mmd", "reptile"}
"""Near to others that every run asks: `gradual`, `efficientnet_lite0`, `coral`, `prototypical`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long of these plug-ins waits for the sweep; of others, a new one say, every run asks everything."""
    for item in items:
        name = item.nodeid.rpartition("[")[2].rstrip("]")
        if (name in SWEPT and item.name.startswith(LONG)) or name in SWEPT_WHOLE:
            item.add_marker(pytest.mark.sweep)
