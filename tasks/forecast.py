"""forecast: what reuse would gain, from features and the atlas, before anything is fine-tuned."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files as resources
from itertools import product
from typing import TYPE_CHECKING, Any

from graft.core import advice, atlas, forecast, forecast_judge, forecast_page
from graft.core.advice import Advice, Candidate
from graft.core.atlas import Record
from graft.core.evaluation import Resampling
from graft.core.forecast import Example
from graft.core.forecast_judge import Judgement
from tasks import atlas as kept
from tasks.adapters import files
from tasks.domains import Domain
from tasks.planned import Plan, glance
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

BOOTSTRAP = 200
MEASURED = "measured.json"

Pairs = Sequence[tuple[Domain, Domain]]


def write(plan: Plan, pairs: Pairs) -> list[Advice]:
    """Write reports/forecast.json and the page; one advice for each target, number of labels and method.

    Raises:
        BadInput: the atlas holds too little to learn from, or a record was altered.
    """
    records = kept.read(plan.workspace)
    known = examples(records, plan.settings.seed)
    forecaster = forecast.learn(known)
    judgement = forecast_judge.judge(known)
    looks = {one.key: one for one in records if one.kind == "look"}
    sections = []
    methods = tuple(dict.fromkeys(one.name for one in plan.matrix.methods))
    targets = dict.fromkeys(target.name for _, target in pairs)
    for target, labels, method in product(targets, plan.matrix.labels_per_class, methods):
        cases = [
            _case(looks[atlas.key("look", glance(plan, source, other, labels))], method, known)
            for source, other in pairs
            if other.name == target
        ]
        found = [Candidate(one, forecaster.tell(one)) for one in cases]
        found.sort(key=lambda one: (-one.told.gain, one.case.source))
        told_apart = method if len(methods) > 1 else ""
        said = advice.advise(found, target, labels, _seconds(known), told_apart)
        sections.append(forecast_page.Section(target, labels, said, found, advice.warnings(found), told_apart))
    _write(plan, sections, judgement, known)
    return [one.advice for one in sections]


def examples(records: Sequence[Record], seed: int) -> list[Example]:
    """Those of this workspace's atlas, and those that come with graft of pairs that it has not measured itself."""
    mine = own(records, seed)
    measured = {_same(one) for one in mine}
    return mine + [one for one in shipped() if _same(one) not in measured]


def own(records: Sequence[Record], seed: int) -> list[Example]:
    """Those of an atlas."""
    gains = [one for one in atlas.gains(_sound(records), Resampling(BOOTSTRAP, seed)) if one.seeds]
    return forecast.examples(gains, records)


def shipped() -> list[Example]:
    """What was measured on the glyphs, by `python -m benchmarks.atlas`."""
    told = json.loads(resources("graft.core").joinpath(MEASURED).read_text(encoding="utf-8"))
    return [Example(**one) for one in told["examples"]]


def show(workspace: Workspace, console: "Console") -> None:
    """The advice and every candidate on the terminal, and where the page is."""
    from rich.table import Table

    told = files.read_json(workspace.forecast_report)
    for one in told["targets"]:
        table = Table(box=None, pad_edge=False)
        for title in ("source", "foretold gain, points", "harms", "measured"):
            table.add_column(title)
        for each in one["candidates"]:
            table.add_row(each["source"], each["shown"], f"{each['harm']:.0%}", each["measured"])
        console.print(f"\n{one['advice']}", highlight=False, markup=False, soft_wrap=True)
        if one["experiment"]:
            console.print(f"to find out: {one['experiment']}", highlight=False, markup=False, soft_wrap=True)
        console.print(table, highlight=False, markup=False)
        for line in one["warnings"]:
            console.print(f"beware: {line}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"\n{told['how_good']}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"page: {workspace.forecast_page}", highlight=False, markup=False, soft_wrap=True)


def _sound(records: Iterable[Record]) -> list[Record]:
    return [one for one in records if one.kind == "cell" and one.facts["sets"]]


def _same(one: Example) -> tuple[str, str, int | str, str]:
    return one.source, one.target, one.labels, one.method


def _case(look: Record, method: str, known: Sequence[Example]) -> Example:
    """A candidate; with its gain where it has been measured with these labels by this method."""
    said = look.decides
    source, target, labels = said["source"]["name"], said["target"]["name"], said["labels_per_class"]
    case = Example(source, target, labels, forecast.known(look), float("nan"), method=method)
    measured = next((one for one in known if _same(one) == _same(case) and one.known == case.known), None)
    return replace(case, gain=measured.gain, error=measured.error) if measured else case


def _seconds(known: Sequence[Example]) -> float:
    return sum(one.seconds for one in known) / len(known)


def _write(
    plan: Plan, sections: Sequence[forecast_page.Section], judgement: Judgement, known: Sequence[Example]
) -> None:
    workspace, made = plan.workspace, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    how_good = forecast_page.how_good(judgement)
    report: dict[str, Any] = {
        "made": made,
        "how_good": how_good,
        "judgement": judgement.as_json,
        "targets": [one.as_json for one in sections],
    }
    files.write_json(workspace.forecast_report, report)
    with files.written_aside(workspace.forecast_page) as aside:
        aside.write_text(forecast_page.render(sections, judgement, known, made), encoding="utf-8")
