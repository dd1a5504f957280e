"""Histograms of both domains as one CSV: kept in git, so that every accepted revision is something to compare with."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.core import drift
from graft.core.errors import BadInput
from tasks.adapters import files
from tasks.workspace import ROLES

Profile = Mapping[str, Any]


def write(path: Path, profiles: Mapping[str, Profile], names: Mapping[str, str]) -> None:
    """One row per count: domain, what, key, count.

    Args:
        profiles: by role, see `drift.profile`.
        names: the domains' names by role; the file speaks of those.
    """
    rows = []
    for role in ROLES:
        counts = {("class", name): count for name, count in profiles[role]["classes"].items()}
        counts |= {("brightness", str(at)): count for at, count in enumerate(profiles[role]["brightness"])}
        for number, histogram in enumerate(profiles[role]["features"]):
            counts |= {(f"feature {number}", str(at)): count for at, count in enumerate(histogram)}
        rows += [
            {"domain": names[role], "what": what, "key": key, "count": count} for (what, key), count in counts.items()
        ]
    files.write_csv(path, rows)


def parse(text: str, name: str) -> Profile | None:
    """The profile of domain `name` in what `write` wrote; None if the text knows no such domain."""
    mine = [row for row in csv.DictReader(io.StringIO(text)) if row.get("domain") == name]
    classes = {row["key"].removeprefix("'"): int(row["count"]) for row in mine if row["what"] == "class"}
    if not classes:
        return None
    histograms: dict[str, list[int]] = {}
    for row in mine:
        if row["what"] != "class":
            histograms.setdefault(row["what"], []).append(int(row["count"]))
    brightness = histograms.pop("brightness")
    return {
        "rows": sum(classes.values()),
        "classes": classes,
        "brightness": brightness,
        "features": list(histograms.values()),
    }


def accepted(text: str | None, names: Mapping[str, str]) -> dict[str, Profile]:
    """By role, the profile in the accepted revision's file; roles of which it knows nothing are left out.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        found = {role: parse(text, names[role]) for role in ROLES} if text else {}
    except (KeyError, ValueError) as error:
        raise BadInput(f"reports/plots/profile.csv of the accepted revision is damaged: {error!r}") from None
    return {role: one for role, one in found.items() if one and len(one["features"]) == len(drift.LOOK_VALUES)}
