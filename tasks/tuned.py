"""What a search came to: reports/tune.json, its page, and the change of params.yaml that it would make."""

import difflib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graft.core import search as search_file
from graft.core import settings as settings_file
from graft.core.errors import GateRefused
from graft.core.tune_page import render, verdict
from tasks import tuning
from tasks.adapters import files
from tasks.adapters.study import Study, Told
from tasks.choices import Choices
from tasks.tuning import Plan
from tasks.workspace import Workspace

RATES = "finetune.learning_rates"


def best(study: Study) -> Told:
    """The complete trial with the highest value, the first of equals.

    Raises:
        GateRefused: none ended with a value.
    """
    complete = [one for one in study.trials() if one.state == "complete"]
    if not complete:
        raise GateRefused(f"{study.name}: no trial ended with a value; the journal says why")
    return max(complete, key=lambda one: (one.value or 0.0, -one.number))


def write(plan: Plan, studies: Mapping[str, Study], compared: Mapping[str, Mapping[str, Sequence[float]]]) -> Any:
    """Write reports/tune.json and tune.html; the report.

    Args:
        compared: by arm, macro-F1 of `best` and `defaults` on each fresh draw.
    """
    arms = {name: _arm(plan, study, compared[name]) for name, study in studies.items()}
    settings = takes_over(plan, arms)
    report = {
        "source": plan.settings.data.source.name,
        "target": plan.settings.data.target.name,
        "how": _how(plan),
        "arms": arms,
        "settings": settings,
        "diff": diff(plan, settings),
    }
    files.write_json(plan.place.tune_report, report)
    with files.written_aside(plan.place.tune_page) as aside:
        aside.write_text(render(report), encoding="utf-8")
    return report


def sentences(report: Mapping[str, Any]) -> list[str]:
    """A line for each arm: whether the best settings found improve on the defaults."""
    return [f"{arm}: {verdict(told)}" for arm, told in report["arms"].items()]


def markdown(place: Workspace) -> str:
    """The verdicts and the diff, for Prefect's pages."""
    report = files.read_json(place.tune_report)
    told = "\n".join(f"- {one}" for one in sentences(report))
    return f"{told}\n\n```diff\n{report['diff'] or 'params.yaml says so already'}\n```\n"


def show(workspace: Workspace, console: Any) -> None:
    """Print the verdicts, the change of params.yaml that the best settings would be, and where the page is."""
    report = files.read_json(workspace.tune_report)
    for line in sentences(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    change = report["diff"] or "params.yaml says so already"
    console.print(f"\n{change}\n", highlight=False, markup=False, soft_wrap=True)
    console.print(f"page: {workspace.tune_page}", highlight=False, markup=False, soft_wrap=True)


def apply(place: Workspace) -> list[str]:
    """Take the best settings over into params.yaml, whose comments stay; a line for each change.

    Raises:
        BadInput: no search has ended here, or its settings will not do with what params.yaml says otherwise.
    """
    settings = files.read_json(place.tune_report)["settings"]
    found = search_file.assignments(settings_file.plain(place.params), settings)
    return settings_file.set_values(place.params, found, Choices.of)


def takes_over(plan: Plan, arms: Mapping[str, Any]) -> dict[str, Any]:
    """By key what params.yaml would say: the best settings of transfer, or of the one arm that was searched.

    Every arm tries all learning rates and keeps its best on validation rows: so the other arm's is named, too, lest
    the comparison favour the one that was tuned.
    """
    chosen = "transfer" if "transfer" in arms else next(iter(arms))
    values = dict(arms[chosen]["best"]["values"])
    if isinstance(values.get(RATES), float):
        others = [arms[arm]["best"]["values"].get(RATES) for arm in arms if arm != chosen]
        known = [one for one in others if isinstance(one, float)] or list(plan.settings.finetune.learning_rates)
        values[RATES] = sorted({values[RATES], *known})[:16]
    return values


def diff(plan: Plan, settings: Mapping[str, Any]) -> str:
    """The change of params.yaml as a unified diff; "" if it says so already."""
    before = plan.place.params.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / plan.place.params.name
        shutil.copyfile(plan.place.params, copy)
        settings_file.set_values(copy, search_file.assignments(plan.document, settings), Choices.of)
        after = copy.read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "params.yaml", "params.yaml", "now", "best", 2, ""
    )
    return "\n".join(line.replace("\t", "  ") for line in lines)


def _arm(plan: Plan, study: Study, compared: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    found, facts = best(study), study.facts
    whole = plan.settings.finetune.per_class is None
    return {
        "study": study.name,
        "left_out": facts["left_out"],
        "defaults": facts["defaults"],
        "best": {"number": found.number, "macro_f1": found.value, "values": dict(found.values)},
        "fresh": {
            "seeds": list(plan.fresh),
            "best": list(compared["best"]),
            "defaults": list(compared["defaults"]),
            **tuning.differ(compared["best"], compared["defaults"], plan.search.folds, whole),
        },
        "importance": study.importance(),
        "trials": [asdict(one) | {"values": dict(one.values), "steps": list(one.steps)} for one in study.trials()],
    }


def _how(plan: Plan) -> dict[str, Any]:
    said = plan.search.model_dump(mode="json", exclude={"space"})
    finetune = plan.settings.finetune
    return said | {
        "space": plan.search.space,
        "draws": list(plan.seeds),
        "labels_per_class": finetune.labels_per_class,
        "steps": finetune.steps,
    }
