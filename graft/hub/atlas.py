"""The transfer atlas in object storage: a record is written once, under the hash of what decides it, and never again.

atlas/cell/HASH.json    one training: its answers to every test row, who measured it and with what
atlas/look/HASH.json    what a source's features say of a target
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from graft.core import atlas
from graft.core.atlas import Record
from graft.core.errors import BadInput
from graft.hub import sealed
from graft.hub.bucket import Bucket

PREFIX = "atlas/"
AT_ONCE = 8
_NAME = re.compile(rf"{PREFIX}({'|'.join(atlas.KINDS)})/([0-9a-f]{{64}})\.json")


def spelt(record: Record) -> bytes:
    """A record as it is kept: JSON that tells when it was altered."""
    return sealed.seal(record.as_json)


def read(data: bytes, where: str, key: str) -> Record:
    """The record in `data`.

    Args:
        key: that it has to have.

    Raises:
        BadInput: it was altered, or is another one.
    """
    found = atlas.of(sealed.unseal(data, where), where)
    if found.key != key:
        raise BadInput(f"{where} is altered: its content is that of {found.key[:12]}…; {sealed.REMEDY}")
    return found


def listed(bucket: Bucket) -> dict[str, str]:
    """Key of every record to the key of its object."""
    found = (_NAME.fullmatch(name) for name in bucket.keys(PREFIX))
    return {match[2]: match[0] for match in found if match}


def fetch(bucket: Bucket, names: Mapping[str, str], keep: Callable[[Record, bytes], None]) -> None:
    """Bring the records of `names` (of `listed`), several at once; each is checked, then kept.

    Raises:
        BadInput: one was altered.
        EnvironmentProblem: the store does not answer.
    """

    def one(key: str) -> None:
        data = bucket.read(names[key], sealed.MAX_BYTES).data
        keep(read(data, names[key], key), data)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, names))


def send(bucket: Bucket, records: Sequence[tuple[str, str, bytes]]) -> list[str]:
    """Write (kind, key, content) that the store lacks, several at once; keys of those that another was first with.

    Theirs stand: each record is there once.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        written = pool.map(lambda one: bucket.create(f"{PREFIX}{one[0]}/{one[1]}.json", one[2]), records)
        return [key for (_, key, _), ours in zip(records, written, strict=True) if not ours]
