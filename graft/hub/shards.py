"""Packed rows in the store, in shards that a training reads as it goes.

    shards/objects/SHA256           a .npy file: some pictures, all labels, all units
    shards/FEATURES/ROLE-SPLIT.json which of them make up a split, in which order

Objects are named by what they hold and written once, the index last: what an index names is there. Rows are mixed
before they are cut into shards, always the same way, so that each shard is a sample of all.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graft.core.dataset import Split
from graft.core.errors import BadInput
from graft.hub.bucket import Bucket, Missing

PREFIX, OBJECTS = "shards/", "shards/objects/"
SHARD_BYTES = 4_000_000
MAX_INDEX_BYTES = 64_000_000
UPLOADS = 4


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Object(_Frozen):
    """A file in the store: its name there, its bytes, the rows in it."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes_: Annotated[int, Field(ge=0, le=1_000_000_000)]
    rows: Annotated[int, Field(ge=0)]

    @property
    def key(self) -> str:
        return OBJECTS + self.sha256


class Index(_Frozen):
    """A split in shards.

    Attributes:
        shape: of a picture: height, width, channels.
        classes: names, in the order of the labels.
        shards: its pictures, in order.
        labels, units: of all rows; units None where each row is its own.
    """

    shape: Annotated[list[int], Field(min_length=3, max_length=3)]
    classes: list[str]
    shards: Annotated[list[Object], Field(min_length=1)]
    labels: Object
    units: Object | None = None

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rows in each shard."""
        return tuple(one.rows for one in self.shards)


def key_of(features: str, role: str, split: str) -> str:
    """Where the index of a split lies; `features` names what was packed, DVC's hash of it say."""
    return f"{PREFIX}{features}/{role}-{split}.json"


def push(bucket: Bucket, key: str, split: Split, classes: Sequence[str]) -> Index:
    """Bring a split to the store in shards; what is there already is not sent again.

    Args:
        classes: names, in the order of the labels.

    Raises:
        BadInput: the index is there, and is another one.
        EnvironmentProblem: the store does not answer.
    """
    there = set(bucket.keys(OBJECTS))
    n = len(split)
    order = np.random.default_rng(0).permutation(n)
    each = max(1, SHARD_BYTES // max(1, int(np.prod(split.images.shape[1:]))))

    def send(array: Any) -> Object:
        return _send(bucket, np.ascontiguousarray(array), there)

    with ThreadPoolExecutor(UPLOADS) as pool:
        shards = list(pool.map(lambda start: send(split.images[order[start : start + each]]), range(0, n, each)))
    units = None if split.units is None else send(split.units[order])
    index = Index(
        shape=list(split.images.shape[1:]),
        classes=list(classes),
        shards=shards,
        labels=send(split.labels[order]),
        units=units,
    )
    if not bucket.create(key, index.model_dump_json().encode()):
        raise BadInput(f"{key} is in the store and names other shards; remove it there if it is damaged")
    return index


def find(bucket: Bucket, key: str) -> Index | None:
    """The index under `key`; None if there is none.

    Raises:
        BadInput: it is damaged.
        EnvironmentProblem: the store does not answer.
    """
    try:
        return Index.model_validate(json.loads(bucket.read(key, MAX_INDEX_BYTES).data))
    except Missing:
        return None
    except (ValueError, ValidationError):
        raise BadInput(f"{key} is no index of shards; remove it from the store and type: graft shards") from None


def _send(bucket: Bucket, array: Any, there: set[str]) -> Object:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    made = Object(sha256=hashlib.sha256(data).hexdigest(), bytes_=len(data), rows=len(array))
    if made.key not in there:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            bucket.upload(made.key, Path(file.name), made.sha256)
    return made
