"""Worktrees in which scheduled runs work: one run each at a time, kept from run to run with all that DVC made there."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from graft.core.errors import EnvironmentProblem, one_line
from tasks.adapters import dvc_config, process
from tasks.workspace import Workspace


def git(root: Path, *arguments: str, **more: str) -> tuple[int, str, str]:
    """Exit code, output and complaint of git in `root`; it asks nobody, and speaks to files, ssh and https alone.

    Args:
        more: environment variables.
    """
    environment = process.plain_environment() | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file:https:http:ssh:git",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=10",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
        "GIT_HTTP_LOW_SPEED_TIME": "30",
    }
    return process.output(["git", "-c", "gc.auto=0", *arguments], root, environment | more)


def must(root: Path, *arguments: str, **more: str) -> str:
    """What git says.

    Raises:
        EnvironmentProblem: it refuses; the text is its own.
    """
    code, out, err = git(root, *arguments, **more)
    if code:
        told = [line for line in err.splitlines() if line.strip()] or ["it said nothing"]
        raise EnvironmentProblem(f"git {arguments[0]}: {one_line(told[-1])}; look with git status in {root}")
    return out.strip()


@contextmanager
def taken(place: Workspace) -> Iterator[Path]:
    """A worktree folder that no other run has, for as long as the block lasts; the system frees it when we die."""
    place.runs.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        with (place.runs / f"{number}.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield place.runs / str(number)
            return


def reset(place: Workspace, folder: Path, commit: str) -> None:
    """Have `commit` in the worktree `folder`, nothing changed; what DVC made there stays, and is DVC's to judge.

    It shares the workspace's DVC cache. What a killed run left behind is no hindrance.

    Raises:
        EnvironmentProblem: git cannot make it.
    """
    known = git(folder, "rev-parse", "--show-toplevel")[1].strip() if (folder / ".git").is_file() else ""
    if known != str(folder.resolve()) or not _clean(folder, commit):
        shutil.rmtree(folder, ignore_errors=True)
        must(place.root, "worktree", "prune")
        must(place.root, "worktree", "add", "--force", "--detach", "--quiet", str(folder), commit)
    dvc_config.share_cache(folder, dvc_config.cache_folder(place.root))


def _clean(folder: Path, commit: str) -> bool:
    steps = (("checkout", "--force", "--quiet", "--detach", commit), ("clean", "--force", "-d", "--quiet"))
    return not any(git(folder, *step)[0] for step in steps)
