"""What only the pixels tell: every picture decoded once, in processes that may die of it, and measured."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graft.core import duplicates, patches
from graft.core.dataset import Progress
from graft.core.patches import PatchFeatures
from graft.core.plugins import Plugin
from tasks import ahead
from tasks.adapters import shards
from tasks.adapters.shards import Place
from tasks.ahead import Ahead
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


class Packed(NamedTuple):
    """`Measures`, descriptor and thumb in the form that is quickest to send between processes."""

    numbers: tuple[float, ...]
    texts: tuple[str, ...]
    descriptor: bytes
    thumb: bytes


KINDS = {
    **{name: int if np.issubdtype(kind, np.integer) else float for name, kind in NUMBERS.items()},
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(("descriptor", "thumb"), bytes),
}
"""Columns of measures in a file, for `ahead.write`."""

Batches = Generator[list[Packed], None, None]


@dataclass(frozen=True)
class Examination:
    """What was found, row by row of the manifest.

    Attributes:
        columns: by name a pandas.Series, `NUMBERS` and `TEXTS`: see the modality's `Measures`.
        descriptors: file of (n, 53) float16, zeros where a picture does not decode; see `Described` and `described`.
        thumbs: file of (n, 32, 32, 3) uint8, read piece by piece.
    """

    columns: dict[str, Any]
    descriptors: Path
    thumbs: Path


def pixels(
    frame: Any,
    folders: dict[str, Path],
    modality: Plugin,
    scratch: Path,
    progress: Progress,
    known: Ahead | None = None,
) -> Examination:
    """Decode and measure every picture of the manifest that its origin could read.

    Args:
        frame: the manifest.
        folders: shard folder of each role.
        scratch: folder for what is too large for memory; the caller removes it.
        known: measures of whole shards, which need not be decoded then.
    """
    import pandas as pd
    import pyarrow as pa

    n = len(frame)
    numbers: dict[str, Any] = {name: np.zeros(n, kind) for name, kind in NUMBERS.items()}
    texts: dict[str, list[Any]] = {name: [] for name in TEXTS}
    done, descriptors, thumbs = 0, scratch / "descriptors.f16", scratch / "thumbs.u8"
    with (
        descriptors.open("wb") as described_in,
        thumbs.open("wb") as shown_in,
        closing(_found(frame, folders, modality, known)) as found_by_batch,
    ):
        for batch in found_by_batch:
            rows = slice(done, done + len(batch))
            for name, values in zip(NUMBERS, zip(*(one.numbers for one in batch), strict=True), strict=True):
                numbers[name][rows] = values
            for name, words in zip(TEXTS, zip(*(one.texts for one in batch), strict=True), strict=True):
                texts[name].append(pa.array(words, pa.string()))
            described_in.writelines(one.descriptor for one in batch)
            shown_in.writelines(one.thumb for one in batch)
            progress(done := done + len(batch), n)
    found = {
        name: pd.Series(pa.chunked_array(parts, pa.string()).to_pandas(), dtype="str") for name, parts in texts.items()
    }
    told = frame["problem"].reset_index(drop=True)  # by the origin or the header: the first word counts
    found["problem"] = told.where(told != "", found["problem"])
    shared = {name: pd.Series(values, copy=False) for name, values in numbers.items()}  # with the frame it goes into
    return Examination({**shared, **found}, descriptors, thumbs)


@dataclass(frozen=True)
class Described:
    """Descriptors of the manifest's rows where they lie, in the file of an `Examination`."""

    file: Path

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(len(rows), 53) float16; beside them memory holds a piece of the file."""
        width, of_piece = duplicates.N_VALUES, rows // PIECE
        found = np.empty((len(rows), width), np.float16)
        order = np.argsort(of_piece, kind="stable")
        with self.file.open("rb") as file:
            for number, some in groupby(order.tolist(), key=of_piece.tolist().__getitem__):
                file.seek(2 * width * PIECE * number)
                piece = np.fromfile(file, np.float16, PIECE * width).reshape(-1, width)
                places = list(some)
                found[places] = piece[rows[places] - PIECE * number]
        return found


def described(seen: Examination, values: Sequence[int]) -> NDArray[np.float16]:
    """(n, len(values)) float16: those values of every row's descriptor."""
    width, places = duplicates.N_VALUES, list(values)
    found = np.empty((seen.descriptors.stat().st_size // (2 * width), len(places)), np.float16)
    with seen.descriptors.open("rb") as file:
        for start in range(0, len(found), PIECE):
            piece = np.fromfile(file, np.float16, PIECE * width).reshape(-1, width)
            found[start : start + len(piece)] = piece[:, places]
    return found


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


class Stretch(NamedTuple):
    """Rows of the manifest one after the other, and the file that knows their measures if there is one."""

    start: int
    stop: int
    file: Path | None

    @property
    def n_batches(self) -> int:
        return math.ceil((self.stop - self.start) / BATCH)


def _found(frame: Any, folders: dict[str, Path], modality: Plugin, known: Ahead | None) -> Batches:
    """Every row in order, some at a time: as it is known, or measured now."""
    stretches = _stretches(frame, folders, known)
    unknown = [one for one in stretches if not one.file]
    with closing(measured(_batches(frame, folders, unknown), modality, sum(one.n_batches for one in unknown))) as now:
        for one in stretches:
            yield from _known(one.file) if one.file else islice(now, one.n_batches)


def _stretches(frame: Any, folders: dict[str, Path], known: Ahead | None) -> list[Stretch]:
    if known is None or not known.folder.exists():
        return [Stretch(0, len(frame), None)]
    found, stop = list[Stretch](), 0
    every = frame[["domain", "shard", "offset", "bytes"]].itertuples(index=False, name=None)
    for (role, shard), rows in groupby(every, key=lambda row: row[:2]):
        places = [row[2:] for row in rows]
        start, stop = stop, stop + len(places)
        file = known.file(folders[role] / shard)
        if file and ahead.places(file) != places:
            file = None
        if found and not found[-1].file and not file:
            start = found.pop().start
        found.append(Stretch(start, stop, file))
    return found


def _batches(frame: Any, folders: dict[str, Path], stretches: Sequence[Stretch]) -> Iterator[list[Item]]:
    places = frame[["domain", "shard", "offset", "bytes"]]
    for one in stretches:
        for start in range(one.start, one.stop, BATCH):
            some = places.iloc[start : min(start + BATCH, one.stop)].itertuples(index=False, name=None)
            yield [Item(folders[role], Place(shard, offset, length)) for role, shard, offset, length in some]


def measured(batches: Iterable[list[Item]], modality: Plugin, most_batches: int) -> Batches:
    """What the pixels tell of each item, batch by batch, in processes that may die of it; of none without a batch."""
    if not most_batches:
        return
    crashed = _packed(modality.module.Measures("unreadable: its decoder crashed, or wanted too much memory"))
    with Pool(_measure, modality.module.measure, crashed, most_batches) as pool:
        yield from pool.run(batches)


def as_row(one: Packed) -> dict[str, Any]:
    """The same by column."""
    return dict(zip(KINDS, (*one.numbers, *one.texts, one.descriptor, one.thumb), strict=True))


def _known(file: Path) -> Iterator[list[Packed]]:
    found = (
        Packed(
            tuple(row[name] for name in NUMBERS), tuple(row[name] for name in TEXTS), row["descriptor"], row["thumb"]
        )
        for row in ahead.rows(file)
    )
    while some := list(islice(found, BATCH)):
        yield some


def _packed(measures: Any) -> Packed:
    numbers = tuple(getattr(measures, name) for name in NUMBERS)
    texts = tuple(getattr(measures, name) for name in TEXTS)
    if measures.sample is None:
        return Packed(numbers, texts, bytes(2 * duplicates.N_VALUES), bytes(math.prod(_THUMB)))
    image = Image.fromarray(measures.sample)
    descriptor = duplicates.descriptor(image).astype(np.float16)
    return Packed(numbers, texts, descriptor.tobytes(), patches.thumb(image).tobytes())


def _measure(measure: Any, items: list[Item]) -> list[Packed]:
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
