"""Pictures in an S3 bucket: `s3://bucket/prefix/<class>/.../name.jpg`. Where the store is, the environment says.

AWS_ENDPOINT_URL_S3 (empty: AWS itself), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or any other way that boto3 knows.
`s3:///prefix` is a place in the bucket that releases go to.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from graft.core import names
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, one_line
from graft.hub import store
from graft.hub.store import Store
from tasks.origins._s3 import download, elsewhere
from tasks.origins._s3.bucket import Bucket, Listed
from tasks.origins._s3.cache import Cache

# The gate takes JPEG and PNG, by content. The others are handed over too: to be refused by name, not passed over.
SUFFIXES = tuple(".jpg .jpeg .png .gif .webp .bmp .tif .tiff .svg .eps .pdf .heic .avif".split())
MAX_OBJECT_BYTES = 32_000_000
_URI = re.compile(r"s3://([^/]*)(?:/(.*))?", re.DOTALL)
_BUCKET = re.compile(r"(?!xn--|.*--x-s3$|\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_TELL_EVERY = 50


class Options(BaseModel):
    """Which pictures, and how many are read at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    uri: str = Field(max_length=1100, description="s3://bucket or s3://bucket/prefix; below it a level per class")
    workers: int = Field(default=16, ge=1, le=64, description="objects, or 4 MB ranges of large ones, read at a time")
    min_classes: int = Field(default=2, ge=0, description="fewer are refused; 0: nothing need be there")

    @field_validator("uri")
    @classmethod
    def _check_uri(cls, uri: str) -> str:
        match = _URI.fullmatch(uri)
        if match is None:
            raise ValueError("should be s3://bucket or s3://bucket/prefix")
        if not match[1] and not match[2]:
            raise ValueError("should name a prefix, as in s3:///prefix, where it names no bucket")
        if match[1] and not _BUCKET.fullmatch(match[1]):
            raise ValueError(
                "should name a bucket as S3 does: 3 to 63 of a-z, 0-9, hyphen and dot, a letter or digit at both ends"
            )
        if re.search(r"[\0-\x1f\x7f]", uri):
            raise ValueError("should hold no control characters")
        return uri

    @property
    def store(self) -> Store:
        """Where the bucket is.

        Raises:
            EnvironmentProblem: it is to be the one that releases go to, and there is none.
        """
        named = self.uri.split("/")[2]
        return store.at(named) if named else store.known()

    @property
    def prefix(self) -> str:
        """What all keys start with: "" or something that ends with a slash."""
        rest = "/".join(self.uri.split("/")[3:])
        return rest if rest.endswith("/") or not rest else f"{rest}/"


class Labelled(NamedTuple):
    """An object that is a picture by name, and what becomes of its key."""

    item: Listed
    path: str
    label: str


def fetch(options: Options, request: Request) -> Iterator[Picture]:
    """Every picture below the prefix, in the order of the keys. What is no picture by name, is of no class, or hides
    behind a leading dot is left out.

    What was fetched before comes from `request.cache`, checked. Objects larger than MAX_OBJECT_BYTES are not read.

    Raises:
        BadInput: fewer classes than there should be, or an object changed or vanished since it was listed.
        EnvironmentProblem: the store is down, silent or damaged, refuses, has no such bucket; or the disk is full.
    """
    with Bucket(options.store, options.workers + 1) as bucket:
        found = _find(options, bucket)
        contents = download.objects(bucket, _cache(request.cache, bucket.store), _readable(found), options.workers)
        try:
            for done, one in enumerate(found, start=1):
                if one.item.size > MAX_OBJECT_BYTES:
                    reason = f"too_large: {one.item.size} bytes; at most {MAX_OBJECT_BYTES} are taken"
                    yield Picture(one.path, one.label, b"", problem=reason, etag=one.item.etag)
                else:
                    data, version, _ = next(contents)
                    yield Picture(one.path, one.label, data, etag=one.item.etag, version=version)
                if done % _TELL_EVERY == 0 or done == len(found):
                    request.progress(done, len(found))
        finally:
            contents.close()


def fingerprint(options: Options) -> str:
    """Changes when a picture is added, removed or replaced; one listing.

    Raises:
        BadInput, EnvironmentProblem: as for `fetch`.
    """
    digest = hashlib.sha256()
    with Bucket(options.store, 1) as bucket:
        for one in _find(options, bucket):
            digest.update(f"{one.path}\0{one.item.etag}\0{one.item.size}\n".encode())
    return digest.hexdigest()


def parts(options: Options, cache: Path) -> Iterator[list[Listed]]:
    """What `fetch` would ask the store for, in parts that `fetch_part` takes on whatever machine, as JSON has them.

    Args:
        cache: as a `Request` has it.

    Raises:
        BadInput, EnvironmentProblem: as for `fetch`.
    """
    with Bucket(options.store, 1) as bucket:
        found = _find(options, bucket)
        yield from elsewhere.parts(_readable(found), _cache(cache, bucket.store))


def fetch_part(options: Options, part: Sequence[Sequence[Any]], kept: Path, made: Path) -> None:
    """Fetch those objects for another machine.

    Args:
        kept: a folder for what need not be fetched again after a kill.
        made: an empty folder, for what `keep_part` takes.

    Raises:
        BadInput, EnvironmentProblem: as for `fetch`.
    """
    with Bucket(options.store, options.workers + 1) as bucket:
        next(bucket.listing(options.prefix), None)  # a page, so that the bucket knows where and how to ask
        with closing(download.objects(bucket, _cache(kept, bucket.store), _listed(part), options.workers)) as contents:
            elsewhere.pack(contents, made)


def keep_part(options: Options, part: Sequence[Sequence[Any]], made: Path, cache: Path) -> None:
    """Put what `fetch_part` fetched where `fetch` looks first.

    Raises:
        BadInput: it is not what `fetch_part` makes of this part.
        EnvironmentProblem: the cache cannot be written, or the disk is full.
    """
    elsewhere.unpack(made, _listed(part), _cache(cache, options.store))


def arrange(prefix: str, listed: Iterable[Listed]) -> list[Labelled]:
    """The pictures among `listed`, in the order of their keys; the first level below `prefix` is the label."""
    found = []
    for item in sorted(listed, key=lambda item: item.key.encode()):  # not every store lists in this order
        path = names.to_path(item.key.removeprefix(prefix))
        top, *below = path.split("/")
        hidden = any(part.startswith(".") for part in (top, *below))
        if below and not hidden and path.lower().endswith(SUFFIXES):
            found.append(Labelled(item, path, names.from_path(top).rstrip("/")))  # a//x.png is of class a, too
    return found


def _cache(folder: Path, where: Store) -> Cache:
    return Cache(folder / "s3", where)


def _listed(part: Sequence[Sequence[Any]]) -> list[Listed]:
    return [Listed(*one) for one in part]


def _readable(found: Iterable[Labelled]) -> list[Listed]:
    return [one.item for one in found if one.item.size <= MAX_OBJECT_BYTES]


def _find(options: Options, bucket: Bucket) -> list[Labelled]:
    found = arrange(options.prefix, bucket.listing(options.prefix))
    classes = sorted({one.label for one in found})
    if len(classes) < options.min_classes:
        shown = ", ".join(one_line(label, 60) for label in classes) or "no picture"
        below = f"s3://{bucket.store.bucket}/{options.prefix}<class>/name.jpg"
        raise BadInput(
            f"origin s3: {options.uri} needs pictures of at least {options.min_classes} classes, named as in {below}; "
            f"found {shown}"
        )
    return found
