"""The commit at hand, as git tells it."""

from pathlib import Path

from tasks.adapters import process


def at_hand(root: Path) -> dict[str, str | bool]:
    """`commit`, the hash of HEAD ("" without one), and `changed`: whether files that git knows differ from it."""
    environment = {**process.plain_environment(), "GIT_OPTIONAL_LOCKS": "0"}
    code, out, _ = process.output(["git", "rev-parse", "--verify", "HEAD"], root, environment)
    commit = out.strip() if code == 0 else ""
    code, out, _ = process.output(["git", "status", "--porcelain", "--untracked-files=no"], root, environment)
    return {"commit": commit, "changed": code != 0 or bool(out.strip())}
