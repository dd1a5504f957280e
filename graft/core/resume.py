"""What a training needs to go on where it was killed: numbers only, written aside and renamed."""

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 4_000_000_000
Arrays = Sequence[NDArray[Any]]
State = tuple[dict[str, Any], dict[str, list[NDArray[Any]]]]


@dataclass(frozen=True)
class Checkpoint:
    """A file that may hold the state of one training, or of one phase of it.

    Whoever makes one names it by all that decides the training (settings, data, code): what is found under the name is
    trusted to belong to it.
    """

    path: Path

    def phase(self, name: str) -> "Checkpoint":
        """The file of a training's part, for those that have several."""
        return Checkpoint(self.path.with_name(f"{self.path.name}.{name}"))

    def save(self, facts: Mapping[str, Any], groups: Mapping[str, Arrays]) -> None:
        """Replace what was there.

        Args:
            facts: as JSON can hold them.
            groups: arrays by group, in an order that `load` gives back.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        told = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
        arrays = {f"{name}.{index}": one for name, group in groups.items() for index, one in enumerate(group)}
        try:
            with aside.open("wb") as file:
                np.savez(file, facts=told, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self.path)
        finally:
            aside.unlink(missing_ok=True)

    def load(self) -> State | None:
        """What `save` was given; None if there is nothing, or a file that the disk did not get all of."""
        if not self.path.is_file() or self.path.stat().st_size > MAX_BYTES:
            return None
        try:
            with self.path.open("rb") as file:
                return _read(file)
        except OSError:
            return None

    def raw(self) -> bytes:
        """The file's bytes, for processes that do not see this disk; none where `load` would not look."""
        try:
            return self.path.read_bytes() if self.path.stat().st_size <= MAX_BYTES else b""
        except OSError:
            return b""


def unpacked(raw: bytes) -> State | None:
    """The same as `Checkpoint.load` from the bytes of `Checkpoint.raw`."""
    return _read(io.BytesIO(raw)) if raw else None


def _read(file: IO[bytes]) -> State | None:
    try:
        with np.load(file, allow_pickle=False) as held:
            facts = json.loads(held["facts"].tobytes())
            groups: dict[str, list[NDArray[Any]]] = {}
            for name in held.files:
                group, dot, _ = name.rpartition(".")
                if dot:
                    groups.setdefault(group, []).append(held[name])
            return facts, groups
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
