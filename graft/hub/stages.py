"""A release moves through its stages in order, by the gate, and back; what stood where, and when."""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal, NamedTuple

from graft.core.errors import BadInput, GateRefused, one_line
from graft.hub import gate, pointer, releases
from graft.hub.bucket import Bucket
from graft.hub.names import Reference
from graft.hub.pointer import Lost, Move, Standing
from graft.hub.receipt import Replaced
from graft.hub.releases import Held, Progress

TRIES = 50


class Moved(NamedTuple):
    """Where a stage points now.

    Attributes:
        move: the pointer's last move.
        done: False if it stood there before; then nothing was moved.
    """

    move: Move
    done: bool


def enter(bucket: Bucket, held: Held) -> Moved:
    """A release that was just published stands at its first stage, unless it has stood there before."""
    first = held.receipt.contents.stages[0]
    for _ in range(TRIES):
        last = pointer.standing(bucket, held.receipt.name, first)
        stood = last and _stood(bucket, held, first)
        if last and stood:
            pointer.record(bucket, last.move)
            return Moved(last.move, False)
        try:
            return Moved(_move(bucket, last, held, first, "promote", "published"), True)
        except Lost:
            continue  # another release was published in the same moment
    raise Lost(f"{held.receipt.name}@{first} is being moved by others all the time; try again")


def promote(
    bucket: Bucket, wanted: Reference, stage: str, reason: str = "", progress: Progress = lambda done, total: None
) -> Moved:
    """Move `stage` to a release that stood at the stage before, that the gate lets pass, and whose bytes are sound.

    Raises:
        BadInput: no such release or stage, a stage was left out, or an object is missing or altered.
        GateRefused: it is worse than what stands there, or reuse did not pay.
        Lost: somebody else moved the stage meanwhile.
    """
    held = releases.find(bucket, wanted)
    last = pointer.standing(bucket, wanted.model, stage)
    if last and last.move.receipt == held.sha256:
        pointer.record(bucket, last.move)
        return Moved(last.move, False)
    _check_order(bucket, held, stage)
    if stage != held.receipt.contents.stages[0]:
        _check_gate(bucket, held, last)
    releases.verify(bucket, held, progress)
    return Moved(_move(bucket, last, held, stage, "promote", reason), True)


def rollback(
    bucket: Bucket,
    model: str,
    stage: str = "",
    to: str = "",
    reason: str = "",
    progress: Progress = lambda done, total: None,
    tell: Callable[[Moved], None] = lambda moved: None,
) -> Moved:
    """Move a stage back to what stood there before.

    One that was stopped before `tell` was called is finished by the next, which goes no step further.

    Args:
        stage: the last one of the model's newest release, if "".
        to: a version that stood there; "" is the one before, and again the one before that.
        tell: hears of the move while the history does not have it yet.

    Raises:
        BadInput: nothing stood there before, or an object of it is missing or altered.
        Lost: somebody else moved the stage meanwhile.
    """
    stage = stage or last_stage(bucket, model)
    last = pointer.standing(bucket, model, stage)
    if not last:
        raise BadInput(f"nothing stands at {model}@{stage}; graft models shows what does")
    if last.move.kind == "rollback" and not pointer.is_recorded(bucket, last.move):
        tell(Moved(last.move, True))
        pointer.record(bucket, last.move)
        return Moved(last.move, True)
    moves = pointer.history(bucket, model, stage)
    target = to or _before(moves, f"{model}@{stage}")
    if target == last.move.version:
        tell(Moved(last.move, False))
        return Moved(last.move, False)
    stood = {one.version: one.receipt for one in moves}
    if target not in stood:
        raise BadInput(f"{model}@{target} never stood at {stage}; those that did: {', '.join(dict.fromkeys(stood))}")
    held = releases.find(bucket, Reference(model, version=target))
    if held.sha256 != stood[target]:
        raise BadInput(f"{held.folder}receipt.json is altered: another receipt stood at {model}@{stage}")
    releases.verify(bucket, held, progress)
    made = _move(bucket, last, held, stage, "rollback", reason, lambda made: tell(Moved(made, True)))
    return Moved(made, True)


def last_stage(bucket: Bucket, model: str) -> str:
    """The stage at which the model's releases end.

    Raises:
        BadInput: nothing was published.
    """
    known = releases.versions(bucket, model)
    newest = Reference(model, version=known[-1] if known else "v1")
    return releases.find(bucket, newest).receipt.contents.stages[-1]


def live(moves: Sequence[Move], when: datetime) -> Move | None:
    """What stood there at `when`; None if nothing did."""
    earlier = [one for one in moves if one.at <= when]
    return earlier[-1] if earlier else None


def _stood(bucket: Bucket, held: Held, stage: str) -> bool:
    moves = pointer.history(bucket, held.receipt.name, stage)
    return any(one.receipt == held.sha256 for one in moves)


def _check_order(bucket: Bucket, held: Held, stage: str) -> None:
    order, name = held.receipt.contents.stages, f"{held.receipt.name}@{held.receipt.version}"
    if stage not in order:
        raise BadInput(f"{stage} is no stage of {name}; its stages, in order: {', '.join(order)}")
    before = order[order.index(stage) - 1]
    if stage != order[0] and not _stood(bucket, held, before):
        raise BadInput(f"{name} has not stood at {before}, which comes before {stage}; promote it there first")


def _check_gate(bucket: Bucket, held: Held, last: Standing | None) -> None:
    standing = None
    if last:
        standing = releases.find(bucket, Reference(last.move.model, version=last.move.version)).receipt
    if reasons := gate.refusals(held.receipt, standing):
        raise GateRefused(f"{held.receipt.name}@{held.receipt.version} stays where it is: {'; '.join(reasons)}")


def _move(
    bucket: Bucket,
    last: Standing | None,
    held: Held,
    stage: str,
    kind: Literal["promote", "rollback"],
    reason: str,
    tell: Callable[[Move], None] = lambda made: None,
) -> Move:
    previous = Replaced(version=last.move.version, receipt=last.move.receipt) if last else None
    new = partial(
        Move,
        format=pointer.FORMAT,
        model=held.receipt.name,
        stage=stage,
        kind=kind,
        id=uuid.uuid4().hex,
        version=held.receipt.version,
        receipt=held.sha256,
        previous=previous,
        by=releases.who(),
        reason=one_line(reason, 500),
    )
    return pointer.move(bucket, last, lambda at, serial: new(at=at, serial=serial), tell)


def _before(moves: Sequence[Move], where: str) -> str:
    """What to go back to: a move forwards puts its version on top, a move back takes off what lies above its own."""
    pile: list[str] = []
    for one in moves:
        if one.kind == "rollback" and one.version in pile:
            while pile[-1] != one.version:
                pile.pop()
        else:
            pile.append(one.version)
    if len(pile) < 2:
        raise BadInput(f"nothing stood at {where} before {pile[-1]}; graft history shows every move")
    return pile[-2]
