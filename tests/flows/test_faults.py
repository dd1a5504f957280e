"""Killed at work: nothing is left running, and the same command finishes with the same figures."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import BIN, Place

Finished = tuple[Place, subprocess.CompletedProcess[str]]


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


def until(condition: object, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def start(place: Place) -> subprocess.Popen[bytes]:
    """`graft run` in a process group of its own."""
    return subprocess.Popen(
        [str(BIN / "python"), "-m", "graft.cli", "run"],
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


@pytest.mark.parametrize("stage", ["ingest", "finetune"])
def test_a_run_killed_with_its_group_finishes_when_typed_again(finished: Finished, tmp_path: Path, stage: str) -> None:
    place = finished[0].copy(tmp_path / "clone")
    undisturbed = metrics(place)
    place.set(f"{'seed' if stage == 'ingest' else 'finetune.steps'}=25")
    place.set(f"{'seed=7' if stage == 'ingest' else 'finetune.steps=24'}")
    for made in (
        ("data", "features", "models", ".dvc/cache") if stage == "ingest" else ("models/finetuned", ".dvc/cache/runs")
    ):
        subprocess.run(["rm", "-rf", str(place.root / made)], check=True)
    if stage == "finetune":
        subprocess.run(["rm", "-rf", str(place.root / ".dvc/cache/files")], check=True)
    process = start(place)
    until(lambda: any(f"tasks.{stage}" in line and "dvc" not in line for line in inside(place)), 60, f"{stage} at work")
    time.sleep(2.0)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not inside(place), 5, f"no process left, still there: {inside(place)}")
    done = place.graft("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert metrics(place) == undisturbed
    assert [path.name for path in place.root.rglob("*.part")] == []


def test_what_the_command_started_dies_with_it(finished: Finished, tmp_path: Path) -> None:
    place = finished[0].copy(tmp_path / "clone")
    place.set("finetune.steps=4000")
    process = start(place)
    until(lambda: any("spawn_main" in line for line in inside(place)), 90, "a training in a worker process")
    second = place.graft("run")
    assert second.returncode == 3
    assert second.stderr == (
        f"graft: another run is going on in this workspace (process {process.pid}); wait for it to end, or stop it\n"
    )
    process.kill()  # the command alone, not its group
    process.wait()
    until(
        lambda: not any("dvc" in line or "tasks." in line or "spawn_main" in line for line in inside(place)), 10, "gone"
    )
    until(lambda: not inside(place), 30, f"no process left, still there: {inside(place)}")


def test_a_disk_that_takes_no_more_is_one_clear_line(place: Place) -> None:
    limited = ["bash", "-c", f"ulimit -f 64; exec {BIN}/python -m tasks.ingest"]  # no file over 64 KiB
    done = subprocess.run(limited, cwd=place.root, env=place.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert done.stderr.startswith("ingest: ") and done.stderr.count("\n") == 1
    assert [path for path in (place.root / "data").rglob("*") if path.is_file()] == []
