"""Room in the cache: what the store has and nothing here needs goes, and nothing else."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from graft.core.errors import EnvironmentProblem
from tasks import remote, tidy
from tasks.adapters import dvc_cache, worktree
from tasks.adapters.history import History
from tasks.workspace import Workspace
from tests.tasks.conftest import Stored, git, run_dvc

RUNS = tidy.KEPT + 2


@pytest.fixture
def retrained(stored: Stored) -> tuple[Stored, History, list[str]]:
    """A workspace, and a branch on which each of RUNS runs made, pushed and committed another model."""
    told, tips = History(stored.place, "plants"), []
    folder = stored.place.runs / "1"
    folder.parent.mkdir(parents=True)
    for number in range(RUNS):
        worktree.reset(stored.place, folder, told.head())
        told.begin(folder, told.tip())
        script = (stored.root / "train.py").read_text()
        (folder / "train.py").write_text(script.replace("apple", f"apple {number}"))
        done = run_dvc(folder, "repro")
        assert done.returncode == 0, done.stderr
        remote.push(Workspace(folder), Console(file=io.StringIO()))
        tips.append(told.push(told.commit(folder, "retrained")))
    return stored, told, tips


def names(stored: Stored, commit: str) -> set[str]:
    """Every object that a commit's dvc.lock refers to; needs the cache."""
    found = set()
    for one in dvc_cache.locked(git(stored.root, "show", f"{commit}:dvc.lock")):
        listing = (stored.cache / one.key).read_bytes() if one.is_folder else b"[]"
        found |= {one.name} | {file.name for file in dvc_cache.files(one, listing)}
    return found


def test_what_earlier_runs_made_goes_and_what_is_at_hand_stays(retrained: tuple[Stored, History, list[str]]) -> None:
    stored, told, tips = retrained
    before = set(dvc_cache.kept(stored.cache))
    stays = {name for commit in (told.head(), *tips[-tidy.KEPT :]) for name in names(stored, commit)}
    goes = {name for commit in tips for name in names(stored, commit)} - stays
    assert len(goes) == 4  # of each of two runs the labels and the list of the folder

    freed = tidy.tidy(stored.place, told, tips[-1])
    assert freed.objects == len(goes) and freed.bytes_ > 0
    assert set(dvc_cache.kept(stored.cache)) == before - goes
    assert tidy.tidy(stored.place, told, tips[-1]) == (0, 0)
    assert run_dvc(stored.root, "status").stdout.strip() == "Data and pipelines are up to date."


def test_what_the_store_does_not_have_stays(retrained: tuple[Stored, History, list[str]]) -> None:
    stored, told, tips = retrained
    before = set(dvc_cache.kept(stored.cache))
    gone = names(stored, tips[0]) - names(stored, told.head())
    for one in gone:
        key = f"files/md5/{one[:2]}/{one[2:]}"
        stored.delete(key)
        stored.write(key, b"other bytes") if not one.endswith(".dir") else None
    tidy.tidy(stored.place, told, tips[-1])
    assert gone and gone <= set(dvc_cache.kept(stored.cache)) < before


def test_a_store_that_is_away_costs_nothing(
    retrained: tuple[Stored, History, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, told, tips = retrained
    before = dvc_cache.kept(stored.cache)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(EnvironmentProblem):
        tidy.tidy(stored.place, told, tips[-1])
    assert dvc_cache.kept(stored.cache) == before


def test_a_lock_that_is_none_names_nothing(tmp_path: Path) -> None:
    assert [dvc_cache.locked(text) for text in ("", "{", "stages: 3", "stages: {a: {outs: [{path: x}]}}")] == [[]] * 4
