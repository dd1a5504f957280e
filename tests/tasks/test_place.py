"""Outputs that a pull puts where nothing stood: as `dvc checkout` does it, known to DVC, all of them or none."""

import fcntl
import io
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from graft.core.errors import BadInput, EnvironmentProblem
from tasks import remote
from tasks.adapters import dvc_cache, dvc_config, dvc_place
from tasks.adapters.dvc_place import Placing
from tests.relay import relay
from tests.store import Server
from tests.tasks.conftest import Stored, git, run_dvc

MORE = """
  twins:
    cmd: python more.py
    deps: [more.py]
    outs: [data/twins, data/empty]
"""
MAKE_MORE = """
import pathlib
for name in ("one/a", "one/b", "c"):
    path = pathlib.Path("data/twins") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pathlib.Path("data/manifest").read_bytes())
pathlib.Path("data/empty").mkdir()
"""


def pull(stored: Stored) -> None:
    remote.pull(stored.place, Console(file=io.StringIO()))


@pytest.fixture
def pushed(stored: Stored) -> Stored:
    remote.push(stored.place, Console(file=io.StringIO()))
    return stored


@pytest.fixture
def fresh(pushed: Stored, tmp_path: Path) -> Stored:
    return pushed.clone(tmp_path / "fresh")


def with_cache(fresh: Stored) -> Stored:
    """The same with every object in its cache."""
    pull(fresh)
    for output in dvc_cache.outputs(fresh.root):
        path = fresh.root / output.path
        if output.needed:
            path.rename(fresh.root.parent / f"was-{path.name}")
    assert fresh.files() == {}
    return fresh


def known(root: Path, table: str) -> dict[str, Any]:
    """What DVC remembers of the files in a workspace: by path, hash and inode."""
    [path] = (root / ".graft" / "dvc" / "repo").glob(f"*/{table}/cache.db")
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT key, value FROM Cache").fetchall()
    finally:
        connection.close()
    return {str(key).removeprefix(f"{root}/"): value for key, value in rows}


def hashes(root: Path) -> dict[str, str]:
    tops = ("data/", "models/")
    return {path: value for path, value in known(root, "hashes/local").items() if path.startswith(tops)}


def test_dvc_knows_what_was_pulled_as_if_it_had_put_it_there_and_reads_none_of_it_again(
    fresh: Stored, pushed: Stored, tmp_path: Path
) -> None:
    pull(fresh)
    after = hashes(fresh.root)
    assert run_dvc(fresh.root, "status").stdout.strip() == "Data and pipelines are up to date."
    assert hashes(fresh.root) == after  # each says the inode and the time of the file: a new reading would be written

    other = pushed.clone(tmp_path / "other")
    remote.connect(other.place)
    assert run_dvc(other.root, "pull").returncode == 0
    said = {path: json.loads(value)["hash_info"] for path, value in hashes(other.root).items()}
    assert said == {path: json.loads(value)["hash_info"] for path, value in after.items()} and len(said) == 5
    assert known(fresh.root, "links").keys() == known(other.root, "links").keys() != set()


def test_files_are_ordinary_ones_and_their_cached_copies_stay_protected(fresh: Stored) -> None:
    pull(fresh)
    umask = os.umask(0o022)
    os.umask(umask)
    for item in fresh.items().values():
        path, cached = fresh.root / item.path, fresh.cache / item.key
        if path.is_file() and item.needed:
            assert path.stat().st_mode & 0o777 == 0o666 & ~umask and cached.stat().st_mode & 0o777 == 0o444
            assert path.stat().st_nlink == 1 and path.read_bytes() == cached.read_bytes()
    assert list((fresh.root / ".graft").glob(".*.part")) == []


@pytest.mark.sweep
def test_one_object_at_several_places_and_a_folder_without_files(stored: Stored, tmp_path: Path) -> None:
    (stored.root / "more.py").write_text(MAKE_MORE)
    text = (stored.root / "dvc.yaml").read_text()
    (stored.root / "dvc.yaml").write_text(text.replace("\nartifacts:", f"{MORE}\nartifacts:"))
    assert run_dvc(stored.root, "repro").returncode == 0
    git(stored.root, "add", "-A")
    git(stored.root, "commit", "-qm", "more")
    remote.push(stored.place, Console(file=io.StringIO()))
    fresh = stored.clone(tmp_path / "fresh")
    pull(fresh)
    assert fresh.files() == stored.files() and "data/twins/one/b" in fresh.files()
    assert (fresh.root / "data" / "empty").is_dir()
    assert run_dvc(fresh.root, "status").stdout.strip() == "Data and pipelines are up to date."


def test_what_may_be_executed_still_may(stored: Stored, tmp_path: Path) -> None:
    (stored.root / "data" / "manifest").chmod(0o755)
    assert run_dvc(stored.root, "commit", "--force").returncode == 0
    assert "isexec: true" in (stored.root / "dvc.lock").read_text()
    git(stored.root, "commit", "-qam", "x")
    remote.push(stored.place, Console(file=io.StringIO()))
    fresh = stored.clone(tmp_path / "fresh")
    pull(fresh)
    assert os.access(fresh.root / "data" / "manifest", os.X_OK)
    assert run_dvc(fresh.root, "status").stdout.strip() == "Data and pipelines are up to date."


def test_where_part_of_it_stands_already_dvc_puts_the_rest(fresh: Stored, pushed: Stored) -> None:
    pull(fresh)
    (fresh.root / "data" / "source" / "two.tar").unlink()
    pull(fresh)
    assert fresh.files() == pushed.files()


def test_where_the_cache_is_to_be_linked_to_dvc_does_it(fresh: Stored, pushed: Stored) -> None:
    (fresh.root / ".dvc" / "config.local").write_text("[cache]\n    type = hardlink,copy\n")
    pull(fresh)
    assert fresh.files() == pushed.files()
    assert (fresh.root / "data" / "manifest").stat().st_nlink == 2


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("[cache]\n    type = hardlink, copy\n", {"hardlink", "copy"}),
        ('[cache]\n    type = "symlink"\n', {"symlink"}),
        ("", {"reflink", "copy"}),
    ],
)
def test_the_link_types_are_those_of_the_nearest_configuration(fresh: Stored, text: str, types: set[str]) -> None:
    (fresh.root / ".dvc" / "config.local").write_text(text)
    assert dvc_config.link_types(fresh.root) == types


def test_an_output_outside_the_workspace_or_on_another_disk_is_dvcs_business(fresh: Stored, tmp_path: Path) -> None:
    def is_free(path: str) -> bool:
        with dvc_place.begun(fresh.place, [dvc_cache.Item("0" * 32, path, True)]) as placing:
            return placing is not None

    (fresh.root / "elsewhere").symlink_to("/dev/shm")
    (fresh.root / "nowhere").symlink_to("/not/there")
    assert is_free("data/new")
    for path in ("../x", str(tmp_path / "x"), "elsewhere/x", "nowhere/x", "make.py/x", "make.py"):
        assert not is_free(path)


def test_another_dvc_at_work_is_told_and_a_retry_completes(fresh: Stored, pushed: Stored) -> None:
    (fresh.root / ".dvc" / "tmp").mkdir()
    with (fresh.root / ".dvc" / "tmp" / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentProblem, match="^another dvc is at work in this workspace"):
            pull(fresh)
    assert fresh.files() == {} and list((fresh.root / ".graft").glob(".*.part")) == []
    pull(fresh)
    assert fresh.files() == pushed.files()


def appears(placing: Placing, root: Path) -> None:
    (root / "models").mkdir(exist_ok=True)
    (root / "models" / "exported").write_text("mine")


def another_lock(placing: Placing, root: Path) -> None:
    placing._outputs[0] = dvc_cache.Item("0" * 32, placing._outputs[0].path, True)


def killed(placing: Placing, root: Path) -> None:
    placing._process.kill()


FAULTS: dict[str, tuple[Callable[[Placing, Path], None], type[Exception], str]] = {
    "appears": (appears, BadInput, "^models/exported would be overwritten"),
    "another lock": (another_lock, BadInput, "is not what dvc.lock says any more"),
    "killed": (killed, EnvironmentProblem, "^DVC ended with -9"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_at_the_end_leaves_nothing_in_the_workspace(fresh: Stored, fault: str) -> None:
    with_cache(fresh)
    happens, error, told = FAULTS[fault]
    outputs = [item for item in dvc_cache.outputs(fresh.root) if item.needed]
    files = [item for item in fresh.items().values() if item.needed and not item.is_folder]
    with dvc_place.begun(fresh.place, outputs) as placing:
        assert placing
        placing.expect(files)
        for item in files:
            placing.take(item)
        happens(placing, fresh.root)
        with pytest.raises(error, match=told):
            placing.finish()
    assert fresh.files() == ({"models/exported": b"mine"} if fault == "appears" else {})
    assert list((fresh.root / ".graft").glob(".*.part")) == []


def test_a_move_that_fails_half_way_is_taken_back(tmp_path: Path) -> None:
    aside, root = tmp_path / "aside", tmp_path / "root"
    for folder in (aside / "a", aside / "b", root / "b"):
        folder.mkdir(parents=True)
        (folder / "file").write_text(folder.parent.name)
    with pytest.raises(OSError, match="not empty"):
        dvc_place._move(aside, root, ["a", "b"])
    assert not (root / "a").exists() and (aside / "a" / "file").exists()
    assert (root / "b" / "file").read_text() == "root"


def test_a_full_disk_is_one_line_and_leaves_nothing(fresh: Stored) -> None:
    with_cache(fresh)
    code = f"from pathlib import Path; from rich.console import Console; from tasks import remote, workspace; \
import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, {resource.RLIM_INFINITY})); \
remote.pull(workspace.Workspace(Path({str(fresh.root)!r})), Console())"
    done = subprocess.run([sys.executable, "-c", code], cwd=fresh.root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "takes no more (File too large)" in done.stderr.splitlines()[-1]
    assert fresh.files() == {} and list((fresh.root / ".graft").glob(".*.part")) == []


def test_a_pull_that_is_killed_takes_its_helper_along_and_a_retry_clears_up(
    fresh: Stored, pushed: Stored, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = pushed.items()["data/source/one.tar"].key
    with relay(s3.endpoint) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        between.hangs = lambda told: told.startswith("GET") and told.endswith(big)
        code = f"from pathlib import Path; from rich.console import Console; from tasks import remote, workspace; \
remote.pull(workspace.Workspace(Path({str(fresh.root)!r})), Console())"
        process = subprocess.Popen([sys.executable, "-c", code], cwd=fresh.root, stdout=subprocess.DEVNULL)
        wait_for(lambda: list((fresh.root / ".graft").glob(".pull.*.part/data/manifest")))
        assert helpers(fresh.root)
        process.kill()
        process.wait()
        wait_for(lambda: not helpers(fresh.root))
        assert fresh.files() == {} and len(list((fresh.root / ".graft").glob(".pull.*.part"))) == 1
        between.hangs = lambda told: False
        pull(fresh)
    assert fresh.files() == pushed.files() and list((fresh.root / ".graft").glob(".*.part")) == []


def helpers(root: Path) -> list[str]:
    """Processes with DVC in them that wait to put something into a workspace."""
    wanted = f"tasks.adapters.dvc_place\0{root}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if wanted in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue  # it has ended meanwhile
    return found


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)
