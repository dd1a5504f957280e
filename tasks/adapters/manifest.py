"""The manifest: one row per picture of both domains, in a parquet file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.adapters.files import written_aside
from tasks.adapters.shards import Place


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


def write(path: Path, rows: list[Row]) -> None:
    """Write the manifest; the same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with written_aside(path) as aside:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), aside, compression="zstd")


def read(path: Path, domain: str | None = None, split: str | None = None) -> list[Row]:
    """Rows in the manifest's order, of one domain and split if named."""
    import pyarrow.parquet as pq

    wanted = [(key, "=", value) for key, value in (("domain", domain), ("split", split)) if value]
    return [Row(**row) for row in pq.read_table(path, filters=wanted or None).to_pylist()]


def frame(path: Path) -> Any:
    """The manifest as a pandas.DataFrame."""
    import pandas as pd

    return pd.read_parquet(path)
