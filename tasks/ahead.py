"""What jobs found of raw shards ahead of the stage that asks for it: a file for each shard, a row for each picture.

A file counts while it is as it was written, and under a name that all that decides it has a say in. What is not there
the stage finds out itself.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import graft
import tasks
from graft.core.plugins import Plugin
from tasks.adapters import files
from tasks.adapters.shards import Place
from tasks.workspace import Workspace

ROWS, WHOLE = "rows.parquet", "whole.json"
LIBRARIES = ("cleanvision", "numpy", "pillow", "scipy")
"""What else has a say in a picture's measures and pixels."""
PLACE = {"offset": int, "bytes": int}
"""Columns that tell a picture of its shard."""
READ_ROWS = 200


@dataclass(frozen=True)
class Ahead:
    """What is known of raw shards for one stage and modality.

    Attributes:
        folder: with a folder for each shard.
    """

    folder: Path
    modality: Plugin

    @classmethod
    def of(cls, workspace: Workspace, stage: str, modality: Plugin) -> "Ahead":
        """What jobs found for `validate` or `extract`."""
        return cls(workspace.ahead(stage), modality)

    def place(self, shard: Path) -> Path:
        """The folder for what is found of a shard, there or not. Reads the whole shard."""
        options = self.modality.options.model_dump(mode="json")
        said = [self.modality.name, options, code(), _digest(shard)]
        return self.folder / hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]

    def file(self, shard: Path) -> Path | None:
        """What was found of a shard, for `places` and `rows`; None if nothing was, or it is not as it was written."""
        if not self.folder.exists():
            return None
        folder = self.place(shard)
        try:
            whole = json.loads((folder / WHOLE).read_text(encoding="utf-8"))["sha256"] == _digest(folder / ROWS)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return folder / ROWS if whole else None


def remove(workspace: Workspace, stage: str) -> None:
    """The stage has ended well and needs nothing of it any more."""
    shutil.rmtree(workspace.ahead(stage), ignore_errors=True)


def write(folder: Path, kinds: Mapping[str, type], pieces: Iterable[list[dict[str, Any]]]) -> None:
    """Write what was found of a shard; memory holds a piece of its rows.

    Args:
        folder: an empty one.
        kinds: of the columns beside `PLACE`: int, float, str or bytes.
        pieces: rows with all of these, in the shard's order.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = {int: pa.int64(), float: pa.float64(), str: pa.string(), bytes: pa.binary()}
    schema = pa.schema([(name, known[kind]) for name, kind in {**PLACE, **kinds}.items()])
    with pq.ParquetWriter(folder / ROWS, schema, compression="zstd") as writer:
        for piece in pieces:
            writer.write_table(pa.Table.from_pylist(piece, schema))
    files.write_json(folder / WHOLE, {"sha256": _digest(folder / ROWS)})


def places(file: Path) -> list[tuple[int, int]]:
    """Offset and bytes of each picture that a file of `Ahead.file` knows, in the shard's order."""
    import pyarrow.parquet as pq

    table = pq.read_table(file, columns=list(PLACE))
    return list(zip(*(table.column(name).to_pylist() for name in PLACE), strict=True))


def rows(file: Path, most: int = READ_ROWS) -> Iterator[dict[str, Any]]:
    """What it knows of each; `most` at a time in memory, and a piece of `write`."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened:
        for some in opened.iter_batches(most):
            yield from some.to_pylist()


def row_of(place: Place, found: Mapping[str, Any]) -> dict[str, Any]:
    """A row for `write`."""
    return {"offset": place.offset, "bytes": place.bytes_, **found}


@lru_cache
def code() -> str:
    """Names the code and the libraries that measure and decode."""
    found = hashlib.sha256(json.dumps([version(name) for name in LIBRARIES]).encode())
    library, ours = Path(graft.__file__).parent, Path(tasks.__file__).parent
    for folder in (library / "core", library / "modalities", ours):
        for file in sorted(folder.rglob("*.py")):
            found.update(f"{file.relative_to(folder)} {_digest(file)}\n".encode())
    return found.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
