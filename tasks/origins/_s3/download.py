"""Objects in the order asked for, while threads read on ahead; what was read stays in the cache."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from graft.core.errors import EnvironmentProblem, GraftError
from tasks.origins._s3 import proofs
from tasks.origins._s3.bucket import Bucket, Content, Listed, Piece
from tasks.origins._s3.cache import Cache

CHUNK = 4 * 2**20
_AHEAD = 16  # pieces per worker that may wait


def pieces(item: Listed) -> list[Piece]:
    """The requests that an object takes; an empty one takes one, too."""
    starts = range(0, max(item.size, 1), CHUNK)
    return [Piece(item, start, min(start + CHUNK, item.size)) for start in starts]


def objects(bucket: Bucket, cache: Cache, items: Sequence[Listed], workers: int) -> Generator[Content]:
    """The content of each of `items`, in their order, each checked against what the store said of it.

    Only what the cache lacks is asked for. Threads hold at most `workers` pieces of CHUNK bytes; what waits for the
    caller waits on disk.

    Raises:
        BadInput: an object is not what was listed any more.
        EnvironmentProblem: the store does not answer or refuses, what it sends is damaged, or the disk is full.
    """
    reader = _Reader(bucket, cache)
    pool = ThreadPoolExecutor(workers, "s3")
    missing = ((index, piece) for index, item in enumerate(items) for piece in pieces(item) if not cache.has(piece))
    running: deque[tuple[int, Future[None]]] = deque()
    try:
        for index, item in enumerate(items):
            while True:
                while len(running) < _AHEAD * workers and (job := next(missing, None)):
                    running.append((job[0], pool.submit(reader.fill, job[1])))
                if not running or running[0][0] > index:
                    break
                running.popleft()[1].result()
            yield reader.whole(item)
    finally:
        pool.shutdown(cancel_futures=True)


class _Reader:
    """What the threads share."""

    def __init__(self, bucket: Bucket, cache: Cache) -> None:
        self._bucket, self._cache = bucket, cache
        self._failure: GraftError | None = None

    def fill(self, piece: Piece) -> None:
        """Bring one piece into the cache. After the first failure nothing more is asked of the store."""
        if self._failure:
            raise self._failure
        try:
            self._fetch(piece)
        except GraftError as error:
            self._failure = error
            raise

    def whole(self, item: Listed) -> Content:
        """The object, from the cache where that is sound."""
        kept = [self._cache.read(piece) or self._fetch(piece) for piece in pieces(item)]
        if (content := _joined(kept)) is None:
            content = _joined([self._fetch(piece) for piece in pieces(item)])
        if content is None:
            for piece in pieces(item):
                self._cache.drop(piece)
            raise EnvironmentProblem(
                f"{self._bucket.name(item)}: what arrived, twice, does not come to the checksum that the store has; "
                "the object or the way to it is damaged: upload it again"
            )
        return content

    def _fetch(self, piece: Piece) -> Content:
        content = self._bucket.get(piece)
        self._cache.write(piece, content)
        return content


def _joined(parts: Sequence[Content]) -> Content | None:
    """The whole object; None if it does not agree with what the store said."""
    data = parts[0].data if len(parts) == 1 else b"".join(part.data for part in parts)
    return parts[0]._replace(data=data) if proofs.agree(data, parts[0].proofs) else None
