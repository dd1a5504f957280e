"""What the variants of the net that ships have and lose, as rows for the terminal, the report and Prefect's pages."""

from collections.abc import Mapping
from typing import Any

HEAD = ("net", "parameters", "Keras accuracy %", "points lost")


def rows(export: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The whole net, then each variant, with 95 % intervals, that of a loss paired; none if there are no variants.

    Args:
        export: content of reports/export.json, of an earlier graft perhaps.
    """
    variants = export.get("variants") or {}
    return [("whole", *_has(export["keras"]), ""), *(_row(*one) for one in variants.items())] if variants else []


def _row(name: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    if not facts["trained"]:
        return name, "", "", "its training diverged"
    low, high = facts["drop_ci95"]
    return name, *_has(facts), f"{facts['drop_points']:.1f} [{low:.1f}, {high:.1f}]"


def _has(facts: Mapping[str, Any]) -> tuple[str, str]:
    low, high = facts["accuracy_ci95"]
    return f"{facts['parameters']:,}", f"{100 * facts['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
