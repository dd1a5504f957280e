"""Tables of what stages made, for Prefect's pages: rows of texts and numbers.

Prefect reads each text as Markdown. Names that came with the data are `plain`: nobody's class is a link to press.
"""

import re
from collections import Counter
from typing import Any

from graft.core import settings as settings_file
from graft.core.errors import one_line
from tasks.adapters import files
from tasks.gate import profile
from tasks.results import rows as result_rows
from tasks.workspace import ROLES, Workspace

SPLITS = ("train", "validation", "test", "unseen")
MOST = 200
Rows = list[dict[str, Any]]


def pictures(workspace: Workspace) -> Rows:
    """How many pictures of each class came, by split, and how many of it the data gate kept when it last looked."""
    import pyarrow.parquet as pq

    columns = pq.read_table(workspace.manifest, columns=["domain", "label", "split"]).to_pydict()
    counts = Counter(zip(columns["domain"], columns["label"], columns["split"], strict=True))
    data, before = settings_file.load(workspace.params).data, _before(workspace)
    rows: Rows = []
    for role in ROLES:
        name = getattr(data, role).name
        kept = (profile.parse(before, name) or {}).get("classes", {})
        for label in sorted({label for domain, label, _ in counts if domain == role}):
            found = {split: counts[role, label, split] for split in SPLITS}
            facts = {"pictures": sum(found.values()), **found, "kept last time": kept.get(label, 0)}
            rows.append({"role": role, "domain": plain(name), "class": plain(label), **facts})
    return _cut(rows)


def findings(workspace: Workspace) -> Rows:
    """What the data gate found: a line per broken rule."""
    found = files.read_json(workspace.validation)["found"]
    rows = [{"rule": rule, "severity": one["severity"], "count": one["count"]} for rule, one in found.items()]
    return rows or [{"rule": "every rule", "severity": "passed", "count": 0}]


def results(workspace: Workspace) -> Rows:
    """What every arm reached on each test set, with intervals."""
    head = ("arm", "test set", "accuracy %", "macro recall %", "macro-F1 %")
    return [dict(zip(head, row, strict=True)) for row in result_rows(workspace)]


def exported(workspace: Workspace) -> Rows:
    """The files, and how they did on raw test pictures."""
    return [
        {
            "file": plain(name),
            **({"net": one["variant"] or "whole"} if "variant" in one else {}),
            "bytes": one["bytes"],
            "accuracy %": round(100 * one["accuracy"], 1),
            "agreement with Keras %": round(100 * one["agreement"], 2),
            "median ms": one["latency_ms"]["median"],
            "memory MB": one.get("peak_memory_mb"),
            "gate": "passed" if one["passed"] else plain("; ".join(one["refused_because"]), 200),
        }
        for name, one in files.read_json(workspace.export_report)["files"].items()
    ]


def checks(verdict: dict[str, Any]) -> Rows:
    """What the gate asked of a challenger, see `tasks.challenge`."""
    return [
        {"condition": one["about"], "found": plain(one["found"], 300), "wanted": one["wanted"]}
        | {"passed": "yes" if one["passed"] else "NO"}
        for one in verdict["checks"]
    ]


def plain(text: str, limit: int = 60) -> str:
    """A text that Markdown shows as it is: one line without links, pictures or tags."""
    return re.sub(r"([\\\[\]<>:@]|(?<=www)\.)", r"\\\1", one_line(text, limit))


def _before(workspace: Workspace) -> str:
    return workspace.profile.read_text(encoding="utf-8") if workspace.profile.exists() else ""


def _cut(rows: Rows) -> Rows:
    """The first ones, and in a last line how many more there are."""
    if len(rows) <= MOST:
        return rows
    return [*rows[:MOST], dict.fromkeys(rows[0], "") | {"class": f"and {len(rows) - MOST} classes more"}]


def trials(workspace: Workspace) -> Rows:
    """A row per trial of a search."""
    report = files.read_json(workspace.tune_report)
    rows: Rows = [
        {
            "arm": arm,
            "trial": one["number"],
            "state": one["state"],
            "macro-F1 %": "" if one["value"] is None else f"{100 * one['value']:.1f}",
            "settings": plain(", ".join(f"{key}: {value}" for key, value in one["values"].items())),
            "reason": plain(one["reason"]),
        }
        for arm, told in report["arms"].items()
        for one in told["trials"]
    ]
    return _cut(rows)
