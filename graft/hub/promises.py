"""The promises of a store, a function each: it tries one and returns what it saw instead; "" if the promise is kept."""

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

WRITERS = 32
REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409", "NoSuchKey", "404")
MISMATCH = ("BadDigest", "XAmzContentChecksumMismatch", "InvalidRequest", "XAmzContentSHA256Mismatch", "400")


@dataclass(frozen=True)
class Bench:
    """Where promises are tried: a client for WRITERS threads, a prefix of one's own, as many threads."""

    client: Any
    bucket: str
    prefix: str
    pool: Executor

    def put(self, name: str, body: bytes, **conditions: str) -> str:
        """Write an object; its ETag."""
        answer = self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=body, **conditions)
        return str(answer["ETag"])

    def get(self, name: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read())

    def listed(self, under: str = "", **options: Any) -> dict[str, Any]:
        """One page of a listing."""
        answer: dict[str, Any] = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix + under, **options)
        return answer

    def names(self, page: dict[str, Any]) -> list[str]:
        return [one["Key"].removeprefix(self.prefix) for one in page.get("Contents", [])]

    def refused(self, codes: tuple[str, ...], ask: Callable[[], object]) -> bool:
        """Whether `ask` is answered with one of `codes`; any other error is raised."""
        try:
            ask()
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in codes:
                raise
            return True
        return False

    def clear(self) -> None:
        """Remove what was written, old versions too where the key may."""
        keys = {"Bucket": self.bucket, "Prefix": self.prefix}
        try:
            pages = list(self.client.get_paginator("list_object_versions").paginate(**keys))
            found = [one for page in pages for kind in ("Versions", "DeleteMarkers") for one in page.get(kind, [])]
            self._delete([{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found])
        except self.client.exceptions.ClientError:  # a writer may not look at versions; their lifecycle ends them
            pages = list(self.client.get_paginator("list_objects_v2").paginate(**keys))
            self._delete([{"Key": one["Key"]} for page in pages for one in page.get("Contents", [])])

    def _delete(self, objects: list[dict[str, str]]) -> None:
        list(self.pool.map(lambda one: self.client.delete_object(Bucket=self.bucket, **one), objects))


def read_after_write(bench: Bench) -> str:
    for body in (b"first", b"second"):
        bench.put("read", body)
        if (read := bench.get("read")) != body:
            return f"wrote {body!r}, read {read[:40]!r}"
    return ""


def list_after_write(bench: Bench) -> str:
    bench.put("listed/a", b"a")
    if (names := bench.names(bench.listed("listed/"))) != ["listed/a"]:
        return f"wrote one object, listed {len(names)}"
    bench.client.delete_object(Bucket=bench.bucket, Key=f"{bench.prefix}listed/a")
    names = bench.names(bench.listed("listed/"))
    return f"deleted the only object, listed {len(names)}" if names else ""


def pages(bench: Bench) -> str:
    written = [f"pages/{n:02}" for n in range(25)]
    list(bench.pool.map(lambda name: bench.put(name, b"x"), written))
    found: list[str] = []
    more: dict[str, Any] = {}
    for _ in range(len(written)):  # an endless listing ends too
        page = bench.listed("pages/", MaxKeys=10, **more)
        found += bench.names(page)
        if not page["IsTruncated"]:
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    if missing := sorted(set(written) - set(found)):
        return f"{len(missing)} of {len(written)} objects are not listed, {missing[0]} first"
    return "" if found == written else f"{len(found)} names for {len(written)} objects, or not in order"


def folders(bench: Bench) -> str:
    for name in ("folders/a/1", "folders/a/2", "folders/b/1", "folders/c"):
        bench.put(name, b"x")
    page = bench.listed("folders/", Delimiter="/")
    prefixes = [one["Prefix"].removeprefix(bench.prefix) for one in page.get("CommonPrefixes", [])]
    seen = (prefixes, bench.names(page))
    return "" if seen == (["folders/a/", "folders/b/"], ["folders/c"]) else f"folders {seen[0]}, objects {seen[1]}"


def wrong_checksum(bench: Bench) -> str:
    if not bench.refused(MISMATCH, lambda: bench.put("wrong", b"these bytes", ChecksumSHA256=_sha256(b"others"))):
        return "it was accepted"
    return "it was refused and stored all the same" if bench.names(bench.listed("wrong")) else ""


def kept_checksum(bench: Bench) -> str:
    bench.put("kept", b"bytes", ChecksumSHA256=_sha256(b"bytes"))
    head = bench.client.head_object(Bucket=bench.bucket, Key=f"{bench.prefix}kept", ChecksumMode="ENABLED")
    told = head.get("ChecksumSHA256", "none")
    return "" if told == _sha256(b"bytes") else f"HEAD told {told}"


def one_creates(bench: Bench) -> str:
    if seen := _race(bench, "new", IfNoneMatch="*"):
        return seen
    late = bench.refused(REFUSED, lambda: bench.put("new", b"late", IfNoneMatch="*"))
    return "" if late else "one more won when the object was there"


def one_replaces(bench: Bench) -> str:
    return _race(bench, "old", IfMatch=bench.put("old", b"old"))


def stale_is_refused(bench: Bench) -> str:
    stale = bench.put("pointer", b"one")
    bench.put("pointer", b"two")
    if not bench.refused(REFUSED, lambda: bench.put("pointer", b"three", IfMatch=stale)):
        return "it was accepted"
    if not bench.refused(REFUSED, lambda: bench.put("nothing", b"x", IfMatch=stale)):
        return "it was accepted where there was no object"
    return "" if bench.get("pointer") == b"two" else "it was refused and stored all the same"


def _race(bench: Bench, name: str, **conditions: str) -> str:
    """WRITERS write at once, each its own bytes: a winner that writes what is there already changes no ETag."""
    gate = Barrier(WRITERS)

    def write(writer: int) -> bytes | None:
        body = b"%s %d" % (name.encode(), writer)
        gate.wait()
        lost = bench.refused(REFUSED, lambda: bench.put(name, body, **conditions))
        return None if lost else body

    won = [body for body in bench.pool.map(write, range(WRITERS)) if body is not None]
    if len(won) != 1:
        return f"{len(won)} won"
    return "" if bench.get(name) == won[0] else "the object is not the winner's"


def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
