"""The manifest: one row per picture of both domains, in a parquet file, written and read some rows at a time."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.adapters.files import written_aside
from tasks.adapters.shards import Place

GROUP_ROWS = 32_768
"""Rows of a row group: what a reader that goes from group to group has in memory."""
PIECE_ROWS = 1_000
SHARED = ("domain", "split", "format", "shard")
FRAME = (*SHARED, "path", "label", "width", "height", "bytes", "offset", "problem")


@dataclass(frozen=True)
class Row:
    """What is known of one picture before it is decoded.

    Attributes:
        domain: `source` or `target`.
        path: as the origin named it, made safe (see `graft.core.names`).
        sha256: of the encoded bytes.
        label: class name.
        split: train, validation, test or unseen.
        width, height: pixels by the file's header; 0 if it has none that can be read.
        mode, format: Pillow's; "" if the header cannot be read.
        bytes: encoded length.
        group: art style or the like; "" if there is none.
        unit: pictures of one unit share a split; "" if only the content ties.
        shard, offset: where the bytes lie.
        problem: why it was not read, as "rule: reason"; "" if it was.
        etag, version: of the object in a store; "" elsewhere.
    """

    domain: str
    path: str
    sha256: str
    label: str
    split: str
    width: int
    height: int
    mode: str
    format: str
    bytes: int
    group: str
    unit: str
    shard: str
    offset: int
    problem: str
    etag: str
    version: str

    @property
    def place(self) -> Place:
        return Place(self.shard, self.offset, self.bytes)


def write(path: Path, rows: Iterable[Row], group_rows: int = GROUP_ROWS) -> int:
    """Write the manifest and return the number of rows; the same rows give the same bytes.

    Memory holds a row group, as columns.
    """
    import pyarrow.parquet as pq

    n = 0
    with ExitStack() as stack:
        aside = stack.enter_context(written_aside(path))
        writer = stack.enter_context(pq.ParquetWriter(aside, _schema(), compression="zstd"))
        for group in _groups(iter(rows), group_rows):
            writer.write_table(group)
            n += len(group)
    return n


def _groups(rows: Iterator[Row], group_rows: int) -> Iterator[Any]:
    """Tables of `group_rows` rows, the last one with what is left."""
    import pyarrow as pa

    while True:
        group, left = [], group_rows
        while piece := [vars(row) for row in islice(rows, min(PIECE_ROWS, left))]:
            group.append(pa.Table.from_pylist(piece, _schema()))
            left -= len(piece)
        if not group:
            return
        yield pa.concat_tables(group).combine_chunks()


def _schema() -> Any:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64()}
    return pa.schema([(name, kinds[kind]) for name, kind in Row.__annotations__.items()])


def read(path: Path, domain: str | None = None, split: str | None = None) -> list[Row]:
    """Rows in the manifest's order, of one domain and split if named."""
    return [row for row in stream(path, domain) if split is None or row.split == split]


def stream(path: Path, domain: str | None = None) -> Iterator[Row]:
    """All rows in the manifest's order, or those of one domain; some at a time in memory."""
    for piece in pieces(path):
        yield from (Row(**row) for row in piece.to_pylist() if domain in (None, row["domain"]))


def pieces(path: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """The manifest as pyarrow.RecordBatch after RecordBatch, of these columns if named."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(PIECE_ROWS, columns=columns)


def frame(path: Path) -> Any:
    """What the data gate asks of the manifest, as a pandas.DataFrame; a text that many rows share is kept once."""
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=list(FRAME), read_dictionary=list(SHARED)).to_pandas(split_blocks=True)
