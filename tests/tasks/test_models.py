"""Models on disk: of those that differ in their weights alone one network is built, and each answers as if alone."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import fit
from graft.core.errors import BadInput
from tasks.adapters import models

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


def net(seed: int, classes: int = 3) -> Any:
    import keras

    inputs = keras.Input((8, 8, 3), name="pictures")
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(classes, name="head")(pooled), name="classifier")
    generator = np.random.default_rng(seed)
    model.set_weights([generator.normal(size=one.shape) for one in model.get_weights()])
    return model


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two that are built alike, and a third."""
    paths = [tmp_path / f"{name}.keras" for name in ("first", "second", "third")]
    for path, model in zip(paths, (net(1), net(2), net(3, classes=4)), strict=True):
        models.save(model, path)
    return paths


def test_each_answers_as_if_it_had_been_loaded_alone(files: list[Path]) -> None:
    loader, told = models.Loader(), []
    for path in (*files, files[0]):
        model = loader.load(path)
        np.testing.assert_array_equal(fit.predict(model, PICTURES), fit.predict(models.load(path), PICTURES))
        told.append(model)
    assert told[0] is told[1] and told[1] is not told[2] is not told[3]


def test_a_file_that_will_not_do_is_named_whether_a_network_stands_or_not(files: list[Path]) -> None:
    loader = models.Loader()
    loader.load(files[0])
    files[1].write_bytes(b"not a model")
    with zipfile.ZipFile(files[0]) as whole, zipfile.ZipFile(files[2], "w") as archive:
        archive.writestr("config.json", whole.read("config.json"))
    for at_hand in (loader, models.Loader()):
        with pytest.raises(BadInput, match="second.keras is no model that loads safely: File is not a zip file"):
            at_hand.load(files[1])
        with pytest.raises(BadInput, match="third.keras is no model that loads safely: "):
            at_hand.load(files[2])
        with pytest.raises(BadInput, match="^none.keras is missing from .*; an earlier stage makes it: graft run$"):
            at_hand.load(files[0].with_name("none.keras"))
