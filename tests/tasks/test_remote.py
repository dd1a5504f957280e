"""DVC's remote: what was pushed is there and comes back, whatever is altered is found, nothing is half written."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from graft.core.errors import BadInput, EnvironmentProblem, GraftError
from graft.hub import objects
from graft.hub import store as stores
from tasks import remote
from tasks.adapters import dvc_cache, dvc_config
from tests.relay import Relay, relay
from tests.store import Server
from tests.tasks.conftest import Stored, damage, git, run_dvc

VERBS = {"push": remote.push, "pull": remote.pull}


def quiet() -> Console:
    return Console(file=io.StringIO(), soft_wrap=True)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def push(stored: Stored) -> str:
    console = quiet()
    remote.push(stored.place, console)
    return said(console)


def pull(stored: Stored) -> str:
    console = quiet()
    remote.pull(stored.place, console)
    return said(console)


@pytest.fixture
def pushed(stored: Stored) -> Stored:
    push(stored)
    return stored


@pytest.fixture
def through(stored: Stored, s3: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """A relay between graft and the server."""
    with relay(s3.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


def test_what_was_pushed_is_what_dvc_would_push_and_comes_back_on_a_fresh_clone(stored: Stored, tmp_path: Path) -> None:
    assert "pushed 8 of 8 objects" in push(stored)
    assert run_dvc(stored.root, "status", "--cloud").stdout.strip() == "Cache and remote 'store' are in sync."
    fresh = stored.clone(tmp_path / "fresh")
    assert "pulled 7 objects" in pull(fresh)  # git has the metric
    assert fresh.files() == stored.files()
    assert run_dvc(fresh.root, "status").stdout.strip() == "Data and pipelines are up to date."


def test_a_second_push_and_pull_move_nothing(pushed: Stored) -> None:
    before = pushed.files()
    assert "pushed 0 of 8 objects" in push(pushed)
    assert "pulled 0 objects" in pull(pushed)
    assert pushed.files() == before


def test_a_fresh_clone_reuses_what_others_ran(pushed: Stored, tmp_path: Path) -> None:
    fresh = pushed.clone(tmp_path / "fresh")
    remote.connect(fresh.place)
    done = run_dvc(fresh.root, "repro", "--pull")
    assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout + done.stderr
    assert fresh.files() == pushed.files()


def test_the_record_of_a_run_spares_it_where_the_lock_is_not_known(pushed: Stored, tmp_path: Path) -> None:
    fresh = pushed.clone(tmp_path / "fresh")
    remote.connect(fresh.place)
    for name in ("dvc.lock", "reports/ingest.json"):
        (fresh.root / name).unlink()
    done = run_dvc(fresh.root, "repro", "--pull")
    assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout + done.stderr
    assert fresh.files() == pushed.files() and (fresh.root / "reports" / "ingest.json").exists()


def test_dvc_itself_is_told_where_the_store_is_and_no_secret(pushed: Stored, s3: Server) -> None:
    config = pushed.root / ".dvc" / "config.local"
    text, written = config.read_text(), config.stat().st_mtime_ns
    assert "verify = true" in text and f"url = s3://{pushed.bucket}/dvc" in text
    assert s3.secret not in text and s3.key not in text
    push(pushed)
    assert config.stat().st_mtime_ns == written
    assert git(pushed.root, "status", "--porcelain") == ""
    assert {(pushed.root / ".dvc" / name).stat().st_mode & 0o777 for name in ("cache", "tmp")} == {0o700}


def test_a_default_remote_that_somebody_chose_stays_the_default(stored: Stored) -> None:
    config = stored.root / ".dvc" / "config.local"
    config.write_text("[core]\n    remote = mine\n['remote \"mine\"']\n    url = /nowhere\n")
    remote.connect(stored.place)
    assert "remote = mine" in config.read_text() and "url = /nowhere" in config.read_text()
    assert f"s3://{stored.bucket}/dvc" in config.read_text()


def test_a_cache_elsewhere_is_used_and_left_as_it_is(stored: Stored, tmp_path: Path) -> None:
    shutil.move(stored.cache, tmp_path / "shared")
    (stored.root / ".dvc" / "config.local").write_text("[cache]\n    dir = ../../shared\n")
    before = (tmp_path / "shared").stat().st_mode
    assert dvc_config.cache_folder(stored.root).resolve() == tmp_path / "shared"
    assert "pushed 8 of 8" in push(stored)
    assert (tmp_path / "shared").stat().st_mode == before and not stored.cache.exists()


def test_push_sends_a_file_that_dvc_believes_to_be_there(pushed: Stored, tmp_path: Path) -> None:
    gone = pushed.items()["data/source/two.tar"].key
    pushed.delete(gone)
    assert "up to date" in run_dvc(pushed.root, "push").stdout
    assert gone not in pushed.keys()
    assert "pushed 1 of 8 objects" in push(pushed)
    fresh = pushed.clone(tmp_path / "fresh")
    pull(fresh)
    assert fresh.files() == pushed.files()


def test_push_replaces_what_the_store_says_is_something_else(pushed: Stored) -> None:
    item = pushed.items()["data/manifest"]
    pushed.write(item.key, b"x" * 5_000)
    assert "pushed 1 of 8 objects" in push(pushed)
    assert hashlib.md5(pushed.read(item.key)).hexdigest() == item.md5


def test_a_damaged_cache_does_not_reach_the_store(stored: Stored) -> None:
    item = stored.items()["data/source/two.tar"]
    damage(stored.cache / item.key)
    with pytest.raises(BadInput, match=rf"data/source/two\.tar \(object {item.name}\) is damaged and was not sent"):
        push(stored)
    kept = stored.keys()
    assert item.key not in kept and stored.items()["data/source"].key not in kept
    assert stored.items()["models/exported"].key in kept


def test_an_object_that_nobody_has_is_told_and_the_rest_is_pushed(stored: Stored) -> None:
    item = stored.items()["data/manifest"]
    (stored.cache / item.key).unlink()
    with pytest.raises(BadInput, match=r"data/manifest .* is neither here nor in the store"):
        push(stored)
    assert stored.items()["data/source"].key in stored.keys()


ALTERED: dict[str, Callable[[Stored, bytes], bytes]] = {
    "one bit": lambda stored, data: bytes([data[0] ^ 1]) + data[1:],
    "cut": lambda stored, data: data[:-1],
    "empty": lambda stored, data: b"",
    "longer": lambda stored, data: data + b"\0",
    "an older valid one": lambda stored, data: stored.read(stored.items()["data/manifest"].key),
}


@pytest.mark.parametrize(
    ("how", "path"), [("one bit", "data/source"), *((how, "data/source/two.tar") for how in ALTERED)]
)
def test_an_altered_object_is_named_and_the_workspace_stays_as_it_was(
    pushed: Stored, tmp_path: Path, how: str, path: str
) -> None:
    item = pushed.items()[path]
    pushed.write(item.key, ALTERED[how](pushed, pushed.read(item.key)))
    fresh = pushed.clone(tmp_path / "fresh")
    with pytest.raises(BadInput, match=rf"{path} \(object {item.name}\) is altered: its bytes hash to [0-9a-f]{{32}}"):
        pull(fresh)
    assert fresh.files() == {} and not (fresh.cache / item.key).exists()
    assert list(fresh.cache.rglob("*.part")) == []


def test_an_object_missing_from_the_store_is_named(pushed: Stored, tmp_path: Path) -> None:
    pushed.delete(pushed.items()["data/manifest"].key)
    fresh = pushed.clone(tmp_path / "fresh")
    with pytest.raises(BadInput, match=r"^store: data/manifest .* is missing; .*graft push$"):
        pull(fresh)
    assert fresh.files() == {}


def test_a_link_that_git_tracks_where_outputs_go_is_refused(pushed: Stored, tmp_path: Path) -> None:
    fresh = pushed.clone(tmp_path / "fresh")
    (fresh.root / "data").symlink_to("../outside")
    git(fresh.root, "add", "-f", "data")
    with pytest.raises(BadInput, match=r"^data is a symbolic link that git tracks"):
        pull(fresh)
    assert not (tmp_path / "outside").exists()


def test_a_list_that_names_a_file_outside_its_folder_is_refused() -> None:
    folder = dvc_cache.Item("0" * 32 + ".dir", "data/source", True)
    for path in ("../x", "/x", "a/../../x"):
        with pytest.raises(BadInput, match="outside"):
            dvc_cache.files(folder, json.dumps([{"md5": "1" * 32, "relpath": path}]).encode())


def test_what_was_changed_by_hand_is_not_overwritten(pushed: Stored) -> None:
    (pushed.root / "data" / "manifest").chmod(0o644)
    (pushed.root / "data" / "manifest").write_text("mine")
    with pytest.raises(BadInput, match="data/manifest would be overwritten"):
        pull(pushed)
    assert (pushed.root / "data" / "manifest").read_text() == "mine"


def nobody(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    return "Could not connect"


def wrong_secret(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    return "is denied|does not accept"


def no_bucket(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GRAFT_BUCKET", "not-there")
    return "bucket not-there does not exist"


def none_named(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("GRAFT_BUCKET")
    monkeypatch.chdir(stored.root)
    return "no store is named"


@pytest.mark.parametrize("fault", [nobody, wrong_secret, no_bucket, none_named])
@pytest.mark.parametrize("verb", VERBS)
def test_a_store_that_cannot_be_used_is_told_in_seconds(
    stored: Stored,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    verb: str,
    fault: Callable[[Stored, pytest.MonkeyPatch], str],
) -> None:
    fresh = stored.clone(tmp_path / "fresh")
    told = fault(fresh, monkeypatch)
    started = time.monotonic()
    with pytest.raises(EnvironmentProblem, match=told):
        VERBS[verb](fresh.place, quiet())
    assert time.monotonic() - started < 20
    assert fresh.files() == {} and not (fresh.root / ".dvc" / "config.local").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_store_that_falls_silent_is_told_and_nothing_is_half_written(
    stored: Stored, through: Relay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str
) -> None:
    if verb == "pull":
        push(stored)
    monkeypatch.setattr(stores, "READ_S", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    fresh = stored if verb == "push" else stored.clone(tmp_path / "fresh")
    method, seen = ("PUT", "GET")[verb == "pull"], 0

    def second(told: str) -> bool:
        nonlocal seen
        seen += told.startswith(method)
        return told.startswith(method) and seen > 2

    through.hangs = second
    started = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="imed out|imeout"):
        VERBS[verb](fresh.place, quiet())
    assert time.monotonic() - started < 30
    complete(stored) if verb == "push" else untouched(fresh)
    through.hangs = lambda told: False
    VERBS[verb](fresh.place, quiet())
    assert fresh.files() == stored.files() and len(stored.keys()) == 10


def test_a_store_that_is_overloaded_is_told(stored: Stored, through: Relay) -> None:
    through.busy = lambda told: True
    started = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="503"):
        push(stored)
    assert time.monotonic() - started < 20


def test_a_fifth_of_answers_503_and_cut_bodies_delay_and_break_nothing(
    stored: Stored, through: Relay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(objects, "WAIT_S", 0.01)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    count = 0

    def every(share: int) -> Callable[[str], bool]:
        def fault(told: str) -> bool:
            nonlocal count
            count += 1
            return count % share == 0

        return fault

    through.busy = every(5)
    push(stored)
    cut = set[str]()

    def first(told: str) -> bool:
        new = told.startswith("GET") and told not in cut
        cut.add(told)
        return new

    through.cut = first
    fresh = stored.clone(tmp_path / "fresh")
    pull(fresh)
    assert len(cut) >= 7 and fresh.files() == stored.files()


def test_every_body_cut_each_time_is_told(pushed: Stored, s3: Server, tmp_path: Path, through: Relay) -> None:
    through.cut = lambda told: told.startswith("GET")
    fresh = pushed.clone(tmp_path / "fresh")
    with pytest.raises(EnvironmentProblem, match="failed 3 times .*broke off"):
        pull(fresh)
    untouched(fresh)


@pytest.mark.parametrize("nth", [1, 5, pytest.param(0, marks=pytest.mark.sweep)])
def test_a_push_killed_at_a_request_leaves_nothing_incomplete_and_a_retry_completes(
    stored: Stored, through: Relay, nth: int
) -> None:
    for number in [nth] if nth else range(2, 11):
        for key in stored.keys():
            stored.delete(key)
        killed_at(stored, through, "push", "PUT", number)
        complete(stored)
        push(stored)
        assert len(stored.keys()) == 10
        complete(stored)


@pytest.mark.parametrize("nth", [2, pytest.param(0, marks=pytest.mark.sweep)])
def test_a_pull_killed_at_a_request_leaves_the_workspace_and_a_retry_completes(
    stored: Stored, through: Relay, tmp_path: Path, nth: int
) -> None:
    push(stored)
    for number in [nth] if nth else range(1, 8):
        fresh = stored.clone(tmp_path / f"fresh{number}")
        killed_at(fresh, through, "pull", "GET", number)
        assert fresh.files() == {}
        pull(fresh)
        assert fresh.files() == stored.files()
        assert list(fresh.cache.rglob("*.part")) == []


@pytest.mark.sweep
@pytest.mark.parametrize("after_s", [0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 2.5])
def test_a_pull_killed_at_any_time_is_completed_by_a_retry(pushed: Stored, tmp_path: Path, after_s: float) -> None:
    fresh = pushed.clone(tmp_path / "fresh")
    with started(fresh, "pull") as process:
        time.sleep(after_s)
        process.kill()
    whole = pushed.files()
    assert fresh.files().items() <= whole.items()
    pull(fresh)
    assert fresh.files() == whole


@pytest.mark.sweep
@pytest.mark.parametrize("verb", VERBS)
def test_two_seconds_for_every_request_is_borne(stored: Stored, through: Relay, tmp_path: Path, verb: str) -> None:
    if verb == "pull":
        push(stored)
    fresh = stored if verb == "push" else stored.clone(tmp_path / "fresh")
    through.delay_s = 2
    began = time.monotonic()
    VERBS[verb](fresh.place, quiet())
    assert time.monotonic() - began < 40 and fresh.files() == stored.files()


@pytest.mark.sweep
@pytest.mark.parametrize("verb", VERBS)
def test_a_store_that_never_answers_is_told_within_a_minute(stored: Stored, through: Relay, verb: str) -> None:
    through.hangs = lambda told: True
    began = time.monotonic()
    with pytest.raises(GraftError) as caught:
        VERBS[verb](stored.place, quiet())
    assert time.monotonic() - began < 60 and caught.value.exit_code == 3


def untouched(stored: Stored) -> None:
    """Neither the workspace nor the cache holds anything half."""
    assert stored.files() == {} and list(stored.cache.rglob("*.part")) == []
    for name in dvc_cache.kept(stored.cache):
        assert hashlib.md5((stored.cache / dvc_cache.Item(name, "", True).key).read_bytes()).hexdigest() == name[:32]


def complete(stored: Stored) -> None:
    """Every list in the store has all its files there, every run's record its outputs, every object its own bytes."""
    keys = stored.keys()
    for key in keys:
        if key.startswith("runs/"):
            made = next(run.made for run in dvc_cache.runs(stored.cache) if run.key == key)
            assert {dvc_cache.Item(name, "", True).key for name in made} <= keys
            continue
        item = dvc_cache.Item(dvc_cache.name_of(key), "x", True)
        data = stored.read(key)
        assert hashlib.md5(data).hexdigest() == item.md5
        if item.is_folder:
            assert {file.key for file in dvc_cache.files(item, data)} <= keys


def started(stored: Stored, verb: str) -> subprocess.Popen[bytes]:
    code = f"from pathlib import Path; from rich.console import Console; from tasks import remote, workspace; \
remote.{verb}(workspace.Workspace(Path({str(stored.root)!r})), Console())"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", code], cwd=stored.root, env=environment, stdout=subprocess.DEVNULL)


def killed_at(stored: Stored, through: Relay, verb: str, method: str, nth: int) -> None:
    """Start the verb in a process of its own and kill it when it sends its nth request, which is not passed on."""
    seen = 0
    process: subprocess.Popen[bytes] | None = None

    def fatal(told: str) -> bool:
        nonlocal seen
        seen += told.startswith(method)
        if told.startswith(method) and seen >= nth and process:
            process.kill()
            return True
        return False

    through.busy = fatal
    process = started(stored, verb)
    assert process.wait(60) == -9, f"{verb} ended before its {method} number {nth}"
    through.busy = lambda told: False
