"""The result of a comparison for people: reports/compare.json, a page, and a table on the terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from graft.core import atlas as records
from graft.core import comparison, comparison_page
from graft.core.atlas import Record
from graft.core.bootstrap import Estimate
from graft.core.comparison import Comparison
from graft.core.errors import BadInput
from graft.core.evaluation import Resampling
from tasks import atlas
from tasks.adapters import files
from tasks.domains import Domain
from tasks.planned import Plan, every, glance
from tasks.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

BOOTSTRAP = 1000

Pairs = Sequence[tuple[Domain, Domain]]


def write(plan: Plan, pairs: Pairs) -> list[Comparison]:
    """Write the report and the page of a comparison whose cells are in the atlas.

    Raises:
        BadInput: none of them is; or a record was altered.
    """
    workspace = plan.workspace
    kept = {one.key: one for one in atlas.read(workspace)}
    found = [one for decides in wanted(plan, pairs) if (one := kept.get(records.key("cell", decides)))]
    looks = [
        one
        for source, target in pairs
        for labels in plan.matrix.labels_per_class
        if (one := kept.get(records.key("look", glance(plan, source, target, labels))))
    ]
    compared = comparison.compare(found, Resampling(BOOTSTRAP, plan.settings.seed))
    if not compared:
        raise BadInput("no cell of compare.yaml has been measured yet; type: graft compare")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = comparison_page.render(compared, looks, notes(plan, found), made)
    files.write_json(workspace.compare_report, {"made": made, "targets": [one.as_json for one in compared]})
    with files.written_aside(workspace.compare_page) as aside:
        aside.write_text(text, encoding="utf-8")
    return compared


def wanted(plan: Plan, pairs: Pairs) -> list[dict[str, Any]]:
    """What decides every cell of a comparison, the scratch nets' among them."""
    targets = {target.name: target for _, target in pairs}
    either: list[tuple[Domain | None, Domain]] = [*((None, one) for one in targets.values()), *pairs]
    return [decides for source, target in either for decides in every(plan, source, target)]


def notes(plan: Plan, cells: Sequence[Record]) -> list[str]:
    """What a reader should know of how it was measured."""
    section, matrix = plan.settings.finetune, plan.matrix
    tries = len(section.learning_rates)
    said = [
        f"Every net is fine-tuned for {section.steps} steps from {matrix.seeds} seeds; each source, and the net that "
        f"starts from nothing, tries {tries} learning rate{'s' if tries > 1 else ''} and keeps the best by validation. "
        "The order of sources rests on the same pictures as their gains: the best of many looks a little better than "
        "it is."
    ]
    lost = [one.decides["source"] for one in cells if one.facts.get("diverged")]
    diverged = sorted({str(one["name"]) if one else "the net from nothing" for one in lost})
    return said + ([f"Diverged at every rate, and left out: {', '.join(diverged)}."] if diverged else [])


def show(workspace: Workspace, console: "Console") -> None:
    """Verdicts and standings on the terminal, and where the page is."""
    from rich.table import Table

    for one in files.read_json(workspace.compare_report)["targets"]:
        table = Table(box=None, pad_edge=False)
        for title in ("source", "mean gain, points", "verdict", "behind the best"):
            table.add_column(title)
        for place, each in enumerate(one["standings"]):
            gain, behind = (comparison.interval(Estimate(**each[name])) for name in ("gain", "behind"))
            table.add_row(each["source"], gain, each["verdict"], behind if place else "")
        console.print(f"\n{one['sentence']}", highlight=False, markup=False, soft_wrap=True)
        console.print(table, highlight=False, markup=False)
    console.print(f"\npage: {workspace.compare_page}", highlight=False, markup=False, soft_wrap=True)
