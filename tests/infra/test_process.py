"""A server is known by its id and its beginning: it is found again, ended for certain, and never mistaken."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graft.core.errors import EnvironmentProblem
from infra import logs, process

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def started(folder: Path, code: str) -> Path:
    """The record of a Python that runs `code`."""
    record = folder / "process.json"
    process.start([sys.executable, "-c", code], folder, record, folder / "log", {"PATH": os.environ["PATH"]})
    return record


def test_a_server_lives_by_itself_and_is_ended_though_it_will_not_hear(tmp_path: Path) -> None:
    record = started(tmp_path, DEAF)
    found = process.running(record)
    assert found is not None and abs(found.since - time.time()) < 10
    assert os.getsid(found.pid) == found.pid  # a terminal that closes does not end it
    while "deaf" not in (tmp_path / "log").read_text():
        time.sleep(0.05)
    assert record.stat().st_mode & 0o777 == (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    assert process.stop(record, 0.3) and process.running(record) is None and not record.exists()
    assert not process.stop(record, 0.3)


def test_an_id_that_was_used_again_is_left_alone(tmp_path: Path) -> None:
    record = started(tmp_path, "pass")
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE) as stranger:
        said = json.loads(record.read_text())
        record.write_text(json.dumps(said | {"pid": stranger.pid}))
        assert process.running(record) is None
        assert not process.stop(record, 0.3)
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_ended_is_not_running(tmp_path: Path) -> None:
    record, end = started(tmp_path, "pass"), time.monotonic() + 10
    while process.running(record) and time.monotonic() < end:
        time.sleep(0.05)
    assert process.running(record) is None


@pytest.mark.parametrize("content", ["", "[]", '{"pid": "x", "began": "", "since": 0}'])
def test_a_damaged_record_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "process.json").write_text(content)
    assert process.running(tmp_path / "process.json") is None


def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="^nothing cannot be started: .*No such file or directory"):
        process.start(["/no/such/nothing"], tmp_path, tmp_path / "p.json", tmp_path / "log", {})


def test_a_server_started_from_a_deaf_shell_still_hears(tmp_path: Path) -> None:
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        record = started(tmp_path, "import signal, time; print(signal.getsignal(signal.SIGINT)); time.sleep(60)")
    finally:
        signal.signal(signal.SIGINT, kept)
    found = process.running(record)
    assert found
    os.kill(found.pid, signal.SIGINT)
    while process.running(record):
        time.sleep(0.05)


def test_a_log_that_grew_large_is_cut_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import sys, time\nfor n in range(10**9): print(f'line {n}' + 'x' * 990, flush=True); time.sleep(0.0005)"
    log.write_text("".join(f"old {n}" + "x" * 992 + "\n" for n in range(11_000)))
    record = tmp_path / "process.json"
    process.start([sys.executable, "-c", code], tmp_path, record, log, {"PATH": os.environ["PATH"]})
    try:
        assert log.stat().st_size < 1_000_000  # it was cut at the start
        log.write_text("".join(f"new {n}" + "x" * 992 + "\n" for n in range(11_000)))
        process.cut(log)
        assert log.stat().st_size < 1_000_000 and log.with_name("log.1").stat().st_size <= process.KEPT_BYTES
        kept = log.with_name("log.1").read_text().splitlines()
        assert all(line.startswith(("new ", "line ")) for line in kept) and len(kept) > 900
        assert log.with_name("log.1").stat().st_mode & 0o777 == 0o600
        before = log.stat().st_size
        while log.stat().st_size == before:
            time.sleep(0.05)
        assert b"\0" not in log.read_bytes()  # who writes goes on at the new end
        process.cut(log)
        assert log.with_name("log.1").read_text().splitlines() == kept  # not large: nothing to do
    finally:
        process.stop(record, 5)


def test_every_log_of_a_workspace_is_kept_within_bounds(tmp_path: Path) -> None:
    written = [
        tmp_path / ".graft" / one for one in ("store/log", "pages/log", "prefect/server.log", "prefect/worker.log")
    ]
    for log in written:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"a line\n" * 1_500_000)
    other = tmp_path / ".graft" / "prefect" / "prefect.db"
    other.write_bytes(b"x" * 11_000_000)
    logs.cut(tmp_path)
    assert all(log.stat().st_size == 0 and log.with_name(f"{log.name}.1").stat().st_size < 1_000_001 for log in written)
    assert other.stat().st_size == 11_000_000
