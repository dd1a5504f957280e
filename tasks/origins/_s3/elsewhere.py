"""Objects that another machine fetches: it is told a part of the listing, and what they hold comes here in one file."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from graft.core.errors import BadInput, one_line
from tasks.origins._s3.bucket import Content, Listed
from tasks.origins._s3.cache import Cache
from tasks.origins._s3.download import pieces

OBJECTS = "objects.parquet"
PART_OBJECTS, PART_BYTES = 1000, 64_000_000
_GROUP_BYTES, _READ_OBJECTS = 8_000_000, 50


def parts(items: Iterable[Listed], cache: Cache) -> Iterator[list[Listed]]:
    """What the cache lacks of each stretch of the listing that lacks any.

    Where a stretch starts does not depend on the cache: after a kill the same parts are asked for.
    """
    for stretch in _stretches(items):
        if missing := [item for item in stretch if not all(cache.has(piece) for piece in pieces(item))]:
            yield missing


def _stretches(items: Iterable[Listed]) -> Iterator[list[Listed]]:
    stretch, size = list[Listed](), 0
    for item in items:
        if len(stretch) == PART_OBJECTS or (stretch and size + item.size > PART_BYTES):
            yield stretch
            stretch, size = [], 0
        stretch.append(item)
        size += item.size
    if stretch:
        yield stretch


def pack(contents: Iterable[Content], folder: Path) -> None:
    """Write what a part's objects hold, in their order; memory holds some megabytes, or an object."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("version", pa.string()), ("proofs", pa.string()), ("data", pa.binary())])
    with pq.ParquetWriter(folder / OBJECTS, schema, compression="none", use_dictionary=False) as writer:
        for some in _groups(contents):
            rows = [{**one._asdict(), "proofs": json.dumps(one.proofs)} for one in some]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def unpack(folder: Path, items: Sequence[Listed], cache: Cache) -> None:
    """Put what came for a part into the cache, cut as this machine would have asked for it.

    Raises:
        BadInput: it is not what a machine with the same code makes of this part.
        EnvironmentProblem: the cache cannot be written, or the disk is full.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(folder / OBJECTS) as file:
            if file.metadata.num_rows != len(items):
                raise ValueError(f"{file.metadata.num_rows} objects where {len(items)} were asked for")
            came = chain.from_iterable(some.to_pylist() for some in file.iter_batches(_READ_OBJECTS))
            for item, row in zip(items, came, strict=True):
                content = Content(row["data"], row["version"], json.loads(row["proofs"]))
                if len(content.data) != item.size:
                    raise ValueError(f"{len(content.data)} bytes of {one_line(item.key, 200)}, which has {item.size}")
                for piece in pieces(item):
                    proofs = content.proofs if piece.start == 0 else {}
                    cache.write(piece, Content(content.data[piece.start : piece.stop], content.version, proofs))
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        told = f"what was fetched elsewhere is not as it was made: {one_line(str(error), 300)}"
        raise BadInput(f"{told}; remove spread/ from the store") from None


def _groups(contents: Iterable[Content]) -> Iterator[list[Content]]:
    group, size = list[Content](), 0
    for one in contents:
        if group and size + len(one.data) > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(one)
        size += len(one.data)
    if group:
        yield group
