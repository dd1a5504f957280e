"""Releases and moves for people, on a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from graft.core import variants
from graft.core.changes import changes
from graft.core.errors import UsageError, one_line
from graft.hub import gate, pointer, releases
from graft.hub.bucket import Bucket
from graft.hub.pointer import Move
from graft.hub.receipt import Receipt
from graft.hub.releases import Held

ARMS, GROUPS = ("transfer", "scratch", "article"), ("seen", "unseen")


def models(bucket: Bucket) -> None:
    """A row per model."""
    rows = []
    for name in releases.models(bucket):
        known = releases.versions(bucket, name)
        found = ((stage, pointer.standing(bucket, name, stage)) for stage in pointer.stages(bucket, name))
        standing = [f"{stage} {at.move.version}" for stage, at in found if at]
        if known:
            rows.append((name, known[-1], str(len(known)), ", ".join(standing)))
    if rows:
        _table(("model", "newest", "versions", "stands at"), rows)
    else:
        print("nothing is published here yet; graft publish does")


def inbox(held: Sequence[tuple[str, int, int]]) -> None:
    """A row per class: label, pictures, bytes."""
    if not held:
        print("nothing lies there; graft inbox add FOLDER sends pictures")
        return
    _table(("class", "pictures", "MB"), [(label, str(n), f"{n_bytes / 1e6:.1f}") for label, n, n_bytes in held])


def history(moves: Sequence[Move], where: str) -> None:
    """A row per move, the latest first."""
    if not moves:
        print(f"nothing ever stood at {where}")
        return
    rows = [
        (
            str(one.serial),
            _time(one.at),
            one.kind,
            f"{one.previous.version} > {one.version}" if one.previous else one.version,
            one.by,
            one.reason,
        )
        for one in reversed(moves)
    ]
    _table(("move", "when (UTC)", "what", "version", "by", "why"), rows)


def live(found: Move | None, that_day: Sequence[Move], where: str, when: datetime) -> None:
    """What stood there, and on a day, what changed during it."""
    if found:
        print(f"{where} was {found.version} at {_time(when)} UTC (since {_time(found.at)}, by {found.by})")
    else:
        print(f"nothing stood at {where} at {_time(when)} UTC")
    for one in that_day:
        print(f"  {_time(one.at)}: {one.kind} to {one.version} by {one.by}")


def moment(text: str) -> tuple[datetime, datetime | None]:
    """The time that `text` names ("" is now) and, if it names a day, that day's beginning; a day stands for its end.

    Raises:
        UsageError: it names none, or one to come.
    """
    now = datetime.now(UTC)
    if not text:
        return now, None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--on is {one_line(text, 40)!r}; write a date like 2026-11-01 or 2026-11-01T12:00") from None
    found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    if found > now:
        raise UsageError(f"--on is {one_line(text, 40)}, which is yet to come (it is {_time(now)} UTC)")
    if "T" in text or " " in text:
        return found, None
    return min(now, datetime.combine(found, time.max, UTC)), found


def release(held: Held) -> None:
    """Everything that a person asks of a release."""
    one = held.receipt
    contents, replaces = one.contents, one.replaces
    changed = " with changes" if contents.git["changed"] else ""
    print(f"{one.name}@{one.version}  published {_time(one.published.at)} UTC by {one.published.by}")
    print(f"receipt  sha256 {held.sha256}")
    print(f"commit   {contents.git['commit'] or 'none'}{changed}")
    print(f"before   {f'{replaces.version} stood at {contents.stages[-1]}' if replaces else 'nothing'}")
    for role, data in contents.data.items():
        origin = data["origin"]["name"]
        print(f"{role:8} {data['name']}, {data['pictures']:,} pictures from {origin}, md5 {data['md5']}")
    print(f"answers  {len(contents.model.classes)} classes, by default from {contents.model.file}\n")
    _table(("result", *GROUPS), list(_results(one)))
    for set_ in GROUPS:
        found = _at(contents.metrics["evaluation"], "transfer", set_, "abstention", "thresholds")
        for threshold in found if isinstance(found, list) else ():
            print(_threshold(set_, threshold))
    print()
    export = contents.metrics["export"]
    measured = export["files"]
    rows = [
        (name, f"{file.bytes_:,}", file.sha256[:16], _percent(measured.get(name, {}).get("accuracy")))
        for name, file in contents.files.items()
    ]
    _table(("file", "bytes", "sha256", "accuracy %"), rows)
    if nets := variants.rows(export):
        print()
        _table(variants.HEAD, nets)


def diff(old: Receipt, new: Receipt) -> None:
    """What differs, and what does not is left out."""
    rows = [*_changes("settings", old.contents.params, new.contents.params)]
    rows += _changes("data", old.contents.data, new.contents.data)
    rows += [
        (f"{name}, {group}", before, after)
        for (name, *was), (_, *now) in zip(_results(old), _results(new), strict=True)
        for group, before, after in zip(GROUPS, was, now, strict=True)
        if before != after
    ]
    rows.append(("accuracy of the file", _percent(gate.accuracy(old)), _percent(gate.accuracy(new))))
    files = [{name: file.bytes_ for name, file in one.contents.files.items()} for one in (old, new)]
    rows += _changes("bytes", *files)
    rows += _changes("git", old.contents.git, new.contents.git)
    _table(("", f"{old.name}@{old.version}", f"{new.name}@{new.version}"), rows)


def answer(picture: str, best: Sequence[tuple[str, float]], at_least: float, as_json: bool) -> None:
    """One line for one picture; `unsure` where the best label's probability is below `at_least`."""
    sure = best[0][1] >= at_least
    if as_json:
        labels = [{"label": label, "probability": round(probability, 6)} for label, probability in best]
        print(json.dumps({"picture": picture, "sure": sure, "answers": labels}, ensure_ascii=False))
    else:
        told = "  ".join(f"{one_line(label, 60)} {100 * probability:.1f} %" for label, probability in best)
        print(f"{one_line(picture, 200)}  {'' if sure else 'unsure: '}{told}")


def _results(one: Receipt) -> Iterator[tuple[str, str, str]]:
    """Accuracy of every arm and the gain, on both sets, with their intervals."""
    evaluation = one.contents.metrics["evaluation"]
    for arm in ARMS:
        seen, unseen = (_interval(_at(evaluation, arm, group, "accuracy"), "mean", 100.0) for group in GROUPS)
        yield f"accuracy %, {arm}", seen, unseen
    seen, unseen = (_interval(_at(evaluation, "gain", group), "points", 1.0) for group in GROUPS)
    yield "gain of reuse, points", seen, unseen


def _threshold(set_: str, one: Mapping[str, Any]) -> str:
    wanted = f"to be right {100 * one['wanted']:.0f} % of the time on {set_} groups"
    if one["confidence"] > 1:
        return f"{wanted}: no confidence will do"
    return (
        f"{wanted}: --at-least {one['confidence']:.2f} answers {100 * one['coverage']:.0f} % "
        f"(of those {100 * one['accuracy']:.1f} % were right)"
    )


def _at(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _interval(estimate: Any, key: str, times: float) -> str:
    if not isinstance(estimate, Mapping):
        return "-"
    low, high = (times * value for value in estimate["ci95"])
    return f"{times * estimate[key]:.1f} [{low:.1f}, {high:.1f}]"


def _changes(title: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(f"{title}: {key}", was, now) for key, was, now in changes(old, new)]


def _percent(share: Any) -> str:
    return f"{100 * share:.1f}" if isinstance(share, int | float) else ""


def _time(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns side by side. Texts come from the store: nothing in them reaches the terminal but text."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(one_line(cell, 200)) for cell in row))
    Console().print(table)
