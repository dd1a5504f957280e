"""What a file takes of memory, measured in a process that has nothing else to do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import plugins
from graft.core.errors import EnvironmentProblem
from graft.core.sections import Choice
from tasks import footprint

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
MORE = 20_000_000


@pytest.fixture(scope="module")
def tflite() -> Any:
    return plugins.resolve("graft.exports", Choice(name="tflite"), "export")


@pytest.fixture(scope="module")
def content(tflite: Any) -> bytes:
    import keras

    picture = keras.Input((8, 8, 3))
    model = keras.Model(picture, keras.layers.Dense(4)(keras.layers.Flatten()(picture)))
    [made] = tflite.module.convert(tflite.options, model, PICTURES).values()
    assert isinstance(made, bytes)
    return made


def measured(tflite: Any, content: bytes) -> float:
    found = footprint.peak_mb(tflite, {tflite.module.file_name(tflite.options): content}, PICTURES[:1])
    if not footprint.RESET.exists():
        pytest.skip("the system does not tell")
    assert found is not None
    return found


def test_a_small_file_takes_little_and_one_with_more_bytes_as_much_more(tflite: Any, content: bytes) -> None:
    small, large = measured(tflite, content), measured(tflite, content + bytes(MORE))
    assert 0 < small < 20
    assert 1.0 <= (large - small) / (MORE / 1e6) < 3.0


def test_a_file_that_does_not_load_is_named(tflite: Any) -> None:
    with pytest.raises(EnvironmentProblem, match="measures memory of model-float32.tflite failed: ValueError: "):
        measured(tflite, b"no model")


def test_it_leaves_no_folder_behind(
    tflite: Any, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    measured(tflite, content)
    assert not list(tmp_path.iterdir())
