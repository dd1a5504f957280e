"""A classifier in a file is taken only from the workspace, only if it is the one named, and only without code."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import saved
from graft.core.errors import BadInput

SETTING = "finetune.method.teacher"


@pytest.fixture(scope="module")
def model() -> Any:
    import keras

    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(1))(pooled))


@pytest.fixture()
def sha256(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    model.save("a.keras")
    return digest(Path("a.keras"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_model_that_was_named_answers_as_it_did(model: Any, sha256: str) -> None:
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    loaded = saved.classifier("a.keras", sha256, 3, SETTING)
    np.testing.assert_array_equal(loaded(pictures), model(pictures))


def test_another_file_or_another_number_of_classes_is_refused(sha256: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=f"a.keras has sha256 {sha256}; finetune.method.teacher_sha256 is 0"):
        saved.classifier("a.keras", "0" * 64, 3, SETTING)
    with pytest.raises(BadInput, match=r"a.keras answers \(None, 3\); \(None, 4\) would do"):
        saved.classifier("a.keras", sha256, 4, SETTING)
    with pytest.raises(BadInput, match="there is no file absent.keras"):
        saved.classifier("absent.keras", sha256, 3, SETTING)
    monkeypatch.setattr(saved, "MAX_BYTES", 1000)
    with pytest.raises(BadInput, match="a.keras has more than 1000 bytes"):
        saved.classifier("a.keras", sha256, 3, SETTING)


@pytest.mark.parametrize("name", ["../a.keras", "/a.keras", "link.keras", "a.h5", "", "in/../../a.keras", "a\0.keras"])
def test_nothing_outside_the_workspace_is_opened(
    sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.keras").symlink_to(tmp_path / "a.keras")
    monkeypatch.chdir(inner)
    with pytest.raises(BadInput, match="the path of a .keras file below the workspace would do"):
        saved.classifier(name, sha256, 3, SETTING)


def test_code_in_a_file_is_not_run_and_rubbish_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.chdir(tmp_path)
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x[:, 0, 0], output_shape=(3,))(inputs)).save("code.keras")
    Path("rubbish.keras").write_bytes(b"no archive")
    for name in ("code.keras", "rubbish.keras"):
        with pytest.raises(BadInput, match=f"{name} is no model that loads safely"):
            saved.classifier(name, digest(Path(name)), 3, SETTING)
