"""The branch on which retraining commits: it grows, joins what others pushed, and a repeated attempt adds nothing."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from graft.core.errors import BadInput, EnvironmentProblem
from tasks.adapters import history, worktree
from tasks.adapters.history import History
from tasks.workspace import Workspace
from tests.tasks.conftest import git


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with one commit."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "GRAFT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    root = tmp_path / "work"
    (root / "reports").mkdir(parents=True)
    files = {"params.yaml": "a: 1\n", "dvc.yaml": "stages: {}\n", ".gitignore": ".graft\n"}
    for name, text in (files | {"dvc.lock": "first\n", "reports/export.json": "{}\n"}).items():
        (root / name).write_text(text)
    (root / ".dvc").mkdir()
    git(tmp_path, "init", "-q", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return Workspace(root)


def attempt(place: Workspace, number: int, lock: str, tag: str = "", model: str = "plants") -> tuple[str, str]:
    """What a run does: a worktree, something made there, commit and push. The commit, and the branch's last."""
    told = History(place, model)
    folder = place.runs / str(number)
    folder.parent.mkdir(parents=True, exist_ok=True)
    worktree.reset(place, folder, told.head())
    told.begin(folder, told.tip())
    (folder / "dvc.lock").write_text(lock)
    commit = told.commit(folder, "retrained")
    return commit, told.push(commit, tag)


def kept(place: Workspace, *arguments: str) -> str:
    return git(place.private / "commits.git", *arguments).strip()


def test_a_run_adds_a_commit_and_a_tag_and_leaves_the_workspace_alone(place: Workspace) -> None:
    before = git(place.root, "rev-parse", "HEAD")
    commit, tip = attempt(place, 1, "second\n", "plants-v1")
    assert commit == tip == kept(place, "rev-parse", "retrain/plants") == kept(place, "rev-parse", "plants-v1")
    assert kept(place, "show", "plants-v1:dvc.lock") == "second"
    assert git(place.root, "rev-parse", "HEAD") == before and git(place.root, "status", "--porcelain") == ""
    assert git(place.root, "branch", "--list").split() == ["*", git(place.root, "branch", "--show-current").strip()]


def test_a_second_run_goes_on_from_the_first_and_takes_the_workspaces_code(place: Workspace) -> None:
    first, _ = attempt(place, 1, "second\n")
    (place.root / "dvc.yaml").write_text("stages: {more: 1}\n")
    git(place.root, "commit", "-qam", "code")
    _, tip = attempt(place, 1, "third\n")
    assert kept(place, "merge-base", first, tip) == first
    assert kept(place, "show", f"{tip}:dvc.yaml") == "stages: {more: 1}" and kept(place, "show", f"{tip}:dvc.lock")
    head = git(place.root, "rev-parse", "HEAD").strip()
    assert kept(place, "merge-base", head, tip) == head


def test_a_run_that_made_nothing_new_adds_nothing(place: Workspace) -> None:
    first, _ = attempt(place, 1, "second\n")
    assert attempt(place, 1, "second\n") == (first, first)
    assert kept(place, "rev-list", "--count", "retrain/plants") == "2"


def test_a_run_that_was_killed_before_its_push_makes_the_same_commit_again(place: Workspace) -> None:
    told = History(place, "plants")
    made = []
    for _ in range(2):
        folder = place.runs / "1"
        folder.parent.mkdir(parents=True, exist_ok=True)
        worktree.reset(place, folder, told.head())
        told.begin(folder, told.tip())
        (folder / "dvc.lock").write_text("second\n")
        made.append(told.commit(folder, "retrained"))
    assert made[0] == made[1]


def test_eight_that_push_at_once_are_all_in_the_branch(place: Workspace) -> None:
    told = History(place, "plants")
    commits = []
    for number in range(8):
        folder = place.runs / str(number)
        folder.parent.mkdir(parents=True, exist_ok=True)
        worktree.reset(place, folder, told.head())
        told.begin(folder, told.tip())
        (folder / "dvc.lock").write_text(f"{number}\n")
        commits.append(History(place, "plants").commit(folder, "retrained"))
    problems: list[BaseException] = []

    def push(number: int) -> None:
        try:
            told.push(commits[number], f"plants-v{number}")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    contained = kept(place, "rev-list", "retrain/plants").split()
    assert set(commits) <= set(contained)
    assert len(kept(place, "tag", "--list").split()) == 8


def test_commits_go_where_the_setting_says(place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere.git"
    git(tmp_path, "init", "-q", "--bare", str(elsewhere))
    monkeypatch.setenv(history.SETTING, str(elsewhere))
    _, tip = attempt(place, 1, "second\n", "plants-v1")
    assert git(elsewhere, "rev-parse", "retrain/plants", "plants-v1").split() == [tip, tip]
    assert not (place.private / "commits.git").exists()


@pytest.mark.parametrize(
    ("named", "kind", "told"),
    [
        ("/not/there.git", EnvironmentProblem, "/not/there.git: .*; commits of runs go there: mend it"),
        ("https://me:hidden@127.0.0.1:9/x.git", EnvironmentProblem, "https://127.0.0.1:9/x.git: "),
        ("--upload-pack=x", BadInput, "GRAFT_COMMITS starts with a hyphen"),
        ("ext::sh -c x", EnvironmentProblem, "transport 'ext' not allowed"),
    ],
)
def test_a_place_out_of_reach_is_one_line_without_its_password(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, named: str, kind: type[Exception], told: str
) -> None:
    monkeypatch.setenv(history.SETTING, named)
    with pytest.raises(kind, match=told) as refused:
        History(place, "plants").tip()
    assert "hidden" not in str(refused.value) and "\n" not in str(refused.value)


def test_a_workspace_without_a_commit_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(BadInput, match="has no commit; retraining works on a commit"):
        History(Workspace(tmp_path), "plants").head()


def test_two_runs_never_have_one_worktree_and_a_spoilt_one_is_made_anew(place: Workspace) -> None:
    with worktree.taken(place) as one, worktree.taken(place) as other:
        assert one != other
        for folder in (one, other):
            worktree.reset(place, folder, History(place, "plants").head())
        (one / "dvc.lock").write_text("changed")
        (one / "stray").write_text("x")
        (one / ".git").write_text("gitdir: /nowhere\n")
        worktree.reset(place, one, History(place, "plants").head())
        assert (one / "dvc.lock").read_text() == "first\n" and not (one / "stray").exists()
        assert (other / "dvc.lock").read_text() == "first\n"
        assert f"dir = {place.root / '.dvc' / 'cache'}" in (one / ".dvc" / "config.local").read_text()
    with worktree.taken(place) as again:
        assert again == one
