"""Symbolic links that git brought along: through one, whoever wrote it would decide where a pull writes."""

from collections.abc import Iterable
from pathlib import Path

from graft.core.errors import BadInput, one_line
from tasks.adapters import process

_LINK = "120000"


def refuse_links(root: Path, outputs: Iterable[str]) -> None:
    """Refuse if git tracks a symbolic link at, above or below one of `outputs`. Links of one's own are not git's.

    Raises:
        BadInput: it names the link and the output.
    """
    links = _links(root)
    for output in sorted(outputs):
        for link in links:
            if f"{output}/".startswith(f"{link}/") or link.startswith(f"{output}/"):
                raise BadInput(
                    f"{one_line(link)} is a symbolic link that git tracks, where {output} would be written; "
                    f"git rm it if you trust what else this repository holds"
                )


def _links(root: Path) -> list[str]:
    """Paths of the tracked links, relative to `root`; none without a repository."""
    environment = {**process.plain_environment(), "GIT_OPTIONAL_LOCKS": "0"}
    code, out, _ = process.output(["git", "ls-files", "--stage", "-z"], root, environment)
    rows = [row.partition("\t") for row in out.split("\0") if row] if code == 0 else []
    return [path for facts, _, path in rows if facts.startswith(_LINK)]
