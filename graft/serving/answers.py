"""What a release says of a picture's bytes: labels, probabilities, and where it looked for each."""

import queue
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft import edge
from graft.core import rise
from graft.core.errors import GraftError
from graft.hub.cache import Pulled
from graft.modalities import image


class Busy(GraftError):
    """It was not this picture's turn in time."""


class Asked(NamedTuple):
    """What somebody wants to know of a picture.

    Attributes:
        top: how many labels, the most probable ones.
        at_least: the answer is sure if the best label is that probable, in [0, 1].
        with_maps: whether each label comes with a map of what speaks for it.
    """

    top: int = 5
    at_least: float = 0.0
    with_maps: bool = False


class Answers:
    """A release that answers several at once: `turns` interpreters, lent to one picture each."""

    def __init__(self, release: Pulled, file: str = "", turns: int = 1) -> None:
        """Raises what `edge.Model` raises: the release has no such file, or it does not run here."""
        self._receipt, self._warning = release.receipt, release.warning
        self._options = edge.options(release.receipt.contents.model.modality)
        self._file = file or release.receipt.contents.model.file
        models = [edge.Model(release, file) for _ in range(turns)]
        self._steps = edge.output_steps(release.folder / self._file)
        self.name, self._classes = models[0].name, models[0].classes
        self._free: queue.LifoQueue[edge.Model] = queue.LifoQueue()
        for model in models:
            self._free.put(model)

    def describe(self) -> dict[str, Any]:
        """What a page has to know of the release, and what it takes."""
        return {
            "model": self.name,
            "file": self._file,
            "classes": self._classes,
            "thresholds": thresholds(self._receipt.contents.metrics),
            "warning": self._warning,
            "size_px": self._options.size_px,
            "output_steps": self._steps,
            "max_bytes": image.MAX_BYTES,
            "max_pixels": image.MAX_PIXELS,
        }

    def answer(self, data: bytes, asked: Asked, end: float) -> dict[str, Any]:
        """The answer to an encoded picture, the same as `graft predict` gives.

        Args:
            end: time.monotonic() at which nobody waits any more.

        Raises:
            image.Refused: it is too large, not JPEG or PNG, animated, or damaged.
            Busy: it was not its turn in time.
        """
        with self._turn(end) as model:
            sample = image.decode(data, self._options)
            predictions = model.predict(sample)
            best = predictions.top(asked.top)[0]
            answers = [{"label": label, "probability": probability} for label, probability in best]
            if asked.with_maps:
                columns = [self._classes.index(label) for label, _ in best]
                for one, found in zip(answers, self._maps(model, sample, columns, end), strict=True):
                    one["map"] = np.round(found.astype(float), 3).tolist()
        return {"model": self.name, "sure": best[0][1] >= asked.at_least, "answers": answers}

    def _maps(
        self, model: edge.Model, sample: NDArray[np.uint8], columns: list[int], end: float
    ) -> NDArray[np.float32]:
        def run(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
            if time.monotonic() > end:
                raise Busy("the map took too long; ask without it")
            return model.predict(samples).probabilities

        return rise.maps(run, sample, columns)

    @contextmanager
    def _turn(self, end: float) -> Iterator[edge.Model]:
        try:
            model = self._free.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise Busy("others are being answered; ask again in a moment") from None
        try:
            yield model
        finally:
            self._free.put(model)


def thresholds(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What thresholds gave on test pictures, as `graft show` says it: set, wanted, confidence, coverage, accuracy.

    Those that no confidence reaches are left out.
    """
    found = []
    for set_ in ("seen", "unseen"):
        value: Any = metrics
        for step in ("evaluation", "transfer", set_, "abstention", "thresholds"):
            value = value.get(step) if isinstance(value, Mapping) else None
        found += [{"set": set_, **one} for one in value or () if one["confidence"] <= 1]
    return found
