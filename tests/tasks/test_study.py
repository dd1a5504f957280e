"""Trials that several workers share: each ends once, whoever is killed and whenever; what has ended stays as it is."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from graft.core.errors import EnvironmentProblem, GateRefused
from tasks.adapters.storage import STORAGE, journal
from tasks.adapters.study import Told
from tests.conftest import ROOT
from tests.tasks.searcher import START, study

ENDED = ("complete", "pruned")


def worker(folder: Path, trials: int, seconds: float = 0.02, **more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.tasks.searcher", str(folder), str(trials), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | more, stdin=subprocess.DEVNULL)


def ended(told: list[Told]) -> dict[int, Told]:
    return {one.number: one for one in told if one.state in ENDED}


def taken(told: list[Told]) -> list[Told]:
    """Those that a worker has begun; the default's waits in the queue before."""
    return [one for one in told if one.state != "waiting"]


def check(told: list[Told], trials: int) -> None:
    """As many ended as were wanted, nobody is at one, and each dead one was tried again once as it was."""
    assert len(ended(told)) == trials
    assert {one.state for one in told} <= {*ENDED, "failed"}
    again = Counter(one.again_of for one in told if one.again_of is not None)
    dead = {one.number: one for one in told if one.state == "failed" and not one.reason}
    assert again == Counter(number for number, one in dead.items() if one.values or one.is_default)
    for one in told:
        if one.again_of is not None:
            was = dead[one.again_of]
            assert {**one.values, **was.values} == one.values and one.is_default == was.is_default


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORAGE, raising=False)


def test_killed_at_random_moments_a_search_loses_and_repeats_nothing(here: None, tmp_path: Path) -> None:
    generator, before = random.Random(11), {}
    for seconds in (60.0, *[0.02] * 5):  # the first dies inside a trial for certain
        process = worker(tmp_path, 25, seconds)
        while len(taken(study(tmp_path, 25).trials())) <= len(before) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(generator.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = ended(study(tmp_path, 25).trials())
        assert before.items() <= now.items()
        before = now
    assert worker(tmp_path, 25).wait(120) == 0
    told = study(tmp_path, 25).trials()
    check(told, 25)
    assert before.items() <= ended(told).items()
    assert told[0].is_default and told[0].values in ({}, START)
    sampled = [tuple(map(str, one.values.items())) for one in told if one.again_of is None and one.values]
    assert len(set(sampled)) == len(sampled)  # a new start does not draw the same again
    assert any(one.state == "failed" for one in told)


def test_two_workers_share_a_search_and_one_may_die(here: None, tmp_path: Path) -> None:
    first, second = worker(tmp_path, 20), worker(tmp_path, 20)
    while not ended(study(tmp_path, 20).trials()):
        time.sleep(0.05)
    first.kill()
    first.wait()
    assert second.wait(120) == 0
    check(study(tmp_path, 20).trials(), 20)


def test_machines_that_share_a_storage_and_no_lock_do_no_trial_too_many(here: None, tmp_path: Path) -> None:
    address = {STORAGE: f"sqlite:///{tmp_path}/search.db"}
    worker(tmp_path / "first", 0, **address).wait(60)  # makes the tables
    both = [worker(tmp_path / name, 8, **address) for name in ("first", "second")]
    assert [one.wait(120) for one in both] == [0, 0]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(STORAGE, address[STORAGE])
        assert len(ended(study(tmp_path, 8).trials())) == 8


def test_more_trials_are_added_to_those_that_ended(here: None, tmp_path: Path) -> None:
    assert worker(tmp_path, 3).wait(60) == 0
    three = study(tmp_path, 3).trials()
    assert worker(tmp_path, 5).wait(60) == 0
    five = study(tmp_path, 5).trials()
    assert five[:3] == three and len(five) == 5


def test_a_line_that_a_full_disk_cut_off_is_taken_off(here: None, tmp_path: Path) -> None:
    assert worker(tmp_path, 2).wait(60) == 0
    two = study(tmp_path, 2).trials()
    with journal(tmp_path).open("ab") as file:
        file.write(b'{"op_code":4,"work')
    assert worker(tmp_path, 3).wait(60) == 0
    assert study(tmp_path, 3).trials()[:2] == two


def test_a_journal_that_is_no_journal_is_told(here: None, tmp_path: Path) -> None:
    journal(tmp_path).write_bytes(b"not a line of JSON\nnor this\n")
    with pytest.raises(EnvironmentProblem, match=r"^the search's journal cannot be used \(JSONDecodeError\); move"):
        study(tmp_path, 2).trials()


def test_trials_that_fail_are_told_why_and_not_tried_without_end(here: None, tmp_path: Path) -> None:
    shared = study(tmp_path, 2, "none")
    shared.begin([START], {})
    for number in (1, 2):
        share, trial = shared.take()
        assert trial is not None and share == "taken"
        trial.fail(f"too much {number}")
    assert [one.reason for one in shared.trials()] == ["too much 1", "too much 2"]
    with pytest.raises(GateRefused, match="^2 trials failed, the last one: too much 2; other caps or another space"):
        shared.take()


@pytest.mark.parametrize(
    "address", ["postgresql://me:hunter2@127.0.0.1:9/x", "redis://me:hunter2@127.0.0.1:9", "no url"]
)
def test_a_storage_out_of_reach_is_one_line_without_its_password(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE, address)
    with pytest.raises(EnvironmentProblem, match=STORAGE) as refused:
        study(tmp_path, 2).trials()
    assert "hunter2" not in str(refused.value) and "\n" not in str(refused.value)
