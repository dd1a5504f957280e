"""What a store says of an object's content, and whether bytes agree with it."""

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping

Proofs = dict[str, str]
"""By name of the check, what it should come to. Empty: the store told nothing that can be computed here."""

_FROM_STORE = ("crc32", "sha1", "sha256")


def of_etag(etag: str, size: int, headers: Mapping[str, str]) -> Proofs:
    """The MD5 that an entity tag is, unless the object was encrypted with a key of its own or came in parts."""
    if n_parts(etag, headers) == 1:
        return of_parts(etag, size)
    return {"md5": etag} if re.fullmatch(r"[0-9a-f]{32}", etag) and not _is_opaque(headers) else {}


def n_parts(etag: str, headers: Mapping[str, str]) -> int:
    """In how many parts the object came; 0 if the tag does not say."""
    told = re.fullmatch(r"[0-9a-f]{32}-(\d{1,5})", etag)
    return int(told[1]) if told and not _is_opaque(headers) else 0


def of_parts(etag: str, part_size: int) -> Proofs:
    """The MD5 of the parts' MD5s; `part_size` is that of the first part, in bytes."""
    return {"parts": f"{part_size} {etag}"}


def of_checksums(headers: Mapping[str, str]) -> Proofs:
    """Checksums of the whole object; those of its parts' checksums are marked by a hyphen and of no use."""
    told = {name: headers.get(f"x-amz-checksum-{name}", "") for name in _FROM_STORE}
    return {name: value for name, value in told.items() if value and "-" not in value}


def agree(data: bytes, proofs: Proofs) -> bool:
    """Whether `data`, a whole object, comes to what the store said."""
    return all(_compute(name, data, value) == value for name, value in proofs.items())


def _compute(name: str, data: bytes, value: str) -> str:
    if name == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    if name == "parts":
        part_size = max(1, int(value.partition(" ")[0]))
        starts = range(0, len(data), part_size)
        parts = [hashlib.md5(data[at : at + part_size], usedforsecurity=False).digest() for at in starts]
        return f"{part_size} {hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
    digest = zlib.crc32(data).to_bytes(4, "big") if name == "crc32" else hashlib.new(name, data).digest()
    return base64.b64encode(digest).decode()


def _is_opaque(headers: Mapping[str, str]) -> bool:
    """Encrypted with a customer's key: the tag looks like an MD5 and is none."""
    return (
        headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        or "x-amz-server-side-encryption-customer-algorithm" in headers
    )
