"""Processes that train together: what one learns, with one killed on the way; and what becomes of those that fail."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import team
from graft.core.errors import BadInput, EnvironmentProblem
from graft.core.parallel import Way
from graft.core.processes import Tell
from graft.core.team import Team
from tests.core import ways
from tests.core.test_processes import alive


@pytest.fixture(autouse=True)
def nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.mark.sweep
def test_two_processes_of_which_one_is_killed_learn_what_one_process_learns(tmp_path: Path) -> None:
    lost: list[str] = []
    with Team(ways.together, tmp_path, 2, lost.append) as crew:
        (ours,) = crew.run(["die"], lambda done, total: None)
    alone = ways.trained(Way(), "batch_norm", ways.BUSY)
    assert ours["replicas"] == 2 and len(lost) == 1 and (tmp_path / "died").exists()
    assert ours["started"] == 6  # not from anew: the chief's checkpoint was told to the other
    assert [path.name for path in tmp_path.iterdir() if path.name != "died"] == ["state.train"]
    np.testing.assert_allclose(ours["losses"], alone["losses"], rtol=2e-4)
    for one, other in zip(ours["weights"], alone["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-4)


def count(folder: Path, job: str, tell: Tell) -> str:
    """Tell who did which job, in a file each; some jobs end badly."""
    (folder / f"{job}-{os.getpid()}").touch()
    tell(1.0)
    if job == "refuse":
        raise BadInput("no such thing")
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return job * 2


def test_every_process_does_every_job_and_results_come_in_their_order(tmp_path: Path) -> None:
    shown: list[Any] = []
    with Team(count, tmp_path, 2) as crew:
        assert crew.run(["a", "b"], lambda done, total: shown.append((done, total))) == ["aa", "bb"]
        assert crew.run([], lambda done, total: None) == []
    assert {path.name[0] for path in tmp_path.iterdir()} == {"a", "b"} and shown[-1] == (200, 200)
    assert not any(alive(int(path.name.split("-")[1])) for path in tmp_path.iterdir())


def test_what_a_job_raises_ends_all_and_is_not_tried_again(tmp_path: Path) -> None:
    lost: list[str] = []
    with Team(count, tmp_path, 2, lost.append) as crew, pytest.raises(BadInput, match="no such thing"):
        crew.run(["refuse"], lambda done, total: None)
    assert not lost
    assert not any(alive(int(path.name.split("-")[1])) for path in tmp_path.iterdir())


def test_losses_without_end_are_given_up_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "RESTARTS", 1)
    lost: list[str] = []
    with Team(count, tmp_path, 2, lost.append) as crew, pytest.raises(EnvironmentProblem) as caught:
        crew.run(["die"], lambda done, total: None)
    assert "given up after 2 losses" in str(caught.value) and "signal 9" in str(caught.value)
    assert len(lost) == 1 and "1 more time" in lost[0]


def test_where_tf_config_names_the_processes_only_its_own_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    told: list[str] = []
    with Team(count, tmp_path, 2, told.append) as crew:
        assert crew.run(["a"], lambda done, total: None) == ["aa"]
    assert len(list(tmp_path.iterdir())) == 1 and told == ["waits until all of a:1, b:1 train along"]


def test_ports_are_free_and_differ() -> None:
    ports = team.free_ports(8)
    assert len(set(ports)) == 8 and min(ports) > 0
