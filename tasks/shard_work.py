"""The pictures of a raw shard measured, or decoded, for the stage that will ask for it: on whatever machine.

In a process of its own, whose own processes may die of a picture: an engine's workers must not, and may not start any.
"""

import json
import math
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput, EnvironmentProblem, one_line
from graft.core.plugins import Plugin, resolve
from graft.core.processes import CORES
from graft.core.sections import Choice
from tasks import ahead
from tasks.adapters import process, shards
from tasks.adapters.shards import Place
from tasks.gate import examine
from tasks.gate.examine import BATCH, Item
from tasks.gate.pool import Pool

MEASURE, DECODE = "measure", "decode"
PIECE_BYTES = 32_000_000
"""Decoded pictures that are in memory at once."""


def run(what: str, shard: Path, modality: Choice, folder: Path) -> None:
    """`measure` or `decode` the shard, by one core.

    Args:
        folder: an empty one, for the file.

    Raises:
        EnvironmentProblem: the process ended with an error, whatever the pictures are.
    """
    said: list[str] = []
    arguments = [what, str(shard), json.dumps(modality.model_dump(mode="json")), str(folder)]
    command = [sys.executable, "-m", "tasks.shard_work", *arguments]
    code = process.run(command, folder, {**os.environ, CORES: "1"}, said.append)
    if code:
        last = next((line for line in reversed(said) if line.strip()), "it ended without a word")
        killed = f"its process was killed (signal {-code}), for want of memory most likely"
        raise EnvironmentProblem(f"{what} {shard.name}: {killed if code < 0 else one_line(last, 500)}")


def measure(shard: Path, modality: Plugin, folder: Path) -> None:
    """Write what validate asks of each picture; one that does not decode, or kills who tries, has a problem."""
    batches = list(_batches(shard, BATCH))
    found = examine.measured(batches, modality, len(batches))
    ahead.write(folder, examine.KINDS, _rows(batches, (map(examine.as_row, some) for some in found)))


def decode(shard: Path, modality: Plugin, folder: Path) -> None:
    """Write each picture as extract packs it; one that does not decode, or kills who tries, is left out."""
    shape = modality.module.spec(modality.options).shape
    batches = list(_batches(shard, max(1, min(BATCH, PIECE_BYTES // math.prod(shape)))))
    with Pool(_decode, (modality.module.decode, modality.options), None, len(batches)) as pool:
        ahead.write(folder, {"picture": bytes}, _rows(batches, pool.run(batches)))


def _rows(
    batches: list[list[Item]], found: Iterable[Iterable[dict[str, Any] | None]]
) -> Iterator[list[dict[str, Any]]]:
    for items, some in zip(batches, found, strict=True):
        yield [ahead.row_of(item.place, one) for item, one in zip(items, some, strict=True) if one]


def _batches(shard: Path, size: int) -> Iterator[list[Item]]:
    every = (Item(shard.parent, place) for place in _places(shard))
    while some := list(islice(every, size)):
        yield some


def _places(shard: Path) -> Iterator[Place]:
    """Of every picture, in order; of those before the damage, if the shard is damaged."""
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                yield Place(shard.name, member.offset_data, member.size)
    except (tarfile.TarError, ValueError):
        return


def _decode(context: tuple[Any, Any], items: list[Item]) -> list[dict[str, Any] | None]:
    decode, options = context
    found: list[dict[str, Any] | None] = []
    for data in shards.read(items[0].folder, [item.place for item in items]):
        try:
            found.append({"picture": decode(data, options).tobytes()})
        except BadInput:
            found.append(None)
    return found


if __name__ == "__main__":
    what, shard, said, folder = sys.argv[1:]
    modality = resolve("graft.modalities", Choice.model_validate_json(said), "data.modality")
    {MEASURE: measure, DECODE: decode}[what](Path(shard), modality, Path(folder))
