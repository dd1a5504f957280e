"""An object's bytes, hashed while they come and asked for again when the answer breaks off half way."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar

from graft.core.errors import GraftError, one_line

CHUNK = 1 << 20
ATTEMPTS = 3  # of a whole object, each with the client's own

T = TypeVar("T")
Tell = Callable[[int], None]
"""Called with the number of bytes that came or went in addition; negative when some have to come again."""


class Again(Exception):
    """What failed may well succeed when it is tried again at once."""


def digest(body: Any, hashing: Any, file: IO[bytes] | None, tell: Tell, limit: int | None = None) -> str:
    """Hash, in hex digits, of the bytes of a GET's body as they go into `file`.

    Args:
        body: botocore's StreamingBody; closed at the end.
        hashing: a fresh object of hashlib.
        limit: an object that is longer is not read to its end, and its hash is not that of any object.

    Raises:
        Again: the answer broke off; `tell` has taken back what it was told.
    """
    seen = 0
    try:
        with telling_breaks():
            for chunk in body.iter_chunks(CHUNK):
                seen += len(chunk)
                hashing.update(chunk)
                if limit is not None and seen > limit:
                    break
                if file:
                    file.write(chunk)
                tell(len(chunk))
    except Again:
        tell(-seen)
        raise
    finally:
        body.close()
    found: str = hashing.hexdigest()
    return found


def insist(question: Callable[[], T], wait_s: float, given_up: Callable[[Again], GraftError]) -> T:
    """What `question` answers; asked ATTEMPTS times while it raises Again, then `given_up` says what to raise."""
    for attempt in range(1, ATTEMPTS):
        try:
            return question()
        except Again:
            time.sleep(wait_s * attempt)
    try:
        return question()
    except Again as error:
        raise given_up(error) from None


@contextmanager
def telling_breaks() -> Iterator[None]:
    """Turns what a body that ends too early raises into Again."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPClientError, IncompleteReadError, HTTPError, ConnectionError, TimeoutError) as error:
        raise Again(f"the answer broke off: {one_line(str(error), 120)}") from None
