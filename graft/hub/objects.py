"""Objects below a prefix of a bucket that are known by the MD5 of their bytes, as DVC keeps them.

MD5 finds accidents and careless edits. Whoever can forge it can write to the store; releases are for such readers.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from graft.core.errors import BadInput, EnvironmentProblem, one_line
from graft.hub import reading
from graft.hub import store as stores
from graft.hub.reading import ATTEMPTS, CHUNK, Again
from graft.hub.store import Store

WAIT_S = 0.5
WHOLE_BYTES = 256_000_000  # what is larger goes up in parts, for which a store keeps no MD5
PART_BYTES = 64_000_000
_MD5 = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")
Tell = reading.Tell


class NoObject(BadInput):
    """Nothing has this key."""


class Altered(BadInput):
    """The bytes to be sent are not those that the name stands for."""


class Listed(NamedTuple):
    """What a listing says of an object; `md5` is "" where the store does not say it (sent in parts, or encrypted)."""

    n_bytes: int
    md5: str


class Objects:
    """The objects below `prefix`. One client for all threads.

    Every method raises EnvironmentProblem, one clear line, when the store does not answer or refuses.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self._prefix = store, prefix
        self._client = stores.client(store, checksums=False)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def listed(self) -> dict[str, Listed]:
        """Every object, by its key without the prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.store.bucket, Prefix=self._prefix)
        with stores.explained(self.store, "set GRAFT_BUCKET"):
            found = [item for page in pages for item in page.get("Contents", ())]
        return {item["Key"].removeprefix(self._prefix): _listed(item) for item in found}

    def put(self, key: str, path: Path, md5: str, tell: Tell) -> None:
        """Send the file; the store compares what arrives with `md5` and keeps all of it or nothing.

        Raises:
            Altered: the file's bytes hash to something else; nothing was written.
        """
        n_bytes = path.stat().st_size
        if n_bytes > WHOLE_BYTES:
            if md5_of(path) != md5:
                raise Altered(f"{path} does not hold what its name says")
            self._ask(key, lambda: self._parts(key, path))
        else:
            self._ask(key, lambda: self._whole(key, path, md5))
        tell(n_bytes)

    def get(self, key: str, to: Path, tell: Tell) -> str:
        """Bring an object into the file `to`; the MD5 of what came.

        Raises:
            NoObject: there is none.
        """

        def whole() -> str:
            with to.open("wb") as file:
                return self._stream(key, file, tell)

        return self._ask(key, whole)

    def md5(self, key: str, tell: Tell) -> str:
        """The MD5 of an object, all of it read. Raises as `get` does."""
        return self._ask(key, lambda: self._stream(key, None, tell))

    def _whole(self, key: str, path: Path, md5: str) -> None:
        digest = base64.b64encode(bytes.fromhex(md5)).decode()
        with path.open("rb") as body:
            self._client.put_object(Bucket=self.store.bucket, Key=self._prefix + key, Body=body, ContentMD5=digest)

    def _parts(self, key: str, path: Path) -> None:
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_chunksize=PART_BYTES, use_threads=False)
        checked = {"ChecksumAlgorithm": "CRC32"}
        self._client.upload_file(str(path), self.store.bucket, self._prefix + key, ExtraArgs=checked, Config=config)

    def _stream(self, key: str, file: IO[bytes] | None, tell: Tell) -> str:
        body = self._client.get_object(Bucket=self.store.bucket, Key=self._prefix + key)["Body"]
        return reading.digest(body, hashlib.md5(usedforsecurity=False), file, tell)

    def _ask(self, key: str, question: Callable[[], T]) -> T:
        """What `question` answers; asked again when the answer breaks off, or the store is overloaded."""

        def told_apart() -> T:
            with _told_apart(key, self.store):
                return question()

        where = self.store.endpoint or "AWS"
        return reading.insist(
            told_apart,
            WAIT_S,
            lambda error: EnvironmentProblem(
                f"{self._prefix}{key}: {where} failed {ATTEMPTS} times ({error}); type the same command again"
            ),
        )


def md5_of(path: Path, tell: Tell = lambda more: None) -> str:
    """The MD5 of a file's bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            tell(len(chunk))
    return digest.hexdigest()


def _listed(item: dict[str, Any]) -> Listed:
    etag = str(item.get("ETag", "")).strip('"')
    return Listed(int(item["Size"]), etag if _MD5.fullmatch(etag) else "")


@contextmanager
def _told_apart(key: str, store: Store) -> Iterator[None]:
    """A fault of the moment as Again; the rest as what it means for whoever runs this."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("NoSuchKey", "404"):
            raise NoObject(f"{key} is not in bucket {store.bucket}") from None
        if code == "BadDigest":
            raise Altered(f"{key} does not hold what its name says") from None
        if status >= 500 or code in ("SlowDown", "RequestTimeout"):
            raise Again(f"it answered {status} {one_line(code, 40)}") from None
        raise stores.refusal(store, code, "set GRAFT_BUCKET") from None
    except S3UploadFailedError as error:
        raise Again(one_line(str(error), 120)) from None
    except (BotoCoreError, ValueError) as error:  # the client has waited and tried again by then
        raise stores.no_answer(store, error) from None
