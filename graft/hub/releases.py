"""Releases in object storage: published once and whole, read with every byte checked.

models/plants/v3/claim.json      who publishes v3, and what: written first, decides a race
models/plants/v3/model.tflite    ... the files
models/plants/v3/receipt-HASH.sig    a signature over the receipt, where a key is configured
models/plants/v3/receipt.json    written last: without it the version does not exist
stages/plants/prod.json          where a stage points
history/plants/prod/000007.json  every move it made
"""

import getpass
import hashlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from graft.core.errors import BadInput, one_line
from graft.hub import names, pointer, receipt, sealed, signing
from graft.hub.bucket import Bucket, Missing, Tell
from graft.hub.names import Reference
from graft.hub.pointer import Lost, Move
from graft.hub.receipt import Contents, Part, Published, Receipt, Replaced

AT_ONCE = 8
LOOK_BACK = 20
"""A publisher looks for the same release among this many of the latest."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class Claim(Part):
    """Who publishes a version, and the hash of what."""

    digest: receipt.Sha256
    published: Published


class Held(NamedTuple):
    """A receipt, and its bytes as they are stored."""

    receipt: Receipt
    data: bytes

    @property
    def sha256(self) -> str:
        """Hash of the receipt: names the release and everything in it."""
        return sealed.sha256(self.data)

    @property
    def folder(self) -> str:
        """Prefix of the release's keys."""
        return folder(self.receipt.name, self.receipt.version)


def folder(model: str, version: str) -> str:
    """Prefix of a release's keys."""
    return f"models/{model}/{version}/"


def who() -> str:
    """Who writes receipts and moves: `GRAFT_USER`, or user and host."""
    return one_line(os.environ.get("GRAFT_USER") or f"{getpass.getuser()}@{socket.gethostname()}", 200)


def publish(
    bucket: Bucket,
    contents: Contents,
    files: Mapping[str, Path],
    version: str | None = None,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda text: None,
) -> Held:
    """Publish a release. A later attempt with equal contents goes on with an earlier one, finished or not.

    Args:
        files: path by name, one for each of `contents.files`.
        version: which one it has to be; None takes the next that is free.
        note: told of versions that others took meanwhile.

    Raises:
        Lost: `version` is another's; the text says whose.
        BadInput: a file is not what `contents` says.
    """
    _compare(contents, files)
    version, claim = _claim(bucket, contents, version, note)
    try:
        return _same(_receipt(bucket, contents.name, version), claim.digest)
    except Missing:
        _upload(bucket, contents, version, files, progress)
    last = pointer.standing(bucket, contents.name, contents.stages[-1])
    replaces = Replaced(version=last.move.version, receipt=last.move.receipt) if last else None
    return _seal(
        bucket,
        Receipt(
            format=receipt.FORMAT,
            version=version,
            published=claim.published,
            replaces=replaces,
            contents=contents,
        ),
    )


def find(bucket: Bucket, wanted: Reference) -> Held:
    """The release that `wanted` names; see look_up."""
    return look_up(bucket, wanted)[0]


def look_up(bucket: Bucket, wanted: Reference) -> tuple[Held, Move | None]:
    """The release that `wanted` names, and the move that put it there if that is a stage.

    Its receipt is checked: against the pointer, and by signature where a public key is set.

    Raises:
        BadInput: there is none (the text lists what there is), or the receipt is not the one that was published.
    """
    version, move = wanted.version, None
    if wanted.stage:
        last = pointer.standing(bucket, wanted.model, wanted.stage)
        if not last:
            raise BadInput(_unknown(bucket, wanted))
        version, move = last.move.version, last.move
    try:
        found = _receipt(bucket, wanted.model, version)
    except Missing as error:
        told = f"{error}, and {wanted} points to it; {sealed.REMEDY}" if move else _unknown(bucket, wanted)
        raise BadInput(told) from None
    if move and move.receipt != found.sha256:
        raise BadInput(
            f"{found.folder}receipt.json is altered: {wanted} points to another receipt of {version}; {sealed.REMEDY}"
        )
    signing.check(found.data, partial(signature, bucket, found), _signature_key(found))
    return found, move


def verify(bucket: Bucket, held: Held, progress: Progress = lambda done, total: None) -> None:
    """Read every file of the release through.

    Raises:
        BadInput: one is missing or altered.
    """

    def one(name: str, tell: Tell) -> None:
        file = held.receipt.contents.files[name]
        bucket.verify(held.folder + name, file.bytes_, file.sha256, tell)

    at_once(held.receipt.contents, one, progress)


def signature(bucket: Bucket, held: Held) -> bytes | None:
    """The signature over the receipt; None if it was not signed."""
    try:
        return bucket.read(_signature_key(held), sealed.MAX_BYTES).data
    except Missing:
        return None


def versions(bucket: Bucket, model: str) -> list[str]:
    """The published versions of a model, the first one first."""
    prefix = f"models/{model}/"
    found = [key.removeprefix(prefix).split("/") for key in bucket.keys(prefix)]
    there = (parts[0] for parts in found if parts[1:] == ["receipt.json"] and names.is_version(parts[0]))
    return sorted(there, key=names.number)


def models(bucket: Bucket) -> list[str]:
    """Names of the models of which something was published."""
    return bucket.folders("models/")


def describe(path: Path) -> receipt.File:
    """Size and hash of a file here."""
    with path.open("rb") as file:
        return receipt.File(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def at_once(contents: Contents, do: Callable[[str, Tell], Any], progress: Progress) -> None:
    """Call `do` for every file of the release, several at a time; `progress` hears of all of them together."""
    total, done, lock = sum(file.bytes_ for file in contents.files.values()), 0, Lock()

    def tell(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            progress(done, total)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(do, name, tell) for name in contents.files]
        try:
            for one in running:
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _compare(contents: Contents, files: Mapping[str, Path]) -> None:
    for name, said in contents.files.items():
        if describe(files[name]) != said:
            raise BadInput(f"{files[name]} changed while it was being published; try again")


def _claim(bucket: Bucket, contents: Contents, version: str | None, note: Callable[[str], None]) -> tuple[str, Claim]:
    """The version that these contents have or get, and its claim."""
    wanted = Claim(digest=contents.digest(), published=Published(at=datetime.now(UTC), by=who()))
    taken = sorted(filter(names.is_version, bucket.folders(f"models/{contents.name}/")), key=names.number)
    for one in [version] if version else reversed(taken[-LOOK_BACK:]):
        found = _read_claim(bucket, contents.name, one)
        if found and found.digest == wanted.digest:
            return one, found
    free = names.number(taken[-1]) + 1 if taken else 1
    while True:
        mine = version or f"v{free}"
        if bucket.create(f"{folder(contents.name, mine)}claim.json", sealed.seal(receipt.plain(wanted))):
            return mine, wanted
        other = _read_claim(bucket, contents.name, mine)
        told = f"{mine} was taken by {other.published.by} at {_time(other)}" if other else f"{mine} was taken"
        if other and other.digest == wanted.digest:
            return mine, other
        if version:
            raise Lost(f"{contents.name}@{told}; nothing was published")
        note(told)
        free += 1


def _read_claim(bucket: Bucket, model: str, version: str) -> Claim | None:
    key = f"{folder(model, version)}claim.json"
    try:
        return receipt.parse(Claim, sealed.unseal(bucket.read(key, sealed.MAX_BYTES).data, key), key)
    except Missing:
        return None


def _same(found: Held, digest: str) -> Held:
    """The release, if it is the one that was claimed."""
    if found.receipt.contents.digest() != digest:
        raise BadInput(
            f"{found.folder}claim.json is altered: {found.receipt.version} is published with other contents; "
            f"{sealed.REMEDY}"
        )
    return found


def _upload(bucket: Bucket, contents: Contents, version: str, files: Mapping[str, Path], progress: Progress) -> None:
    def one(name: str, tell: Tell) -> None:
        bucket.upload(folder(contents.name, version) + name, files[name], contents.files[name].sha256)
        tell(contents.files[name].bytes_)

    at_once(contents, one, progress)


def _seal(bucket: Bucket, new: Receipt) -> Held:
    """Write the receipt, its signature before it; or the one that another attempt wrote meanwhile."""
    mine = Held(new, receipt.write(new))
    if made := signing.sign(mine.data):
        bucket.create(_signature_key(mine), made)
    if bucket.create(f"{mine.folder}receipt.json", mine.data):
        return mine
    return _same(_receipt(bucket, new.name, new.version), new.contents.digest())


def _receipt(bucket: Bucket, model: str, version: str) -> Held:
    key = f"{folder(model, version)}receipt.json"
    data = bucket.read(key, sealed.MAX_BYTES).data
    return Held(receipt.read(data, key, model, version), data)


def _signature_key(held: Held) -> str:
    return f"{held.folder}receipt-{held.sha256[:32]}.sig"


def _unknown(bucket: Bucket, wanted: Reference) -> str:
    known = versions(bucket, wanted.model)
    if not known:
        return f"no release of {wanted.model} in bucket {bucket.store.bucket}; models here: {_list(models(bucket))}"
    if wanted.version:
        where = folder(wanted.model, wanted.version)
        if bucket.keys(where):
            return f"{where}receipt.json is missing: {wanted} was never finished, or it was removed; {sealed.REMEDY}"
        return f"{wanted} does not exist; versions of {wanted.model}: {_list(known[-10:])}"
    standing = pointer.stages(bucket, wanted.model)
    in_use = f"stages of {wanted.model} in use: {_list(standing)}"
    return f"nothing stands at {wanted}; {in_use}; versions: {_list(known[-10:])}"


def _list(found: Iterable[str]) -> str:
    return ", ".join(found) or "none"


def _time(claim: Claim) -> str:
    return f"{claim.published.at:%Y-%m-%d %H:%M:%S} UTC"
