"""Releases on this machine: pulled whole or not at all, checked each time they are opened, usable offline."""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from graft.core.errors import BadInput, EnvironmentProblem
from graft.hub import receipt, releases, sealed, signing, store
from graft.hub.bucket import Bucket, Tell
from graft.hub.names import Reference
from graft.hub.pointer import Move
from graft.hub.receipt import Receipt
from graft.hub.releases import Held, Progress
from graft.hub.store import Store

OFFLINE = "GRAFT_OFFLINE"
RECEIPT, SIGNATURE = "receipt.json", "receipt.sig"


class Pulled(NamedTuple):
    """A release on this machine.

    Attributes:
        folder: its files, receipt.json beside them.
        warning: "" or why this may not be what stands there now: the store was out of reach.
    """

    folder: Path
    receipt: Receipt
    warning: str = ""


def root() -> Path:
    """`GRAFT_CACHE`, or `graft` in the user's cache folder."""
    if named := os.environ.get("GRAFT_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "graft"


def pull(wanted: Reference, progress: Progress = lambda done, total: None) -> Pulled:
    """The release that `wanted` names, brought here unless it is here.

    A version that is here needs no store. A stage is looked up each time; where the store is out of reach, or
    `GRAFT_OFFLINE` is set, what stood there when it was last asked is taken, with a warning.

    Raises:
        BadInput: no such release, or a byte of it is not as published.
        EnvironmentProblem: no store is named, it is out of reach and the release is not here, or the disk is full.
    """
    place = store.known()
    shelf = _Shelf(place)
    if wanted.version and (here := shelf.find(wanted.model, wanted.version)):
        return here
    if os.environ.get(OFFLINE):
        return shelf.offline(wanted, f"{OFFLINE} is set")
    try:
        with _disk(shelf.folder), closing(Bucket(place)) as bucket:
            found, move = releases.look_up(bucket, wanted)
            if move:
                shelf.remember(move)
            return shelf.fetch(bucket, found, progress)
    except EnvironmentProblem as error:
        try:
            return shelf.offline(wanted, str(error))
        except BadInput:
            raise error from None


def copy(pulled: Pulled, to: Path) -> Path:
    """The release's files in the folder `to`, which is new, empty or an earlier release's; it is replaced as a whole.

    Raises:
        BadInput: the folder holds something else.
    """
    to = to.absolute()
    with _disk(to.parent, "name another folder with -o"):
        to.parent.mkdir(parents=True, exist_ok=True)
        with _locked(to.parent / f".{to.name}.lock"):
            if to.exists() and not to.is_dir() or to.is_dir() and any(to.iterdir()) and not (to / RECEIPT).is_file():
                raise BadInput(f"{to} holds something that is no release; name a new folder with -o")
            if to.is_dir() and (to / RECEIPT).is_file() and _is_sound(to, pulled.receipt):
                return to
            with _aside(to) as aside:
                aside.mkdir()
                signed = [SIGNATURE] if (pulled.folder / SIGNATURE).is_file() else []
                for name in (*pulled.receipt.contents.files, RECEIPT, *signed):
                    shutil.copyfile(pulled.folder / name, aside / name)
                if not _is_sound(aside, pulled.receipt):
                    raise BadInput(f"{pulled.folder} changed while it was copied; type the same command again")
                _replace(aside, to)
    return to


def open_folder(folder: Path) -> Pulled:
    """A release that lies in `folder`, every byte checked.

    Raises:
        BadInput: there is none, or it is not as published.
    """
    try:
        data = (folder / RECEIPT).read_bytes()
    except (OSError, ValueError):  # ValueError: NUL in the name
        raise BadInput(f"{folder} holds no release: {RECEIPT} is missing; graft pull -o makes such a folder") from None
    found = receipt.parse(Receipt, sealed.unseal(data, str(folder / RECEIPT)), str(folder / RECEIPT))
    signing.check(data, lambda: _bytes(folder / SIGNATURE), str(folder / SIGNATURE))
    for name, file in found.contents.files.items():
        if not _holds(folder / name, file):
            raise BadInput(f"{folder / name} is missing or altered; pull {found.name}@{found.version} again")
    return Pulled(folder, found)


class _Shelf:
    """What is here of one store."""

    def __init__(self, place: Store) -> None:
        named = hashlib.sha256(f"{place.endpoint}\n{place.bucket}".encode()).hexdigest()[:16]
        self.folder = root() / "releases" / named

    def find(self, model: str, version: str, sha256: str = "") -> Pulled | None:
        """A release that is here and sound."""
        for folder in sorted(self.folder.glob(f"models/{model}/{version}-{sha256[:16] or '*'}")):
            try:
                found = open_folder(folder)
            except BadInput:
                continue
            if (found.receipt.name, found.receipt.version) == (model, version):
                return found
        return None

    def fetch(self, bucket: Bucket, held: Held, progress: Progress) -> Pulled:
        """The release, downloaded by one process however many ask for it."""
        name, version = held.receipt.name, held.receipt.version
        target = self.folder / "models" / name / f"{version}-{held.sha256[:16]}"
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(target.parent / f".{target.name}.lock"):
            if here := self.find(name, version, held.sha256):
                return here
            with _aside(target) as aside:
                aside.mkdir()

                def one(file: str, tell: Tell) -> None:
                    said = held.receipt.contents.files[file]
                    bucket.download(held.folder + file, aside / file, said.bytes_, said.sha256, tell)

                releases.at_once(held.receipt.contents, one, progress)
                if signature := releases.signature(bucket, held):
                    (aside / SIGNATURE).write_bytes(signature)
                (aside / RECEIPT).write_bytes(held.data)
                _replace(aside, target)
        return Pulled(target, held.receipt)

    def remember(self, move: Move) -> None:
        """Where a stage points, for days without the store.

        Raises:
            BadInput: the pointer is older than one that was seen here.
        """
        path = self._pointer(move.model, move.stage)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path.with_name(f".{path.name}.lock")):
            known = self._known(move.model, move.stage)
            if known and known.serial > move.serial:
                raise BadInput(
                    f"{move.model}@{move.stage} is at move {move.serial} and was at move {known.serial} when it "
                    f"was last asked: the store was set back; if that is right, remove {path}"
                )
            if known != move:
                aside = path.with_name(f".{path.name}.part")
                aside.write_bytes(sealed.seal(receipt.plain(move)))
                aside.replace(path)

    def offline(self, wanted: Reference, why: str) -> Pulled:
        """What is here of `wanted`.

        Raises:
            BadInput: nothing is.
        """
        known = self._known(wanted.model, wanted.stage) if wanted.stage else None
        version, sha256 = (known.version, known.receipt) if known else (wanted.version, "")
        here = self.find(wanted.model, version, sha256) if version else None
        if not here:
            raise BadInput(f"{wanted} is not on this machine, and {why}")
        told = f"; {wanted} was {version} when it was last asked" if wanted.stage else ""
        return here._replace(warning=f"{why}{told}")

    def _pointer(self, model: str, stage: str) -> Path:
        return self.folder / "stages" / model / f"{stage}.json"

    def _known(self, model: str, stage: str) -> Move | None:
        path = self._pointer(model, stage)
        data = _bytes(path)
        try:
            return receipt.parse(Move, sealed.unseal(data, str(path)), str(path)) if data else None
        except BadInput:
            return None  # damaged: what the store says replaces it


def _is_sound(folder: Path, wanted: Receipt) -> bool:
    try:
        return open_folder(folder).receipt == wanted
    except BadInput:
        return False


def _holds(path: Path, file: receipt.File) -> bool:
    return path.is_file() and not path.is_symlink() and releases.describe(path) == file


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside `path` for what is to take its place; what killed processes left there is removed. Under a lock."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _replace(aside: Path, path: Path) -> None:
    """`aside` in the place of the folder `path`, whatever was there."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    if path.exists():
        path.rename(old)
    aside.rename(path)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _disk(folder: Path, elsewhere: str = "set GRAFT_CACHE") -> Iterator[None]:
    """A full or unwritable disk as one clear line."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or folder
        raise EnvironmentProblem(f"{where}: {error.strerror or error}; make room, or {elsewhere}") from None
