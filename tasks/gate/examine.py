"""What only the pixels tell: every picture decoded once, in processes that may die of it, and measured."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graft.core import duplicates, patches
from graft.core.dataset import Progress
from graft.core.patches import PatchFeatures
from graft.core.plugins import Plugin
from tasks.adapters import shards
from tasks.adapters.shards import Place
from tasks.gate.pool import Pool

BATCH = 200
N_FEATURES = 512
N_FILTERS = 192
PIECE = 2000
WORTH_A_POOL = 5  # batches; fewer are done before two processes have started
NUMBERS = {
    "width": np.int32,
    "height": np.int32,
    "orientation": np.int8,
    "trailing_bytes": np.int32,
    **dict.fromkeys(("brightness", "brightest", "darkest", "sharpness", "information"), np.float32),
}
TEXTS = ("problem", "pixels")
_THUMB = (patches.EDGE_PX, patches.EDGE_PX, 3)


class Item(NamedTuple):
    """A picture to be decoded: its shard folder and place."""

    folder: Path
    place: Place


@dataclass(frozen=True)
class Examination:
    """What was found, row by row of the manifest.

    Attributes:
        columns: by name, `NUMBERS` and `TEXTS`: see the modality's `Measures`.
        descriptors: (n, 53) float16, zeros where a picture does not decode.
        thumbs: file of (n, 32, 32, 3) uint8, read piece by piece.
    """

    columns: dict[str, Any]
    descriptors: NDArray[np.float16]
    thumbs: Path


def pixels(frame: Any, folders: dict[str, Path], modality: Plugin, scratch: Path, progress: Progress) -> Examination:
    """Decode and measure every picture of the manifest that its origin could read.

    Args:
        frame: the manifest.
        folders: shard folder of each role.
        scratch: folder for what is too large for memory; the caller removes it.
    """
    import pandas as pd
    import pyarrow as pa

    n = len(frame)
    numbers: dict[str, Any] = {name: np.zeros(n, kind) for name, kind in NUMBERS.items()}
    texts: dict[str, list[Any]] = {name: [] for name in TEXTS}
    descriptors = np.zeros((n, duplicates.N_VALUES), np.float16)
    crashed = _packed(modality.module.Measures("unreadable: its decoder crashed, or wanted too much memory"))
    done, thumbs = 0, scratch / "thumbs.u8"
    with thumbs.open("wb") as file, Pool(_measure, modality.module.measure, crashed, math.ceil(n / BATCH)) as pool:
        for batch in pool.run(_batches(frame, folders)):
            rows = slice(done, done + len(batch))
            for name, values in zip(NUMBERS, zip(*(one.numbers for one in batch), strict=True), strict=True):
                numbers[name][rows] = values
            for name, words in zip(TEXTS, zip(*(one.texts for one in batch), strict=True), strict=True):
                texts[name].append(pa.array(words, pa.string()))
            descriptors[rows] = np.frombuffer(b"".join(one.descriptor for one in batch), np.float16).reshape(
                len(batch), -1
            )
            file.writelines(one.thumb for one in batch)
            progress(done := done + len(batch), n)
    found = {
        name: pd.Series(pa.chunked_array(parts, pa.string()).to_pandas(), dtype="str") for name, parts in texts.items()
    }
    told = frame["problem"].reset_index(drop=True)  # by the origin or the header: the first word counts
    found["problem"] = told.where(told != "", found["problem"])
    return Examination({**numbers, **found}, descriptors, thumbs)


@dataclass(frozen=True)
class Features:
    """Whitened features of some rows, in a file: memory holds a piece at a time.

    Attributes:
        rows: indices into the manifest, in the file's order.
    """

    file: Path
    size: int
    rows: NDArray[np.int64]

    def of(self, wanted: NDArray[np.bool_]) -> Callable[[], Iterator[NDArray[np.float32]]]:
        """Pieces (some, size) float32 of those rows that `wanted`, a mask over the manifest, picks; in order."""

        def pieces() -> Iterator[NDArray[np.float32]]:
            with self.file.open("rb") as file:
                for start in range(0, len(self.rows), PIECE):
                    piece = np.fromfile(file, np.float16, PIECE * self.size).reshape(-1, self.size)
                    yield piece[wanted[self.rows[start : start + PIECE]]].astype(np.float32)

        return pieces


def features(thumbs: Path, rows: NDArray[np.int64], scratch: Path, seed: int, progress: Progress) -> Features:
    """Features of `rows`, by filters learned from a sample of them.

    Args:
        rows: indices into the manifest, sorted, at least 2.
    """
    sample = np.sort(np.random.default_rng(seed).choice(rows, min(len(rows), patches.LEARN_FROM), replace=False))
    learned = patches.learn(_read(thumbs, sample), N_FEATURES, seed, N_FILTERS)
    size, made = learned.axes.shape[1], scratch / "features.f16"
    count = math.ceil(len(rows) / BATCH)
    batches = (rows[start : start + BATCH].tolist() for start in range(0, len(rows), BATCH))
    with made.open("wb") as file, ExitStack() as stack:
        if count > WORTH_A_POOL:
            pool = stack.enter_context(Pool(_featurise, (thumbs, learned), bytes(2 * size), count))
            results = pool.run(batches)
        else:
            results = (_featurise((thumbs, learned), batch) for batch in batches)
        done = 0
        for batch in results:
            file.writelines(batch)
            progress(done := done + len(batch), len(rows))
    return Features(made, size, rows)


def _batches(frame: Any, folders: dict[str, Path]) -> Iterator[list[Item]]:
    places = frame[["domain", "shard", "offset", "bytes"]]
    for start in range(0, len(frame), BATCH):
        some = places.iloc[start : start + BATCH].itertuples(index=False, name=None)
        yield [Item(folders[role], Place(shard, offset, length)) for role, shard, offset, length in some]


class _Packed(NamedTuple):
    """`Measures`, descriptor and thumb in the form that is quickest to send between processes."""

    numbers: tuple[float, ...]
    texts: tuple[str, ...]
    descriptor: bytes
    thumb: bytes


def _packed(measures: Any) -> _Packed:
    numbers = tuple(getattr(measures, name) for name in NUMBERS)
    texts = tuple(getattr(measures, name) for name in TEXTS)
    if measures.sample is None:
        return _Packed(numbers, texts, bytes(2 * duplicates.N_VALUES), bytes(math.prod(_THUMB)))
    image = Image.fromarray(measures.sample)
    descriptor = duplicates.descriptor(image).astype(np.float16)
    return _Packed(numbers, texts, descriptor.tobytes(), patches.thumb(image).tobytes())


def _measure(measure: Any, items: list[Item]) -> list[_Packed]:
    measured = []
    for folder, mine in groupby(items, lambda item: item.folder):
        measured += [_packed(measure(data)) for data in shards.read(folder, [item.place for item in mine])]
    return measured


def _featurise(context: tuple[Path, PatchFeatures], rows: list[int]) -> list[bytes]:
    thumbs, learned = context
    return [one.tobytes() for one in learned(_read(thumbs, np.array(rows))).astype(np.float16)]


def _read(thumbs: Path, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(len(rows), 32, 32, 3) uint8."""
    size = math.prod(_THUMB)
    with thumbs.open("rb") as file:
        pieces = []
        for row in rows:
            file.seek(int(row) * size)
            pieces.append(np.frombuffer(file.read(size), np.uint8))
    return np.stack(pieces).reshape(-1, *_THUMB)
