"""`graft data show`: what the data gate found, on the terminal."""

from collections import Counter
from typing import Any

from graft.core.errors import BadInput, UsageError, one_line
from tasks.gate import rules
from tasks.workspace import ROLES, Workspace


def show(workspace: Workspace, role: str, rule: str | None, most: int, console: Any) -> None:
    """Print the findings of `role`: counts per rule, or the rows of one rule, the worst first.

    Raises:
        UsageError: `role` is neither source nor target.
        BadInput: validate has not run, or nothing broke `rule` and there is no such rule.
    """
    if role not in ROLES:
        raise UsageError(f"graft data show takes source or target, got {one_line(role, 40)!r}")
    found = [one for one in rules.read(workspace.findings) if one.domain == role]
    if rule is None:
        _counts(found, console)
    else:
        _rows(found, rule, most, console)
    console.print(f"\npage: {workspace.validation_page}", highlight=False, soft_wrap=True)


def _counts(found: list[rules.Breach], console: Any) -> None:
    from rich.table import Table

    table = Table("rule", "severity", "count", box=None, pad_edge=False)
    for (rule, severity), count in Counter((one.rule, one.severity) for one in found).most_common():
        table.add_row(rule, severity, f"{count:,}")
    console.print(table if found else "nothing was found", highlight=False)


def _rows(found: list[rules.Breach], rule: str, most: int, console: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    mine = sorted((one for one in found if one.rule == rule), key=lambda one: -one.score)
    if not mine:
        known = sorted({one.rule for one in found})
        raise BadInput(f"nothing broke {one_line(rule, 60)!r} here; broken rules: {', '.join(known) or 'none'}")
    table = Table("picture or class", "split", "what was found", box=None, pad_edge=False)
    for one in mine[:most]:
        cells = (one.path or one.label or one.domain, one.split, one.reason)
        table.add_row(*(Text(one_line(cell, 300)) for cell in cells))
    console.print(table, highlight=False, markup=False)
    if len(mine) > most:
        console.print(f"{len(mine) - most:,} more; --most {len(mine)} shows all", highlight=False)
