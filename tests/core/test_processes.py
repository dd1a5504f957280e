"""Work in several processes: ordered, reported, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graft.core import processes
from graft.core.errors import EnvironmentProblem

ROOT = Path(__file__).parents[2]

JOBS = """
import os, signal, sys, time
from graft.core import processes
from graft.core.errors import BadInput

def work(context, job, tell):
    tell(0.5)
    if job == "raise":
        raise BadInput(context)
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "sleep":
        print(f"pid {os.getpid()}\\n", end="", flush=True)  # in one piece, though it may be killed at any moment
        time.sleep(600)
    return job * 2

if __name__ == "__main__":
    try:
        with processes.Workers(work, "context", len(sys.argv) - 1) as workers:
            print(workers.run(sys.argv[1:], lambda done, total: None))
    except Exception as error:
        print(type(error).__name__, error)
"""


def script(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.py"
    path.write_text(JOBS)
    return path


def answer(tmp_path: Path, *jobs: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script(tmp_path)), *jobs]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True).stdout


def test_results_come_in_the_order_of_the_jobs(tmp_path: Path) -> None:
    assert answer(tmp_path, "a", "b", "c", "d", "e") == "['aa', 'bb', 'cc', 'dd', 'ee']\n"


def test_a_job_that_fails_ends_the_others_at_once(tmp_path: Path) -> None:
    assert answer(tmp_path, "raise", "sleep").splitlines()[-1] == "BadInput context"


def test_a_killed_worker_is_an_environment_problem(tmp_path: Path) -> None:
    assert answer(tmp_path, "die").startswith("EnvironmentProblem a worker process was killed")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script(tmp_path)), "sleep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline().split()[1])
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        for _ in range(50):
            if not alive(worker):
                return
            time.sleep(0.1)
    pytest.fail(f"worker {worker} outlived its parent")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_there_is_at_least_one_worker_and_no_more_than_jobs() -> None:
    assert processes.workers_for(1) == 1
    assert 1 <= processes.workers_for(100) <= processes.usable_cores()


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such signal")
def test_a_process_whose_starter_died_while_it_was_loaded_ends_at_once() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    program = "from graft.core.processes import die_with_parent; die_with_parent(); print('alive')"
    said = {}
    for starter in (dead.pid, os.getpid()):
        environment = os.environ | {processes.STARTED_BY: str(starter)}
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True)
        said[starter] = (done.returncode, done.stdout)
    assert said == {dead.pid: (-signal.SIGKILL, b""), os.getpid(): (0, b"alive\n")}


def test_cores_can_be_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.CORES, "1")
    assert processes.usable_cores() == 1 and processes.workers_for(100) == 1
    monkeypatch.setenv(processes.CORES, "100000")
    assert processes.usable_cores() < 100000
    for said in ("0", "-1", "two", "1.5", "²"):
        monkeypatch.setenv(processes.CORES, said)
        with pytest.raises(EnvironmentProblem, match="a number of cores would do, 1 or more"):
            processes.usable_cores()
