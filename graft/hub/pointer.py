"""Where a stage points, and every move it made: one small object each, moved by compare-and-swap.

A pointer is its own history entry. It is written first and copied into the history after: what a mover that was killed
left undone, the next one does, so that no move is ever missing.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from pydantic import Field

from graft.core.errors import BadInput, GraftError
from graft.hub import receipt, sealed
from graft.hub.bucket import Bucket, Missing
from graft.hub.receipt import Part, Replaced, Sha256, Version

FORMAT = "graft-move/1"
MAX_MOVES = 100_000
MAX_BYTES = 20_000
AT_ONCE = 8


class Lost(GraftError):
    """Somebody else moved the pointer in between; the text says who. Nothing was changed."""


class Move(Part):
    """One move of a stage, and while it is the last, the pointer itself.

    Attributes:
        serial: 1, 2, ...: the stage's moves are numbered without a gap.
        kind: forwards or back.
        id: names this attempt, so that its author knows it again.
        receipt: hash of the receipt of `version`.
        previous: what stood there before.
        at: in UTC; never earlier than the move before.
        reason: free text.
    """

    format: str = Field(pattern=f"^{FORMAT}$")
    model: str
    stage: str
    serial: int = Field(ge=1, le=MAX_MOVES)
    kind: Literal["promote", "rollback"]
    id: str = Field(pattern="^[0-9a-f]{32}$")
    version: Version
    receipt: Sha256
    previous: Replaced | None
    at: datetime
    by: str = Field(max_length=200)
    reason: str = Field(max_length=500)


class Standing(NamedTuple):
    """A pointer as it was read, and what names this content of it."""

    move: Move
    etag: str


def key(model: str, stage: str) -> str:
    """Where the pointer lies."""
    return f"stages/{model}/{stage}.json"


def entry_key(model: str, stage: str, serial: int) -> str:
    """Where move number `serial` is kept."""
    return f"history/{model}/{stage}/{serial:06d}.json"


def standing(bucket: Bucket, model: str, stage: str) -> Standing | None:
    """Where the stage points; None if nothing ever stood there.

    Raises:
        BadInput: the pointer is altered, or is an older one than the history knows.
    """
    for _ in range(3):
        found = _read(bucket, model, stage)
        newest = _serials(bucket, model, stage)[-1:]
        if not newest or (found and found.move.serial >= newest[0]):
            return found  # else it moved between the two requests: look again
    here = f"is move {found.move.serial}" if found else "is missing"
    raise BadInput(
        f"{key(model, stage)} {here} and the history knows move {newest[0]}: the pointer was replaced by an older one; "
        f"{sealed.REMEDY}"
    )


def move(
    bucket: Bucket,
    last: Standing | None,
    wanted: Callable[[datetime, int], Move],
    tell: Callable[[Move], None] = lambda made: None,
) -> Move:
    """Make the next move of a stage.

    Args:
        wanted: gets its time and number.
        tell: hears of the move once it is made, before the history has it.

    Raises:
        Lost: another move came first.
    """
    if last:
        record(bucket, last.move)
    at = max(datetime.now(UTC), last.move.at + timedelta(microseconds=1)) if last else datetime.now(UTC)
    new = wanted(at, last.move.serial + 1 if last else 1)
    data, where = sealed.seal(receipt.plain(new)), key(new.model, new.stage)
    done = bucket.replace(where, data, last.etag) if last else bucket.create(where, data)
    if not done and not _overtaken_after(bucket, new):
        other = standing(bucket, new.model, new.stage)
        told = _told(other.move) if other else "somebody removed the pointer"
        raise Lost(f"{new.model}@{new.stage} was not moved: {told}; look at it, then try again")
    tell(new)
    record(bucket, new)
    return new


def record(bucket: Bucket, made: Move) -> None:
    """Copy a move into the history, unless it is there.

    Raises:
        BadInput: another move has its number.
    """
    where, data = entry_key(made.model, made.stage, made.serial), sealed.seal(receipt.plain(made))
    if not bucket.create(where, data):
        raise BadInput(_not_the_pointer(made))


def is_recorded(bucket: Bucket, made: Move) -> bool:
    """Whether the history has this move: if not, who made it was stopped half way."""
    return made.serial in _serials(bucket, made.model, made.stage)[-1:]


def history(bucket: Bucket, model: str, stage: str) -> list[Move]:
    """Every move of the stage, the first one first.

    Raises:
        BadInput: one is altered or missing.
    """
    last = standing(bucket, model, stage)
    if not last:
        return []
    recorded = last.move.serial if is_recorded(bucket, last.move) else last.move.serial - 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda serial: _entry(bucket, model, stage, serial), range(1, recorded + 1)))
    if recorded == last.move.serial and found[-1] != last.move:
        raise BadInput(_not_the_pointer(last.move))
    return [*found[: last.move.serial - 1], last.move]


def stages(bucket: Bucket, model: str) -> list[str]:
    """Names of the stages at which something stands or stood."""
    found = (one.rpartition("/")[2] for one in bucket.keys(f"stages/{model}/"))
    return [one.removesuffix(".json") for one in found if one.endswith(".json")]


def _read(bucket: Bucket, model: str, stage: str) -> Standing | None:
    try:
        data, etag = bucket.read(key(model, stage), MAX_BYTES)
    except Missing:
        return None
    return Standing(_checked(data, key(model, stage), model, stage), etag)


def _entry(bucket: Bucket, model: str, stage: str, serial: int) -> Move:
    where = entry_key(model, stage, serial)
    try:
        return _checked(bucket.read(where, MAX_BYTES).data, where, model, stage, serial)
    except Missing:
        raise BadInput(f"{where} is missing from the history; {sealed.REMEDY}") from None


def _checked(data: bytes, where: str, model: str, stage: str, serial: int | None = None) -> Move:
    found = receipt.parse(Move, sealed.unseal(data, where), where)
    if (found.model, found.stage) != (model, stage) or serial not in (None, found.serial):
        raise BadInput(f"{where} is altered: it is move {found.serial} of {found.model}@{found.stage}; {sealed.REMEDY}")
    return found


def _serials(bucket: Bucket, model: str, stage: str) -> list[int]:
    found = (one.rpartition("/")[2].removesuffix(".json") for one in bucket.keys(f"history/{model}/{stage}/"))
    return sorted(int(one) for one in found if one.isdecimal())


def _overtaken_after(bucket: Bucket, made: Move) -> bool:
    """Whether the move was made although the store's last word was no: its answer was lost, and others moved on."""
    where = entry_key(made.model, made.stage, made.serial)
    try:
        return _checked(bucket.read(where, MAX_BYTES).data, where, made.model, made.stage).id == made.id
    except Missing:
        return False


def _not_the_pointer(made: Move) -> str:
    where = entry_key(made.model, made.stage, made.serial)
    return f"{where} is altered: it is not the move that {key(made.model, made.stage)} is; {sealed.REMEDY}"


def _told(made: Move) -> str:
    return f"{made.by} moved it to {made.version} at {made.at:%Y-%m-%d %H:%M:%S} UTC"
