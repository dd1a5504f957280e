"""Nets of Keras: preprocessed as each family wants it, from weights in a file that is the one that was named."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones import keras_applications as nets
from graft.core.errors import BadInput
from graft.core.plugins import resolve
from graft.core.sections import Choice
from graft.core.spec import Spec

ROOT = Path(__file__).parents[2]
SPEC = Spec(32)
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)


def options(**values: Any) -> nets.Options:
    return nets.Options(**{"weights": "none", "input_px": 32} | values)


def test_pictures_are_preprocessed_as_the_family_does_it() -> None:
    import keras

    modules = {make.__module__.rpartition(".")[2] for make in nets.architectures().values()}
    assert set(nets.PREPROCESSING) < modules
    for family in sorted(modules):
        inputs = keras.Input(SPEC.shape)
        ours = keras.Model(inputs, nets._preprocessed(inputs, family, 32) * 1.0)
        theirs = getattr(keras.applications, family).preprocess_input(PICTURES.copy())
        np.testing.assert_allclose(ours(PICTURES).numpy(), theirs, atol=1e-4, err_msg=family)


def test_weights_in_a_file_are_taken_over(tmp_path: Path) -> None:
    import keras

    net = keras.applications.MobileNet(include_top=False, weights=None, input_shape=SPEC.shape, pooling="avg")
    path = tmp_path / "net.weights.h5"
    net.save_weights(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    chosen = options(architecture="MobileNet", weights=str(path), sha256=sha256)
    ours = nets.build(chosen, SPEC, 1)(PICTURES, training=False).numpy()
    np.testing.assert_allclose(ours, net(PICTURES / 127.5 - 1, training=False).numpy(), atol=1e-5)
    with pytest.raises(BadInput, match="net.weights.h5 has no weights of MobileNetV2 without its top"):
        nets.build(chosen.model_copy(update={"architecture": "MobileNetV2"}), SPEC, 1)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BadInput, match="net.weights.h5 has sha256 [0-9a-f]{64}; pretrain.backbone.sha256 is"):
        nets.build(chosen, SPEC, 1)
    with pytest.raises(BadInput, match="there is no file .*absent.h5"):
        nets.build(chosen.model_copy(update={"weights": str(tmp_path / "absent.h5")}), SPEC, 1)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"architecture": "load_model"}, "backbone.architecture is 'load_model'; it should be one of ConvNeXtBase, "),
        ({"weights": "mine.pkl"}, "should have weights: imagenet, none, or a path that ends in .h5"),
        ({"weights": "mine.weights.h5"}, "and then its sha256"),
        ({"weights": "mine.weights.h5", "sha256": "12"}, "backbone.sha256 is '12'"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_before_anything_is_built(chosen: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        resolve("graft.backbones", Choice(name="keras_applications", **chosen), "backbone")


def test_a_net_that_needs_larger_pictures_says_so() -> None:
    with pytest.raises(BadInput, match="backbone InceptionV3 cannot be built for input_px 32; a larger one may do"):
        nets.build(options(architecture="InceptionV3"), SPEC, 1)


@pytest.mark.sweep
def test_weights_that_cannot_be_downloaded_are_an_environment_problem(tmp_path: Path) -> None:
    code = (
        "from graft.backbones import keras_applications as nets; from graft.core.spec import Spec\n"
        "from graft.core.errors import EnvironmentProblem\n"
        "try: nets.build(nets.Options(), Spec(32), 1)\n"
        "except EnvironmentProblem as error: print('told', error)"
    )
    nowhere = "http://127.0.0.1:9"  # nobody listens there
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "HTTPS_PROXY": nowhere, "https_proxy": nowhere}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    told = done.stdout.splitlines()[-1]
    assert told.startswith(
        "told backbone MobileNetV3Small: Keras has no ImageNet weights here and cannot download them"
    )
    assert "efficientnet_lite0" in told
