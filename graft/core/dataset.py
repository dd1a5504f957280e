"""What travels between stages: pictures on their way in, packed arrays on their way to training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test", "unseen")

Progress = Callable[[int, int], None]
"""Called with (done, total) while long work goes on."""

Augment = Callable[[Any, Any], Any]
"""Varied copies of a batch: ((batch, h, w, c) float32 tensor in [0, 255], (2,) int32 seed) to another such tensor."""


class Picture(NamedTuple):
    """One labelled picture as an origin hands it over: still encoded, untrusted, never changed.

    Attributes:
        path: relative POSIX path within the domain, unique, `label/name.ext` by custom; see `names.to_path`.
        label: class name.
        data: the encoded file; b"" if the origin refused to read it.
        group: what must be told apart when results are read (art style, camera, patient); "" if there is none.
        split: one of SPLITS if the data come with splits of their own; "" lets graft draw one by hash.
        unit: pictures of one unit never straddle splits; "" makes each content a unit of its own.
        problem: why the origin refused to read it, as "rule: reason"; the data gate decides what follows.
        etag, version: of the object in a store, as the store named them; "" elsewhere.
    """

    path: str
    label: str
    data: bytes
    group: str = ""
    split: str = ""
    unit: str = ""
    problem: str = ""
    etag: str = ""
    version: str = ""


@dataclass(frozen=True)
class Request:
    """What ingest asks of an origin: the pictures of one domain.

    Attributes:
        domain: name of the domain, `animals` say.
        seed: origins that draw or sample do so from this alone.
        size_px: edge of the square pictures the model will see; procedural origins draw at this size.
        cache: folder outside the clone for downloads, every file in it checked by hash before use.
        progress: to be called with (done, total) now and then.
        role: `source` or `target`.
    """

    domain: str
    seed: int
    size_px: int
    cache: Path
    progress: Progress = lambda done, total: None
    role: str = "source"


@dataclass(frozen=True)
class Split:
    """Pictures and labels of one split, row by row.

    Attributes:
        images: (n, size, size, channels) uint8 in [0, 255]; may be memory-mapped.
        labels: (n,) int64 in [0, n_classes).
        units: (n,) int64; rows of one unit are never learned from and chosen by at once; None if each is its own.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    units: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> "Split":
        """The split made of `rows` (indices), in that order."""
        units = None if self.units is None else self.units[rows]
        return Split(np.asarray(self.images[rows]), self.labels[rows], units)


def draw_per_class(labels: NDArray[np.int64], per_class: int | None, seed: int) -> NDArray[np.int64]:
    """Row indices of `per_class` rows of each class, drawn without replacement from `seed`; all rows if None.

    Raises:
        ValueError: a class has fewer rows than `per_class`.
    """
    if per_class is None:
        return np.arange(len(labels), dtype=np.int64)
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in np.unique(labels)]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def draw_validation(labels: NDArray[np.int64], n_classes: int, per_class: int | None, seed: int) -> NDArray[np.int64]:
    """Row indices of the validation rows that a training with `per_class` labels may see: no more than it learns from.

    A class with fewer rows than that limits all of them, so that the classes stay balanced.
    """
    fewest = min(int((labels == label).sum()) for label in range(n_classes))
    return draw_per_class(labels, None if per_class is None else min(per_class, fewest), seed)
