"""Pieces of objects on disk, so that a killed sync goes on where it was and the next one reads only what changed."""

import hashlib
import json
import os
import secrets
import time
from pathlib import Path

from graft.core.errors import EnvironmentProblem, one_line
from graft.hub.store import Store
from tasks.origins._s3.bucket import Content, Piece

_DIGEST = 64
_LEFT_AFTER_S = 24 * 3600


class Cache:
    """A file for each piece, named by a hash: no key ever becomes a path. In it: SHA-256 of the rest, facts, bytes."""

    def __init__(self, folder: Path, store: Store) -> None:
        """Makes the folder; removes what killed runs left half written.

        Raises:
            EnvironmentProblem: the folder cannot be written.
        """
        self._folder, self._aside = folder, folder / "unfinished"
        self._salt = f"{store.endpoint}\0{store.bucket}\0"
        try:
            self._aside.mkdir(parents=True, exist_ok=True)
            for left in self._aside.iterdir():
                if time.time() - left.stat().st_mtime > _LEFT_AFTER_S:  # a younger one may be in another run's hands
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from None

    def has(self, piece: Piece) -> bool:
        """Whether there is a file for it, sound or not."""
        return os.path.exists(self.path(piece))

    def read(self, piece: Piece) -> Content | None:
        """The piece; None if it is missing or damaged."""
        try:
            with open(self.path(piece), "rb", buffering=0) as file:
                packed = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None
        if hashlib.sha256(memoryview(packed)[_DIGEST:]).hexdigest().encode() != packed[:_DIGEST]:
            return None
        end = packed.index(b"\n")
        version, proofs = json.loads(packed[_DIGEST:end])
        return Content(packed[end + 1 :], version, proofs)

    def write(self, piece: Piece, content: Content) -> None:
        """Keep the piece; the file appears whole or not at all.

        Raises:
            EnvironmentProblem: the folder cannot be written, or the disk is full.
        """
        facts = json.dumps([content.version, content.proofs]).encode() + b"\n"
        digest = hashlib.sha256(facts)
        digest.update(content.data)
        aside, path = f"{self._aside}/{secrets.token_hex(16)}", self.path(piece)
        try:
            with open(aside, "wb") as file:
                file.writelines((digest.hexdigest().encode(), facts, content.data))
            try:
                os.replace(aside, path)
            except FileNotFoundError:  # the first of its folder; to ask each time costs more than the write
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(aside, path)
        except OSError as error:
            Path(aside).unlink(missing_ok=True)
            raise self._unusable(error) from None

    def drop(self, piece: Piece) -> None:
        """Forget the piece."""
        Path(self.path(piece)).unlink(missing_ok=True)

    def path(self, piece: Piece) -> str:
        """Where the piece is kept."""
        item = piece.item
        name = hashlib.sha256(f"{self._salt}{item.key}\0{item.etag}\0{item.size}".encode()).hexdigest()[:40]
        return f"{self._folder}/{name[:2]}/{name}" + ("" if piece.is_whole else f".{piece.start}-{piece.stop}")

    def _unusable(self, error: OSError) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"cache {one_line(str(self._folder))}: {error.strerror}; make room there, or set GRAFT_CACHE"
        )
