"""Any net of `keras.applications` by its name there: random weights, ImageNet weights, or weights from a file.

ImageNet weights are what Keras publishes: Keras downloads them once, checks them and keeps them (`~/.keras/models`).
Where there is no network, bring a file made elsewhere by `save_weights` of the same net without its top, and say its
sha256; Keras reads numbers from it alone, never code. Each net is documented, with its source, on Keras' pages.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from graft.core.errors import BadInput, EnvironmentProblem, one_line
from graft.core.spec import Spec

MAX_WEIGHT_BYTES = 1_000_000_000
# what a family's own `preprocess_input` does to colours in [0, 255]: (reversed to BGR, scales, offsets);
# families that are not here do it inside
PLUS_MINUS_ONE = (False, [1 / 127.5] * 3, [-1.0] * 3)
BLUE_FIRST = (True, [1.0] * 3, [-103.939, -116.779, -123.68])
STANDARDISED = (
    False,
    [1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
    [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
)
PREPROCESSING = {
    "densenet": STANDARDISED,
    "inception_resnet_v2": PLUS_MINUS_ONE,
    "inception_v3": PLUS_MINUS_ONE,
    "mobilenet": PLUS_MINUS_ONE,
    "mobilenet_v2": PLUS_MINUS_ONE,
    "nasnet": PLUS_MINUS_ONE,
    "resnet": BLUE_FIRST,
    "resnet_v2": PLUS_MINUS_ONE,
    "vgg16": BLUE_FIRST,
    "vgg19": BLUE_FIRST,
    "xception": PLUS_MINUS_ONE,
}


class Options(BaseModel):
    """Which net, where its weights start, and how large it sees a picture."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    architecture: str = Field(default="MobileNetV3Small", description="a net's name in keras.applications")
    weights: str = Field(default="imagenet", description="imagenet, none, or the path of an .h5 file of weights")
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$", description="of the file of weights")
    input_px: int = Field(default=96, ge=32, le=1024, description="pictures are resized to this inside the net")

    @field_validator("architecture")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value not in architectures():
            raise ValueError(f"should be one of {', '.join(architectures())}")
        return value

    @model_validator(mode="after")
    def _file_has_hash(self) -> Self:
        if self.weights not in ("imagenet", "none") and not (self.weights.endswith(".h5") and self.sha256):
            raise ValueError("should have weights: imagenet, none, or a path that ends in .h5, and then its sha256")
        return self


def architectures() -> dict[str, Callable[..., Any]]:
    """Every net that this Keras offers, by name."""
    from keras import applications

    offered = {name: getattr(applications, name) for name in dir(applications) if name[0].isupper()}
    return {name: make for name, make in offered.items() if callable(make)}


def untrained(options: Options) -> Options:
    """The same net from random weights."""
    return options.model_copy(update={"weights": "none", "sha256": ""})


def build(options: Options, spec: Spec, seed: int) -> Any:
    """The net without its classifier, up to global average pooling, its preprocessing inside.

    Args:
        seed: of the initial weights where there are no others, and of dropout in training.

    Returns:
        keras.Model from (batch, size, size, 3) float32 in [0, 255] to (batch, features) float32.

    Raises:
        BadInput: the net does not take pictures of that size, or the file is missing, another one, or of another net.
        EnvironmentProblem: Keras can neither find nor download the ImageNet weights.
    """
    import keras

    make = architectures()[options.architecture]
    inputs = keras.Input(spec.shape, dtype="float32")
    pixels = _preprocessed(inputs, make.__module__.rpartition(".")[2], options.input_px)
    try:
        weights = _from_file(make, options) if options.weights.endswith(".h5") else None
        net = make(include_top=False, weights=None, input_tensor=pixels, pooling="avg")
    except ValueError as error:
        raise BadInput(
            f"backbone {options.architecture} cannot be built for input_px {options.input_px}; a larger one may do: "
            f"{_told(error)}"
        ) from None
    if options.weights == "imagenet":
        net = _imagenet(make, pixels, options)
        weights = net.get_weights()
    # Keras draws initial weights from Python's own generator unless a layer has a seed
    config = keras.Model(inputs, net.outputs[0], name="backbone").get_config()
    seeded = keras.Model.from_config(_seeded(config, iter(range(seed * 1000, seed * 1000 + 100_000))))
    if weights is not None:
        seeded.set_weights(weights)
    return seeded


def _preprocessed(inputs: Any, family: str, input_px: int) -> Any:
    """Pictures as the family's nets take them."""
    from keras import layers

    x = inputs
    if inputs.shape[1] != input_px:
        x = layers.Resizing(input_px, input_px, interpolation="bilinear", name="resize")(x)
    if family in PREPROCESSING:
        reverse, scales, offsets = PREPROCESSING[family]
        x = layers.Rescaling(scales, offsets, name="preprocess")(x[..., ::-1] if reverse else x)
    return x


def _imagenet(make: Callable[..., Any], pixels: Any, options: Options) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
            return make(include_top=False, weights="imagenet", input_tensor=pixels, pooling="avg")
    except ValueError as error:
        raise BadInput(f"backbone {options.architecture} with ImageNet weights: {_told(error)}") from None
    except Exception as error:  # Keras has no class of its own for a download that fails
        raise EnvironmentProblem(
            f"backbone {options.architecture}: Keras has no ImageNet weights here and cannot download them "
            f"({_told(error)}); name a file of them (weights and sha256), say weights: none, or take the backbone "
            "efficientnet_lite0, whose weights are installed with graft"
        ) from None


def _from_file(make: Callable[..., Any], options: Options) -> Any:
    """The arrays in the file, in the order of the net's own."""
    path = Path(options.weights).expanduser()
    if not path.is_file():
        raise BadInput(f"pretrain.backbone.weights: there is no file {path}")
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise BadInput(f"{path} has {path.stat().st_size} bytes; weights here have at most {MAX_WEIGHT_BYTES}")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != options.sha256:
        raise BadInput(f"{path} has sha256 {found}; pretrain.backbone.sha256 is {options.sha256}")
    net = make(include_top=False, weights=None, input_shape=(options.input_px, options.input_px, 3), pooling="avg")
    try:
        with warnings.catch_warnings(action="error"):  # Keras warns where a layer keeps its random weights
            net.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise BadInput(f"{path} has no weights of {options.architecture} without its top: {_told(error)}") from None
    return net.get_weights()


def _seeded(part: Any, seeds: Iterator[int]) -> Any:
    """A net's configuration in which everything that draws at random has a seed."""
    if isinstance(part, dict):
        return {
            key: next(seeds) if key == "seed" and value is None else _seeded(value, seeds)
            for key, value in part.items()
        }
    if isinstance(part, list | tuple):
        return type(part)(_seeded(one, seeds) for one in part)
    return part


def _told(error: Exception) -> str:
    return one_line(str(error).strip().partition("\n")[0], 200)
