"""Many small pictures in few large files: plain tar, so that any tool opens them, read at random by offset."""

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

SHARD_BYTES = 64_000_000


class Place(NamedTuple):
    """Where a picture's bytes lie: shard file name, offset and length in bytes."""

    shard: str
    offset: int
    bytes_: int


class ShardWriter:
    """Appends pictures to tar shards of about `shard_bytes` in one folder; the same pictures give the same bytes."""

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._count = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, path: str, data: bytes) -> Place:
        """Append one picture under the name `path`."""
        if self._tar is None or self._tar.offset > self._shard_bytes:
            self._next()
        assert self._tar is not None
        member = tarfile.TarInfo(path)  # owner, time and mode stay at their defaults: nothing of this machine
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        self._tar.members = []  # type: ignore[attr-defined]  # it would keep every one until the shard is closed
        padded = (len(data) + 511) // 512 * 512
        return Place(Path(str(self._tar.name)).name, self._tar.offset - padded, len(data))

    def _next(self) -> None:
        self.close()
        self._tar = tarfile.open(self._folder / f"shard-{self._count:05d}.tar", "w", format=tarfile.PAX_FORMAT)
        self._count += 1

    def close(self) -> None:
        """Finish the shard at hand."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(folder: Path, places: Iterable[Place]) -> Iterator[bytes]:
    """The bytes of each place, in order; one shard is open at a time."""
    shard: str | None = None
    file = None
    try:
        for place in places:
            if place.shard != shard:
                if not re.fullmatch(r"shard-\d{5}\.tar", place.shard):
                    raise ValueError(f"not a shard's name: {place.shard!r}")
                if file:
                    file.close()
                shard, file = place.shard, (folder / place.shard).open("rb")
            assert file is not None
            file.seek(place.offset)
            yield file.read(place.bytes_)
    finally:
        if file:
            file.close()
