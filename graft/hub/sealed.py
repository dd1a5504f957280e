"""JSON that tells when it was altered: one spelling, and the hash of everything else in its last line.

This finds damage and mix-ups. Against somebody who may write to the store, sign the receipts.
"""

import hashlib
import json
from typing import Any

from graft.core.errors import BadInput

MAX_BYTES = 4_000_000
SEAL = "sha256_of_the_rest"


def seal(value: dict[str, Any]) -> bytes:
    """`value` as UTF-8 JSON with its seal. NaN is refused: it is no JSON."""
    return _spelt({**value, SEAL: _hash(value)})


def unseal(data: bytes, where: str) -> dict[str, Any]:
    """What was sealed, without the seal.

    Args:
        where: name of the object, for the error's text.

    Raises:
        BadInput: a byte is not as it was written.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise BadInput(f"{where} is altered: it is no JSON; {REMEDY}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{where} is altered: it holds no object; {REMEDY}")
    found = value.pop(SEAL, None)
    if found != _hash(value) or data != _spelt({**value, SEAL: found}):
        raise BadInput(f"{where} is altered: its content does not match its own hash; {REMEDY}")
    return value


def sha256(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


REMEDY = "the store's versions of that object, or a backup, hold the true one"


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _hash(value: dict[str, Any]) -> str:
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False).encode())


def _spelt(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
