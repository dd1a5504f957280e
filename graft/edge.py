"""Load a release and predict with LiteRT alone: no TensorFlow, no DVC, no git."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from graft.core import litert
from graft.core.errors import BadInput
from graft.hub import cache, names
from graft.hub.cache import Pulled
from graft.hub.releases import Progress
from graft.modalities import image

Picture = str | PathLike[str] | Image.Image | NDArray[np.uint8]
"""A JPEG or PNG file, an open picture, or (height, width), (height, width, 1), (.., 3) or (.., 4) uint8; any size."""

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(height, width, 3) uint8 -> probabilities (classes,) float32."""


@dataclass(frozen=True)
class Predictions:
    """What a model answered, a row per picture.

    Attributes:
        classes: every label, in the order of the columns.
        probabilities: (n, classes) float32 in [0, 1], calibrated on validation pictures; rows add up to 1.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]

    @property
    def labels(self) -> list[str]:
        """The most probable label of each picture."""
        return [self.classes[index] for index in self.probabilities.argmax(axis=1)]

    def sure_labels(self, at_least: float) -> list[str | None]:
        """As `labels`, but None where the best one's probability is below `at_least`, in [0, 1].

        The release's evaluation says what thresholds give: `graft show NAME`.
        """
        best = self.probabilities.max(axis=1, initial=0.0)
        return [label if p >= at_least else None for label, p in zip(self.labels, best, strict=True)]

    def top(self, count: int) -> list[list[tuple[str, float]]]:
        """The `count` most probable labels of each picture with their probabilities, the best first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[index], float(row[index])) for index in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]


class Model:
    """A release that answers. May be shared by threads; they take turns.

    Attributes:
        release: the files on this machine, their receipt, and a warning if the store was out of reach.
    """

    def __init__(self, release: Pulled, file: str = "") -> None:
        self.release = release
        said = release.receipt.contents.model
        self._options = options(said.modality)
        self._run = _runner(release, file or said.file, self._options.size_px)
        self._lock = Lock()

    @property
    def name(self) -> str:
        """As `plants@v3`."""
        return f"{self.release.receipt.name}@{self.release.receipt.version}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Every label it knows, in the order of the probabilities."""
        return self.release.receipt.contents.model.classes

    def predict(self, pictures: Picture | Iterable[Picture]) -> Predictions:
        """Labels and probabilities of one picture or several; (n, height, width, channels) uint8 is several.

        Raises:
            BadInput: one is no picture, or one that graft does not take; the text names it.
        """
        rows = [self._answer(self._sample(one, index)) for index, one in enumerate(_several(pictures))]
        answers = np.stack(rows) if rows else np.empty((0, len(self.classes)), np.float32)
        return Predictions(self.classes, answers)

    def _sample(self, picture: Picture, index: int) -> NDArray[np.uint8]:
        try:
            if isinstance(picture, Image.Image):
                return image.standard(_checked(picture), self._options)
            if isinstance(picture, np.ndarray):
                return image.standard(_from_array(picture), self._options)
            return image.decode(_read(Path(picture)), self._options)
        except BadInput as error:
            where = picture if isinstance(picture, str | PathLike) else f"picture {index}"
            raise BadInput(f"{where}: {error}") from None

    def _answer(self, sample: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._lock:
            answered = self._run(sample)
        if answered.shape != (len(self.classes),) or not np.all(np.isfinite(answered)):
            raise BadInput(f"{self.name} answered {answered.shape} numbers for {len(self.classes)} classes")
        return answered


def load(reference: str | PathLike[str], file: str = "") -> Model:
    """A model by name, as `plants@prod` or `plants@v3`, or by the folder that `graft pull -o` made.

    Args:
        file: which of the release's files runs; "" is the one that its receipt names.

    Raises:
        BadInput: no such release or file, or a byte of it is not as published.
        EnvironmentProblem: it is not on this machine and the store is out of reach.
    """
    return Model(find(reference), file)


def find(reference: str | PathLike[str], progress: Progress = lambda done, total: None) -> Pulled:
    """The release that `load` loads, on this machine; raises what `load` raises.

    Args:
        progress: called with bytes done and bytes in all while it is pulled.
    """
    text = str(reference)
    if "@" in text and not os.path.isdir(text):  # unlike Path's, it takes any text
        return cache.pull(names.reference(text), progress)
    return cache.open_folder(Path(text))


def options(modality: dict[str, Any]) -> image.Options:
    """How a release wants its pictures, from what its receipt says.

    Raises:
        BadInput: this graft does not know it.
    """
    try:
        if modality.get("name") == "image":
            return image.Options.model_validate({key: value for key, value in modality.items() if key != "name"})
    except ValidationError:
        pass
    raise BadInput(f"the release takes {modality}, which this graft does not know; install a newer one")


def _runner(release: Pulled, file: str, size_px: int) -> Run:
    runs = [name for name in release.receipt.contents.files if name.endswith(".tflite")]
    if file not in runs:
        raise BadInput(f"{file!r} is no file that runs in {release.receipt.name}; it has: {', '.join(runs) or 'none'}")
    return runner(release.folder / file, size_px)


def runner(path: Path, size_px: int) -> Run:
    """What a TFLite file answers on one picture, on one thread.

    Raises:
        BadInput: it does not run here, or does not take one picture of `size_px` squared.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"{path.name} does not run here: {str(error).splitlines()[0]}") from None
    entry, exit_ = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if tuple(entry["shape"]) != (1, size_px, size_px, 3) or entry["dtype"] is not np.uint8:
        raise BadInput(f"{path.name} takes {tuple(entry['shape'])}, not one picture of {size_px}x{size_px} uint8")

    def run(sample: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter.set_tensor(entry["index"], sample[None])
        interpreter.invoke()
        return litert.as_float(interpreter.get_tensor(exit_["index"])[0], exit_)

    return run


def output_steps(path: Path) -> tuple[float, int]:
    """(scale, zero point) of what the file answers, for who runs it elsewhere; see `litert.steps`."""
    from ai_edge_litert.interpreter import Interpreter

    return litert.steps(Interpreter(model_path=str(path)).get_output_details()[0])


def _several(pictures: Picture | Iterable[Picture]) -> Sequence[Picture]:
    if isinstance(pictures, np.ndarray):
        return list(pictures) if pictures.ndim == 4 else [pictures]
    return [pictures] if isinstance(pictures, str | PathLike | Image.Image) else list(pictures)


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    shaped = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    fits = shaped.ndim == 2 or shaped.ndim == 3 and shaped.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not fits or 0 in array.shape:
        raise BadInput(f"an array has to be (height, width[, 1, 3 or 4]) uint8, not {array.shape} {array.dtype}")
    return _checked(Image.fromarray(np.ascontiguousarray(shaped)))


def _checked(picture: Image.Image) -> Image.Image:
    if picture.mode not in image.MODES:
        raise BadInput(f"mode {picture.mode} is not taken; convert it to RGB")
    if not 0 < picture.width * picture.height <= image.MAX_PIXELS:
        raise BadInput(f"{picture.width}x{picture.height} pixels; at most {image.MAX_PIXELS} are taken")
    return picture


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(image.MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})") from None
