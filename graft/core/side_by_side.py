"""Two finished runs side by side on one page: verdicts, results, settings, data, exported files, versions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graft.core import answered, outlook, page
from graft.core.bootstrap import Estimate
from graft.core.changes import changes, flat
from graft.core.drawing import ARMS
from graft.core.errors import BadInput, one_line
from graft.core.figures import SETS
from graft.core.report import FILTERS, SCORES, gain_text, percent, score_text, size_text

Numbers = Mapping[str, Any]
NONE = "–"


@dataclass(frozen=True)
class Run:
    """What is known of a finished run. What is empty or missing is shown as a dash.

    Attributes:
        name: as the person named it.
        origin: what that is, in words: a release and who published it, a revision, a folder.
        evaluation: content of reports/evaluation.json.
        export: content of reports/export.json.
        settings: content of params.yaml.
        data: by role: name, md5 (DVC's hash), pictures.
        versions: of the packages that it was locked to, by name.
        answers: to every test picture, by set and arm.
    """

    name: str
    origin: str
    evaluation: Numbers
    export: Numbers = field(default_factory=dict)
    settings: Numbers = field(default_factory=dict)
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    answers: answered.Answers = field(default_factory=dict)


class Table(NamedTuple):
    """A section: its columns end with both runs, and with a difference where there is one to tell."""

    id: str
    title: str
    note: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def render(old: Run, new: Run) -> str:
    """The page, ready to be written as UTF-8.

    Raises:
        BadInput: a run holds no result.
    """
    tables = [results(old, new), settings(old, new), data(old, new), files(old, new), versions(old, new)]
    text: str = page.template(page.read("side_by_side.html.j2"), FILTERS).render(
        runs=(old, new),
        sentence=sentence(old, new),
        verdicts=[(run, verdict(run)) for run in (old, new)],
        paired=paired(old, new),
        caution=caution(old, new),
        tables=tables,
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sentence(old: Run, new: Run) -> str:
    """By how much transfer got better or worse on the seen test set."""
    one, other = (_score(run, "transfer", "seen", "accuracy") for run in (old, new))
    if not (one and other):
        return f"{old.name} and {new.name}: accuracy of transfer is not known of both"
    found = answered.difference(old.answers, new.answers, "seen", "transfer") if paired(old, new) else None
    points = _estimated(found) if found else f"{_points(one, other, 'mean', 100)}, not paired"
    return f"{new.name} against {old.name}: accuracy on the seen test set {points}"


def paired(old: Run, new: Run) -> bool:
    """Whether both are known to have answered the same pictures with models of the same seeds."""
    one, other = (run.data.get("target", {}).get("md5") for run in (old, new))
    return bool(one) and one == other and answered.fit_together(old.answers, new.answers)


def verdict(run: Run) -> str:
    """What reuse gained in this run, set by set.

    Raises:
        BadInput: it measured none.
    """
    gains = {name: one for name in SETS if (one := _estimate(run.evaluation, "points", "gain", name))}
    if not gains:
        raise BadInput(f"{one_line(run.name, 100)} holds no gain with its interval, so there is nothing to compare")
    return "; ".join(f"{outlook.said_of(one)} on {name}, {gain_text(one)}" for name, one in gains.items())


def caution(old: Run, new: Run) -> str:
    """What a difference proves, and whether both answered the same pictures."""
    if paired(old, new):
        return (
            "Both answered the same pictures, with models of the same seeds: differences of accuracy are taken picture "
            "by picture, with 95% intervals for other pictures and other seeds. An interval without zero tells the "
            "runs apart. Other scores are not paired."
        )
    hashes = [{role: one.get("md5") for role, one in run.data.items()} for run in (old, new)]
    known = all(found and all(found.values()) for found in hashes)
    if not known:
        same = "Whether both runs had the same data is not known."
    elif hashes[0] == hashes[1]:
        same = "Both runs had the same data."
    else:
        same = "The runs had different data, so a difference may come from other test pictures."
    return (
        "Each run was measured by itself and each interval is its own. Whether the interval of a difference excludes "
        f"zero cannot be said: for that both have to be compared picture by picture. {same}"
    )


def results(old: Run, new: Run) -> Table:
    """Every score that one of them has, with intervals, and the difference in points."""
    rows, both = [], (old.answers, new.answers) if paired(old, new) else ({}, {})
    for name in SETS:
        for arm in ARMS:
            for score, title in SCORES.items():
                one, other = (_score(run, arm, name, score) for run in (old, new))
                texts = [score_text(each) if each else NONE for each in (one, other)]
                found = answered.difference(*both, name, arm) if score == "accuracy" else None
                told = _estimated(found) if found else _points(one, other, "mean", 100)
                rows.append((name, arm, title, *texts, told))
        one, other = (_estimate(run.evaluation, "points", "gain", name) for run in (old, new))
        texts = [gain_text(each) if each else NONE for each in (one, other)]
        found = answered.difference_of_gains(*both, name)
        told = _estimated(found) if found else _points(one, other, "points", 1)
        rows.append((name, "transfer − scratch", "gain of accuracy", *texts, told))
    shown = [row for row in rows if row[3:5] != (NONE, NONE)]
    said = "difference, with an interval where paired" if paired(old, new) else "difference, not paired"
    head = ("test set", "arm", "score", old.name, new.name, said)
    return Table("results", "Results", "95% intervals.", head, shown)


def settings(old: Run, new: Run) -> Table:
    """The settings that differ."""
    found = changes(old.settings, new.settings)
    note = "Those that differ." if found else "None differs."
    return Table("settings", "Settings", note, ("setting", old.name, new.name), found)


def data(old: Run, new: Run) -> Table:
    """Names, numbers of pictures and DVC's hashes."""
    one, other = dict(flat(old.data)), dict(flat(new.data))
    return Table("data", "Data", "md5: what DVC knows the data by.", _head("of", old, new), _rows(one, other))


def files(old: Run, new: Run) -> Table:
    """What was exported, and how it did."""
    measured = [_mapping(_at(run.export, "files")) for run in (old, new)]
    rows = []
    for name in dict.fromkeys((*measured[0], *measured[1])):
        one, other = (_told(_mapping(found.get(name))) for found in measured)
        rows += [(name, *row) for row in _rows(one, other)]
    return Table("files", "Exported files", "", ("file", *_head("measure", old, new)), rows)


def versions(old: Run, new: Run) -> Table:
    """The packages whose locked versions differ."""
    if not (old.versions and new.versions):
        unknown = " and ".join(run.name for run in (old, new) if not run.versions)
        return Table("versions", "Versions of packages", f"Not known of {unknown}.", _head("package", old, new), ())
    found = changes(old.versions, new.versions)
    note = (
        f"Those that differ of {len(old.versions)} locked ones." if found else f"All {len(old.versions)} are the same."
    )
    return Table("versions", "Versions of packages", note, ("package", old.name, new.name), found)


def _told(file: Mapping[str, Any]) -> dict[str, str]:
    """What was measured of an exported file, as shown."""
    shown: dict[str, tuple[Callable[[float], str], Any]] = {
        "size": (size_text, file.get("bytes")),
        "accuracy": (percent, file.get("accuracy")),
        "agreement with Keras": (lambda share: percent(share, 2), file.get("agreement")),
        "median latency": (lambda ms: f"{ms:.2f} ms", _at(file, "latency_ms", "median")),
    }
    told = {title: form(value) for title, (form, value) in shown.items() if isinstance(value, int | float)}
    if "passed" in file:
        told["gate"] = "passed" if file["passed"] else "refused"
    return told | ({"sha256": str(file["sha256"])} if "sha256" in file else {})


def _head(first: str, old: Run, new: Run) -> tuple[str, ...]:
    return first, old.name, new.name, "alike"


def _rows(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """(what, old, new, same or differs) of all that either has."""
    pairs = [(key, str(one.get(key, NONE)), str(other.get(key, NONE))) for key in dict.fromkeys((*one, *other))]
    return [(key, was, now, "same" if was == now else "differs") for key, was, now in pairs]


def _score(run: Run, arm: str, name: str, score: str) -> Numbers | None:
    return _estimate(run.evaluation, "mean", arm, name, score)


def _points(one: Numbers | None, other: Numbers | None, key: str, times: float) -> str:
    if not (one and other):
        return NONE
    points = round(times * (other[key] - one[key]), 1) + 0.0  # no minus before a zero
    return f"{points:+z.1f}".replace("-", "−") + " points"


def _estimated(found: Estimate) -> str:
    return gain_text({"points": found.mean, "ci95": found.ci95})


def _estimate(value: Any, key: str, *path: str) -> Numbers | None:
    """The number and its interval there; None for anything else: releases come from outside."""
    found = _mapping(_at(value, *path))
    ends = found.get("ci95")
    whole = isinstance(ends, list | tuple) and len(ends) == 2
    numbers = [found.get(key), *ends] if whole and ends else [None]
    return found if all(isinstance(number, int | float) for number in numbers) else None


def _at(value: Any, *path: str) -> Any:
    for step in path:
        value = _mapping(value).get(step)
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
