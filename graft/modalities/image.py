"""Square RGB pictures: what is let in, how they are measured, decoded and varied during training."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from graft.core import containers, vary
from graft.core.errors import BadInput, one_line
from graft.core.spec import Spec

FORMATS = ("JPEG", "PNG")  # an allow-list: others reach codecs, or programs, nobody asked for
MAX_BYTES = 32_000_000
MAX_PIXELS = 25_000_000
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I")
LOOKED_AT_PX = 256
"""Brightness, blur and information are judged on a copy no larger than this."""

RULES: dict[str, dict[str, Any]] = {
    "format": {"column": "refused", "not_in": ["format"]},
    "unreadable": {"column": "refused", "not_in": ["unreadable"]},
    "too_large": {"column": "refused", "not_in": ["too_large"]},
    "animated": {"column": "refused", "not_in": ["animated"]},
    "mode": {"column": "refused", "not_in": ["mode"]},
    "suffix": {"column": "suffix_fits", "in": [True]},
    "trailing_bytes": {"column": "trailing_bytes", "between": [None, 0]},
    "too_small": {"column": "shorter_edge", "between": ["$min_edge_px", None]},
    "aspect": {"column": "aspect", "between": [None, "$max_aspect"]},
    "dark": {"column": "brightest", "between": ["$min_brightest", None]},
    "light": {"column": "darkest", "between": [None, "$max_darkest"]},
    "blurred": {"column": "sharpness", "between": ["$min_sharpness", None]},
    "low_information": {"column": "information", "between": ["$min_information", None]},
}
"""What the data gate asks of every picture: a column and the values that pass; $ names a setting of `validate`."""


AUGMENTS = {"standard": vary.standard, "weak": vary.weak, "strong": vary.strong, "none": vary.none}
"""By what `training.augment` calls them: functions of ((batch, height, width, 3) float32 in [0, 255], seed)."""

VIEWS = vary.VIEWS
"""What `finetune.views` adds to a picture when a model is asked, in this order."""


class Options(BaseModel):
    """Edge of the pictures the model sees, in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    size_px: int = Field(default=64, ge=16, le=1024)


class Facts(NamedTuple):
    """What the header of an encoded picture says; `problem` is "" or "rule: reason"."""

    width: int
    height: int
    mode: str
    format: str
    problem: str


class Measures(NamedTuple):
    """What is known of a picture once it is decoded; all but `problem` is empty where that is not "".

    Attributes:
        problem: "" or "rule: reason".
        width, height: pixels, upright.
        orientation: by EXIF, 1 (upright) to 8.
        pixels: hash of the decoded RGB pixels and their size.
        trailing_bytes: behind the picture's end in the file.
        brightness: mean, in [0, 1].
        brightest, darkest: 99th and 5th percentile of the brightness, in [0, 1].
        sharpness: 0 (blurred) to 1.
        information: 0 (one flat colour) to 1, by entropy.
        sample: the pixels, upright: (height, width, 3) uint8; None if there is a problem.
    """

    problem: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    pixels: str = ""
    trailing_bytes: int = 0
    brightness: float = 0.0
    brightest: float = 0.0
    darkest: float = 0.0
    sharpness: float = 0.0
    information: float = 0.0
    sample: NDArray[np.uint8] | None = None


class Refused(BadInput):
    """A picture that breaks a rule; `rule` is its name."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def spec(options: Options) -> Spec:
    """The shape of a decoded sample."""
    return Spec(size_px=options.size_px, channels=3)


def peek(data: bytes) -> Facts:
    """Facts from the header of an encoded picture; nothing is decoded. Never raises: the reason stands in `problem`."""
    try:
        with _opened(data) as image:
            return Facts(image.width, image.height, image.mode, str(image.format), "")
    except Refused as error:
        return Facts(0, 0, "", "", f"{error.rule}: {error}")


def measure(data: bytes) -> Measures:
    """Decode the whole picture and measure it. Never raises for a bad picture: the reason stands in `problem`."""
    try:
        with _opened(data) as image:
            if damage := containers.damage(data):
                raise Refused("unreadable", f"picture is damaged: {damage}")
            upright = _to_rgb(ImageOps.exif_transpose(image))
            orientation = _orientation(image)
            trailing = 0 if image.format == "MPO" else len(data) - containers.end(data)
    except Refused as error:
        return Measures(f"{error.rule}: {error}")
    looks, sample = _looks(upright), np.asarray(upright)
    pixels = hashlib.blake2b(repr(upright.size).encode(), digest_size=16)
    pixels.update(sample.data)
    return Measures("", *upright.size, orientation, pixels.hexdigest(), trailing, *looks, sample)


def decode(data: bytes, options: Options) -> NDArray[np.uint8]:
    """The picture as (size_px, size_px, 3) uint8 in [0, 255].

    Upright by its EXIF orientation, transparency on white, 16-bit grey scaled to 8, CMYK and palettes to RGB, the
    largest centred square, resized with antialiasing.

    Raises:
        BadInput: too large, not JPEG or PNG, animated, or damaged.
    """
    with _opened(data) as image:
        return standard(image, options)


def standard(image: Image.Image, options: Options) -> NDArray[np.uint8]:
    """An open picture of any size and mode as `decode` gives it: (size_px, size_px, 3) uint8 in [0, 255]."""
    upright = ImageOps.exif_transpose(image)
    square = ImageOps.fit(_to_rgb(upright), (options.size_px,) * 2, Image.Resampling.BILINEAR)
    return np.asarray(square, dtype=np.uint8)


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The picture, its pixels not decoded yet; whatever Pillow raises while the block works on it comes as Refused."""
    if not data:
        raise Refused("unreadable", "the file is empty")
    if len(data) > MAX_BYTES:
        raise Refused("too_large", f"picture has {len(data)} bytes; at most {MAX_BYTES} are taken")
    found = containers.kind(data)
    if found not in FORMATS:
        raise Refused("format", f"content is {found or 'no picture'}; {' and '.join(FORMATS)} are taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; what matters is checked below
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check(image)
                yield image
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too_large", _words(error)) from None
    except UnidentifiedImageError:  # its text holds an address in memory, and the manifest would never be the same
        raise Refused("unreadable", "picture does not decode: its header is damaged") from None
    except Exception as error:  # Pillow's codecs raise whatever they like: OSError, SyntaxError, struct.error, ...
        raise Refused("unreadable", f"picture does not decode: {_words(error)}") from None


def _check(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise Refused("too_large", f"picture has {image.width}x{image.height} pixels; at most {MAX_PIXELS} are taken")
    if image.mode not in MODES:
        raise Refused("mode", f"picture has mode {image.mode}; taken are {', '.join(MODES)}")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a telephone's second view is no animation
        raise Refused("animated", f"picture has {getattr(image, 'n_frames', 2)} frames; still ones are taken")


def _orientation(image: Image.Image) -> int:
    """By EXIF, 1 to 8; 1 if it says anything else: the tag may hold any number, text or nonsense."""
    told = image.getexif().get(ExifTags.Base.Orientation)
    return next((known for known in range(1, 9) if told == known), 1)


def _words(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}", 160)


def _looks(image: Image.Image) -> tuple[float, float, float, float, float]:
    """Brightness, brightest, darkest and information as cleanvision 0.3 defines them, and sharpness."""
    from cleanvision.issue_managers import image_property as properties

    small = image.copy()
    small.thumbnail((LOOKED_AT_PX,) * 2, Image.Resampling.BOX)
    darkest, brightest = properties.calc_percentile_brightness(small, [5, 99])
    information = min(1.0, 0.1 * properties.calc_entropy(small))
    brightness = properties.calc_avg_brightness(small)
    sharpness = _sharpness(np.asarray(small.convert("L"), dtype=np.float32))
    return float(brightness), float(brightest), float(darkest), sharpness, information


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Share of the differences between neighbours that a wide blur takes away, in [0, 1] (Crete et al. 2007).

    A sharp picture loses most of them, a blurred one has none to lose. The score of cleanvision 0.3 was tried first: it
    rises where small pictures are blurred, because it counts a narrow histogram in their favour.
    """
    from scipy.ndimage import uniform_filter1d

    kept = []
    for axis in (0, 1):
        before = np.abs(np.diff(grey, axis=axis))
        after = np.abs(np.diff(uniform_filter1d(grey, 9, axis=axis), axis=axis))
        total = float(before.sum())
        kept.append(float(np.maximum(before - after, 0.0).sum()) / total if total else 0.0)
    return min(kept)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        scaled = np.asarray(image, dtype=np.float32) / 257.0  # 65535 -> 255; convert("RGB") would clip
        return Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
