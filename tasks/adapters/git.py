"""git as graft uses it: to read what an earlier commit held, and which is checked out. The only git."""

from pathlib import Path

from tasks.adapters import process

MAX_BYTES = 5_000_000


def show(root: Path, revision: str, path: Path) -> str | None:
    """The text of `path` at `revision`; None if there is no repository, no such revision or no such file in it.

    Args:
        revision: checked by the settings: nothing that git could take for an option.
    """
    inside = path.relative_to(root).as_posix()
    environment = {**process.plain_environment(), "GIT_OPTIONAL_LOCKS": "0"}
    code, out, _ = process.output(["git", "show", f"{revision}:./{inside}"], root, environment)
    return out if code == 0 and len(out) <= MAX_BYTES else None


def commit(root: Path) -> tuple[str, bool] | None:
    """What is checked out: the commit's name, and whether code or settings differ from it; None outside a repository.

    What stages write is no difference.
    """
    environment = {**process.plain_environment(), "GIT_OPTIONAL_LOCKS": "0"}
    code, name, _ = process.output(["git", "rev-parse", "--verify", "HEAD"], root, environment)
    if code:
        return None
    written = [f":(exclude){path}" for path in ("dvc.lock", "reports", "data", "features", "models")]
    code, changed, _ = process.output(["git", "status", "--porcelain", "--", ".", *written], root, environment)
    return name.strip(), bool(code or changed.strip())
