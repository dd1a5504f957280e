"""Objects as releases need them: written once, moved by compare-and-swap, read whole or not at all."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from graft.core.errors import BadInput, EnvironmentProblem
from graft.hub import reading
from graft.hub import store as stores
from graft.hub.reading import ATTEMPTS
from graft.hub.sealed import REMEDY
from graft.hub.store import Store

LOST = ("PreconditionFailed", "412", "NoSuchKey", "404")  # 404: AWS, where If-Match meets no object
BUSY = ("ConditionalRequestConflict", "OperationAborted", "409")  # another writer is in the middle of it
MISSING = ("NoSuchKey", "404")
WAIT_S = 0.3

T = TypeVar("T")
Tell = reading.Tell


class Missing(BadInput):
    """No object has this key."""


class Object(NamedTuple):
    """A small object and what names this content of it."""

    data: bytes
    etag: str


class Bucket:
    """The bucket of a store. One client for all threads; errors come as one clear line.

    Every method raises EnvironmentProblem when the store does not answer or refuses.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._client = stores.client(store)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def read(self, key: str, limit: int) -> Object:
        """A small object.

        Raises:
            Missing: there is none.
            BadInput: it has more than `limit` bytes.
        """

        def whole() -> Object:
            answer = self._client.get_object(Bucket=self.store.bucket, Key=key)
            if answer["ContentLength"] > limit:
                answer["Body"].close()
                raise BadInput(f"{key} has {answer['ContentLength']} bytes; such an object has at most {limit}")
            with reading.telling_breaks():
                return Object(answer["Body"].read(), answer["ETag"])

        return self._ask(key, whole)

    def create(self, key: str, data: bytes) -> bool:
        """Write `data` unless the key is taken; whether it now holds `data`, by this write or an earlier one."""
        return self._put(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Write `data` if the object is still the one that `etag` names; whether it now holds `data`."""
        return self._put(key, data, IfMatch=etag)

    def upload(self, key: str, path: Path, sha256: str) -> None:
        """Write the file unless the key is taken. The store checks the bytes that arrive against `sha256`.

        Raises:
            BadInput: the key holds something else.
        """
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with path.open("rb") as file:
            written = self._conditional(key, lambda: _rewound(file), IfNoneMatch="*", ChecksumSHA256=checksum)
        if not written:
            self.verify(key, path.stat().st_size, sha256)

    def download(self, key: str, to: Path, n_bytes: int, sha256: str, tell: Tell = lambda more: None) -> None:
        """Bring an object into the file `to`; its bytes are the ones that were published.

        Raises:
            Missing: there is none.
            BadInput: its bytes are others.
        """

        def whole() -> str:
            with to.open("wb") as file:
                return self._stream(key, n_bytes, file, tell)

        _same(key, self._ask(key, whole), sha256)

    def verify(self, key: str, n_bytes: int, sha256: str, tell: Tell = lambda more: None) -> None:
        """Read an object through; its bytes are the ones that were published. Raises as `download` does."""
        _same(key, self._ask(key, lambda: self._stream(key, n_bytes, None, tell)), sha256)

    def keys(self, prefix: str) -> list[str]:
        """Every key below `prefix`, sorted."""
        return [item["Key"] for page in self._pages(prefix, "") for item in page.get("Contents", ())]

    def folders(self, prefix: str) -> list[str]:
        """Names directly below `prefix`, which ends with a slash."""
        found = [item["Prefix"] for page in self._pages(prefix, "/") for item in page.get("CommonPrefixes", ())]
        return [name.removeprefix(prefix).rstrip("/") for name in found]

    def _pages(self, prefix: str, delimiter: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._explained():
            yield from pages.paginate(Bucket=self.store.bucket, Prefix=prefix, Delimiter=delimiter)

    def _put(self, key: str, data: bytes, **condition: str) -> bool:
        # what came of a request that broke off, and was sent again, only the object itself can tell
        return self._conditional(key, lambda: data, **condition) or self._holds(key, data)

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.read(key, len(data)).data == data
        except BadInput:
            return False

    def _conditional(self, key: str, body: Callable[[], bytes | IO[bytes]], **arguments: str) -> bool:
        from botocore.exceptions import ClientError

        for _ in range(ATTEMPTS):
            with self._explained():
                try:
                    self._client.put_object(Bucket=self.store.bucket, Key=key, Body=body(), **arguments)
                    return True
                except ClientError as error:
                    code = _code(error)
                    if code in LOST:
                        return False
                    if code not in BUSY:
                        raise
            time.sleep(WAIT_S)
        raise EnvironmentProblem(f"{key} is being written by others all the time; try again")

    def _stream(self, key: str, limit: int, file: IO[bytes] | None, tell: Tell) -> str:
        """Hash of the object's bytes as they go into `file`; an object that is too long is not read to its end."""
        body = self._client.get_object(Bucket=self.store.bucket, Key=key)["Body"]
        return reading.digest(body, hashlib.sha256(), file, tell, limit)

    def _ask(self, key: str, question: Callable[[], T]) -> T:
        """What `question` answers; it is asked again when the answer breaks off half way."""
        from botocore.exceptions import ClientError

        def explained() -> T:
            with self._explained():
                return question()

        where = self.store.endpoint or "AWS"
        try:
            return reading.insist(
                explained,
                WAIT_S,
                lambda error: EnvironmentProblem(f"{key}: {where} failed {ATTEMPTS} times ({error}); try again later"),
            )
        except ClientError:
            raise Missing(f"{key} is not in bucket {self.store.bucket}") from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """As `store.explained`; that an object is missing passes through."""
        from botocore.exceptions import ClientError

        missing = None
        with stores.explained(self.store, "set GRAFT_BUCKET"):
            try:
                yield
            except ClientError as error:
                if _code(error) not in MISSING:
                    raise
                missing = error
        if missing:
            raise missing


def _same(key: str, found: str, sha256: str) -> None:
    if found != sha256:
        raise BadInput(f"{key} is altered: sha256 {found[:12]}… instead of {sha256[:12]}…; {REMEDY}")


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _rewound(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file
