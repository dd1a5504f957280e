"""Killed at work: nothing is left running, and the same command finishes with the same figures."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tasks.workspace import STAGES
from tests.conftest import BIN, Finished, Place, wait_until


def inside(place: Place) -> list[str]:
    """Command lines of the living processes that work in the workspace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")) == place.root and (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def start(place: Place, *arguments: str) -> subprocess.Popen[bytes]:
    """`graft run` in a process group of its own."""
    return subprocess.Popen(
        [str(BIN / "graft"), "run", *arguments],
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def metrics(place: Place) -> tuple[object, object]:
    evaluation = json.loads((place.root / "reports" / "evaluation.json").read_text())
    export = json.loads((place.root / "reports" / "export.json").read_text())
    return evaluation, {name: (one["accuracy"], one["agreement"]) for name, one in export["files"].items()}


def kill_at_work(place: Place, stage: str) -> None:
    """kill -9 for the whole process group of `graft run` while `stage` is at work."""
    process = start(place, "--from", stage)
    wait_until(lambda: any(f"python -m tasks.{stage}" in line for line in inside(place)), 60, f"{stage} at work")
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not inside(place), 5, "no process left")


def finish(place: Place) -> None:
    done = place.graft("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in place.root.rglob("*.part")] == []
    assert [path.name for path in (place.root / ".graft").glob("validate-*")] == []


@pytest.mark.sweep
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_at_a_stage_finishes_with_the_same_figures(copied: Place, stage: str) -> None:
    undisturbed = metrics(copied)
    shutil.rmtree(copied.root / ".dvc" / "cache")  # nothing to restore the killed stage's result from
    kill_at_work(copied, stage)
    finish(copied)
    assert metrics(copied) == undisturbed


@pytest.mark.sweep
def test_what_the_command_started_dies_with_it(finished: Finished, tmp_path: Path) -> None:
    place = finished[0].copy(tmp_path / "clone")  # with Prefect's temporary server
    place.set("finetune.steps=4000")
    process = start(place)
    wait_until(lambda: any("spawn_main" in line for line in inside(place)), 90, "a training in a worker process")
    second = place.graft("run")
    assert second.returncode == 3
    assert second.stderr == (
        f"graft: another run is going on in this workspace (process {process.pid}); wait for it to end, or stop it\n"
    )
    process.kill()  # the command alone, not its group
    process.wait()
    wait_until(
        lambda: not any("dvc" in line or "tasks." in line or "spawn_main" in line for line in inside(place)), 10, "gone"
    )
    wait_until(lambda: not inside(place), 30, "no process left")


@pytest.mark.sweep
def test_a_disk_that_takes_no_more_is_one_clear_line_and_leaves_nothing_half_written(place: Place) -> None:
    place.set("data.source.origin.images_per_class=480")  # a shard of 6 MB
    limited = ["bash", "-c", f"ulimit -f 4608; exec {BIN}/graft run --until ingest"]  # DVC's own state has up to 4 MiB
    done = subprocess.run(limited, cwd=place.root, env=place.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.startswith("graft: ingest: ") and done.stderr.count("\n") == 1
    assert "would be larger than it may be" in done.stderr
    assert [path for path in (place.root / "data").rglob("*") if path.is_file()] == []
    done = place.graft("run", "--until", "ingest")  # with room again
    assert done.returncode == 0, done.stdout + done.stderr
