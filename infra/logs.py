"""What the services say is kept within bounds, while they run: whenever somebody looks at them or has them up."""

from pathlib import Path

from infra import process


def cut(root: Path) -> None:
    """Cut every log of the workspace `root` that has grown large.

    Raises:
        EnvironmentProblem: one is large and cannot be cut.
    """
    for pattern in ("*/log", "*/*.log"):
        for log in (root / ".graft").glob(pattern):
            process.cut(log)
