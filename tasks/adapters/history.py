"""What retraining made, as git keeps it: a branch per model that grows by a commit per run, and a tag per release.

Where they go is a setting, GRAFT_COMMITS: the URL or path of a repository. By default that is a bare one in `.graft/`,
so that a trial never pushes to anybody's.
"""

import os
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import BadInput, EnvironmentProblem, one_line
from tasks.adapters.worktree import git, must
from tasks.workspace import Workspace

SETTING = "GRAFT_COMMITS"
MADE = ("dvc.lock", "reports")
"""Paths that runs write; everything else comes from the workspace's own commit."""
CODE = ("dvc.yaml", "graft", "tasks", "requirements.lock")
TRIES = 10
LOOKED_BACK = 50
AUTHOR = "graft"
_REJECTED = re.compile(r"non-fast-forward|fetch first|cannot lock ref|failed to lock|failed to update ref|stale info")


@dataclass(frozen=True)
class History:
    """The branch of `model`, seen from a workspace."""

    place: Workspace
    model: str

    @property
    def branch(self) -> str:
        return f"refs/heads/retrain/{self.model}"

    @property
    def shown(self) -> str:
        """Where commits go, without what a URL may hold of secrets."""
        return one_line(re.sub(r"//[^/@]*@", "//", self._to), 200)

    def head(self) -> str:
        """The workspace's own commit.

        Raises:
            BadInput: there is none.
        """
        code, out, _ = git(self.place.root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if code:
            raise BadInput(f"{self.place.root} has no commit; retraining works on a commit: git commit first")
        return out.strip()

    def code(self) -> str:
        """What names the code of the stages as it stands in the workspace's commit."""
        return must(self.place.root, "ls-tree", "HEAD", "--", *CODE)

    def tip(self) -> str:
        """The branch's last commit, brought here; "" if there is none yet.

        Raises:
            EnvironmentProblem: the repository is out of reach.
        """
        listed = self._asked("ls-remote", "--", self._to, self.branch)
        if not listed:
            return ""
        self._asked("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", self._to, self.branch)
        last = listed.split()[0]
        git(self.place.root, "update-ref", self._mirror, last)  # keeps it from git gc; who comes second leaves it so
        return must(self.place.root, "rev-parse", "--verify", f"{last}^{{commit}}")

    def begin(self, folder: Path, tip: str) -> str:
        """Go on from the last run: the worktree `folder`, at the workspace's commit, takes over MADE of `tip`.

        Returns:
            The commit that HEAD is then: the workspace's, `tip`, or one that joins both.
        """
        head = must(folder, "rev-parse", "HEAD")
        if not tip:
            return head
        there = must(folder, "ls-tree", "--name-only", tip, "--", *MADE).splitlines()
        if there:
            must(folder, "checkout", "--quiet", tip, "--", *there)
        tree = must(folder, "write-tree")
        if tree == must(folder, "rev-parse", f"{tip}^{{tree}}"):
            base = tip
        else:
            date = max(must(folder, "show", "-s", "--format=%cI", one) for one in (tip, head))
            parents = [tip] if self._is_in(head, tip) else [tip, head]
            base = self._commit(folder, tree, parents, f"{self.model}: the workspace's code and settings", date)
        must(folder, "update-ref", "--no-deref", "HEAD", base)
        return base

    def commit(self, folder: Path, message: str) -> str:
        """Commit what the run made and its settings; or have the same commit that an earlier, killed attempt made."""
        base = must(folder, "rev-parse", "HEAD")
        must(folder, "add", "--", "params.yaml", *(name for name in MADE if (folder / name).exists()))
        tree = must(folder, "write-tree")
        if tree == must(folder, "rev-parse", "HEAD^{tree}"):
            return base
        code, earlier, _ = git(folder, "rev-parse", "--verify", "--quiet", f"{self._pending}^{{commit}}")
        if code == 0 and must(folder, "show", "-s", "--format=%T %P", earlier.strip()) == f"{tree} {base}":
            made = earlier.strip()
        else:
            made = self._commit(folder, tree, [base], message)
            must(folder, "update-ref", self._pending, made)
        must(folder, "update-ref", "--no-deref", "HEAD", made)
        return made

    def left(self, path: str) -> str:
        """The text of `path` in the commit that a killed attempt made and did not push; "" if there is none."""
        code, out, _ = git(self.place.root, "show", f"{self._pending}:{path}")
        return "" if code else out

    def locks(self, tip: str) -> list[str]:
        """The dvc.lock of each commit that a run made, the last first; of the last LOOKED_BACK commits at the most."""
        asked = ("log", f"--max-count={LOOKED_BACK}", f"--author=^{AUTHOR} <", "--format=%H", tip, "--", "dvc.lock")
        return [must(self.place.root, "show", f"{commit}:dvc.lock") for commit in must(self.place.root, *asked).split()]

    def push(self, commit: str, tag: str = "") -> str:
        """Push the commit, and the tag that names it, all or none; joined with what somebody else pushed first.

        Returns:
            The branch's last commit.

        Raises:
            EnvironmentProblem: the repository is out of reach, or others are always first.
        """
        root, top = self.place.root, commit
        for attempt in range(1, TRIES + 1):
            tags = [f"{commit}:refs/tags/{tag}"] if tag and not self._has_tag(tag) else []
            code, _, err = git(root, "push", "--quiet", "--atomic", "--", self._to, f"{top}:{self.branch}", *tags)
            if code == 0:
                git(root, "update-ref", "-d", self._pending)
                return top
            if not _REJECTED.search(err):
                raise EnvironmentProblem(self._out_of_reach(err))
            time.sleep(random.uniform(0.05, 0.2) * attempt)
            first = self.tip()
            if self._is_in(commit, first):
                top = first
            else:
                tree = must(root, "rev-parse", f"{commit}^{{tree}}")
                top = self._commit(root, tree, [first, commit], f"{self.model}: joined with a run that was first")
        raise EnvironmentProblem(f"{self.shown}: somebody else was first {TRIES} times; start the run again")

    @property
    def _to(self) -> str:
        named = os.environ.get(SETTING, "")
        if named.startswith("-"):
            raise BadInput(f"{SETTING} starts with a hyphen; it takes the URL or path of a git repository")
        own = self.place.private / "commits.git"
        if not named and not (own / "HEAD").is_file():
            must(self.place.root, "init", "--quiet", "--bare", str(own))
        return named or str(own)

    @property
    def _mirror(self) -> str:
        return f"refs/graft/retrain/{self.model}"

    @property
    def _pending(self) -> str:
        return f"refs/graft/pending/{self.model}"

    def _asked(self, *arguments: str) -> str:
        code, out, err = git(self.place.root, *arguments)
        if code:
            raise EnvironmentProblem(self._out_of_reach(err))
        return out

    def _out_of_reach(self, err: str) -> str:
        told = [line for line in err.splitlines() if line.strip()] or ["git said nothing"]
        said = re.sub(r"//[^/@]*@", "//", told[0]).removeprefix("fatal: ")
        return f"{self.shown}: {one_line(said, 200)}; commits of runs go there: mend it, or set {SETTING}"

    def _has_tag(self, tag: str) -> bool:
        return bool(self._asked("ls-remote", "--", self._to, f"refs/tags/{tag}"))

    def _is_in(self, commit: str, later: str) -> bool:
        return git(self.place.root, "merge-base", "--is-ancestor", commit, later)[0] == 0

    def _commit(self, folder: Path, tree: str, parents: list[str], message: str, date: str = "") -> str:
        who: dict[str, str] = {}
        for kind in ("AUTHOR", "COMMITTER"):
            who |= {f"GIT_{kind}_NAME": AUTHOR, f"GIT_{kind}_EMAIL": "graft@localhost"}
            who |= {f"GIT_{kind}_DATE": date} if date else {}
        options = [option for parent in parents for option in ("-p", parent)]
        return must(folder, "commit-tree", tree, *options, "-m", message, **who)
