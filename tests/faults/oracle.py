"""One look at a workspace after a fault, with what promises were made: what is said here is broken, and how.

Nothing is asked of the flow's own code: the store, git, Prefect's API, /proc and the files tell.
"""

import fcntl
import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from graft.core.errors import GraftError
from graft.hub.bucket import Bucket
from tasks import audit
from tasks.adapters import dvc
from tasks.workspace import Workspace
from tests.faults.platform import AT_WORK, Platform
from tests.hub import oracle as releases

PROMISED_S = 100.0
"""A run whose process is gone is known to be dead after so many seconds."""
PRIVATE = ("store/credentials", "store/s3.json", "prefect/login", "prefect/encryption", "prefect/profiles.toml")


class Oracle:
    """Remembers what it saw, so that nothing acknowledged is lost from one look to the next."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._seen: releases.Objects = {}

    def complaints(self, finished: bool = True) -> list[str]:
        """All that is wrong.

        Args:
            finished: the last run ended well, so its worktree is as its dvc.lock says.
        """
        root = self.platform.place.root
        return [
            *self._releases(),
            *self._commits(root),
            *_git(root),
            *(_worktrees(root) if finished else ()),
            *self._runs(),
            *self._processes(root),
            *_secrets(self.platform, self._seen),
        ]

    def _releases(self) -> Iterator[str]:
        with closing(Bucket(self.platform.store)) as bucket:
            models = {key.split("/")[1] for part in ("models", "stages") for key in bucket.keys(f"{part}/")}
            now: releases.Objects = {}
            for model in sorted(models):
                objects = releases.everything(bucket, model)
                yield from releases.complaints(objects, model)
                now |= objects
        yield from (f"{key} was there and is not any more" for key in releases.lost(self._seen, now))
        self._seen = now

    def _commits(self, root: Path) -> Iterator[str]:
        """The dvc.lock of each branch's last commit, and every object that it names."""
        commits = root / ".graft" / "commits.git"
        for branch in _lines(commits, "for-each-ref", "--format=%(refname)", "refs/heads/"):
            with TemporaryDirectory() as folder:
                place = Workspace(Path(folder))
                for name in ("dvc.lock", "dvc.yaml", "params.yaml"):
                    (place.root / name).write_bytes(_output(commits, "show", f"{branch}:{name}"))
                (place.root / ".dvc").mkdir()
                try:
                    if not dvc.hashes(place.root):
                        yield f"dvc.lock of {branch} names nothing"
                    found = audit.audit(place, self.platform.store, Console(file=io.StringIO()), ("store",)).findings
                except GraftError as error:
                    yield f"{branch}: {error}"
                else:
                    yield from (f"{branch}: {one.line}" for one in found)

    def _runs(self) -> Iterator[str]:
        alive = {one.run for one in self.platform.processes()}
        for run in self.platform.runs(state={"type": {"any_": list(AT_WORK)}}):
            since = datetime.now(UTC) - datetime.fromisoformat(run["state"]["timestamp"])
            if run["id"] not in alive and since.total_seconds() > PROMISED_S:
                yield f"run {run['name']} is {run['state_type']} since {since} and no process works at it"

    def _processes(self, root: Path) -> Iterator[str]:
        working = {run["id"] for run in self.platform.runs(state={"type": {"any_": list(AT_WORK)}})}
        there = {one.pid: one for one in self.platform.processes()}
        for one in there.values():
            chain = set(_ancestors(one.pid, {pid: other.parent for pid, other in there.items()}))
            if not chain & set(self.platform.parts()) and one.run not in working:
                yield f"process {one.pid} is an orphan: {one.command[:150]}"
        if working:
            return
        for lock in (*(root / ".graft" / "runs").glob("*.lock"), root / ".graft" / "publish.lock"):
            if _is_held(lock):
                yield f"{lock} is held though no run goes on"


def _git(root: Path) -> Iterator[str]:
    yield from (f"git status: {line}" for line in _lines(root / ".git", "status", "--porcelain", folder=root))
    for line in _lines(root / ".git", "worktree", "list", "--porcelain"):
        if line.startswith(("locked", "prunable")):
            yield f"git worktree: {line}"
    for folder in (root / ".git", root / ".graft" / "commits.git"):
        yield from (f"{path} was left behind" for path in folder.rglob("*.lock"))
        for line in _lines(folder, "fsck", "--no-progress", "--no-dangling", "--connectivity-only"):
            yield f"git fsck: {line}"


def _worktrees(root: Path) -> Iterator[str]:
    """Each matches its dvc.lock, the workspace too if a run was ever made in it."""
    for folder in (root, *(path for path in (root / ".graft" / "runs").glob("*") if path.is_dir())):
        if (folder / "dvc.lock").exists() and (stale := dvc.stale(folder)):
            yield f"{folder}: dvc.lock does not match {', '.join(sorted(stale))}"


def _secrets(platform: Platform, objects: releases.Objects) -> Iterator[str]:
    """Keys and login in anything but the files that hold them: logs, Prefect's database, git, releases, commands."""
    private = platform.place.root / ".graft"
    secrets = list(_secret_values(private))
    assert len(secrets) >= 3, "the secrets to look for were not found"
    places: dict[str, bytes] = {f"object {key}": data for key, data in objects.items()}
    for path in private.rglob("*"):
        inside = path.relative_to(private)
        if path.is_file() and inside.as_posix() not in PRIVATE and "data" not in inside.parts[:2]:
            if inside.parts[0] not in ("runs", "commits.git"):
                places[str(path)] = path.read_bytes()
    for git in (platform.place.root / ".git", private / "commits.git"):
        places[str(git)] = _output(git, "cat-file", "--batch", "--batch-all-objects")
    for folder in private.glob("runs/*/reports"):
        places |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    places |= {f"command of {one.pid}": one.command.encode() for one in platform.processes()}
    for place, data in places.items():
        if any(secret in data for secret in secrets):
            yield f"a secret stands in {place}"


def _secret_values(private: Path) -> Iterator[bytes]:
    yield (private / "prefect" / "login").read_bytes().strip().partition(b":")[2]
    yield (private / "prefect" / "encryption").read_bytes().strip()
    for line in (private / "store" / "credentials").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if "secret" in name:
            yield value.strip().encode()


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = parents.get(pid, 0)


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lines(git: Path, *command: str, folder: Path | None = None) -> list[str]:
    return _output(git, *command, folder=folder).decode(errors="replace").splitlines()


def _output(git: Path, *command: str, folder: Path | None = None) -> bytes:
    """What git says of the repository; b"" if there is none yet."""
    if not git.exists():
        return b""
    where = [f"--git-dir={git}", *([f"--work-tree={folder}"] if folder else [])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *where, *command],
        cwd=folder or git,
        env=environment | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr
