"""The audit finds what DVC takes for whole, says what it is, and mends the one place from the other."""

import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from graft.core.errors import EnvironmentProblem
from tasks import audit, remote
from tasks.adapters import dvc_cache
from tasks.transfer import Finding, Where
from tests.relay import relay
from tests.store import Server
from tests.tasks.conftest import Place, Stored, damage, run_dvc


def quiet() -> Console:
    return Console(file=io.StringIO(), soft_wrap=True)


@pytest.fixture
def pushed(stored: Stored) -> Stored:
    remote.push(stored.place, quiet())
    return stored


def look(
    stored: Stored, *where: Where, every: bool = False, mend: bool = False, store: bool = True
) -> tuple[list[Finding], list[Finding]]:
    """(what is not well, what was mended)"""
    known = remote.connect(stored.place) if store else None
    done = audit.audit(stored.place, known, quiet(), where or ("cache", "store"), every, mend)
    return done.findings, done.mended


def test_what_is_well_is_read_and_nothing_is_said(pushed: Stored) -> None:
    console = quiet()
    done = audit.audit(pushed.place, remote.connect(pushed.place), console)
    assert audit.show(done, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"20 objects ({done.n_bytes / 1e6:.1f} MB) read; all as their names say\n"


def test_a_cached_object_that_dvc_takes_for_whole_is_found_and_mended(pushed: Stored) -> None:
    item = pushed.items()["data/source/two.tar"]
    whole = (pushed.cache / item.key).read_bytes()
    damage(pushed.cache / item.key)
    assert run_dvc(pushed.root, "status").stdout.strip() == "Data and pipelines are up to date."
    [found], _ = look(pushed, "cache")
    assert found.line.startswith(f"cache: data/source/two.tar (object {item.name}) is altered: its bytes hash to ")
    left, [mended] = look(pushed, "cache", mend=True)
    assert left == [] and mended == found
    assert (pushed.cache / item.key).read_bytes() == whole
    assert (pushed.cache / item.key).stat().st_mode & 0o777 == 0o444
    [aside] = (pushed.root / ".graft" / "damaged").iterdir()
    assert aside.name == f"{item.name}.0" and len(aside.read_bytes()) == len(whole)


def test_a_file_missing_from_a_cached_folder_is_found_and_mended(pushed: Stored) -> None:
    item = pushed.items()["models/exported/model.tflite"]
    (pushed.cache / item.key).unlink()
    [found], _ = look(pushed, "cache", store=False)
    assert "models/exported/model.tflite" in found.line and "is missing" in found.line
    assert look(pushed, "cache", mend=True) == ([], [found])
    assert (pushed.cache / item.key).exists()


def test_an_empty_cache_is_no_damage(pushed: Stored, tmp_path: Path) -> None:
    fresh = pushed.clone(tmp_path / "fresh")
    assert look(fresh) == ([], [])


ALTERED: dict[str, Callable[[Stored, bytes], bytes]] = {
    "one bit": lambda stored, data: bytes([data[0] ^ 1]) + data[1:],
    "cut": lambda stored, data: data[:-1],
    "empty": lambda stored, data: b"",
    "an older valid one": lambda stored, data: stored.read(stored.items()["data/manifest"].key),
}


@pytest.mark.parametrize("how", ALTERED)
def test_every_altered_object_is_found_and_mended(pushed: Stored, how: str) -> None:
    items = {item.key: item for item in pushed.items().values() if item.path != "data/manifest"}
    before = {key: pushed.read(key) for key in items}
    for key, data in before.items():
        pushed.write(key, ALTERED[how](pushed, data))
    found, _ = look(pushed, "store")
    assert {one.item.key for one in found} == set(items)
    assert all("is altered: its bytes hash to" in one.line and one.item.title in one.line for one in found)
    assert look(pushed, "store", mend=True)[0] == []
    assert {key: pushed.read(key) for key in items} == before


def test_a_child_that_dvc_believes_to_be_there_is_found_and_mended(pushed: Stored) -> None:
    item = pushed.items()["data/source/one.tar"]
    pushed.delete(item.key)
    assert "in sync" in run_dvc(pushed.root, "status", "--cloud").stdout
    [found], _ = look(pushed)
    assert found.line == (
        f"store: data/source/one.tar (object {item.name}) is missing; graft push, or graft audit --repair"
    )
    assert look(pushed, mend=True) == ([], [found])
    assert item.key in pushed.keys()


def test_the_children_are_known_from_the_store_where_the_cache_is_empty(pushed: Stored, tmp_path: Path) -> None:
    fresh = pushed.clone(tmp_path / "fresh")
    pushed.delete(pushed.items()["data/source/one.tar"].key)
    [found], mended = look(fresh, mend=True)
    assert "data/source/one.tar" in found.line and "the cache here has no sound copy" in found.line and not mended


def test_an_altered_record_of_a_run_is_found_and_mended(pushed: Stored) -> None:
    key = next(dvc_cache.runs(pushed.cache)).key
    text = pushed.read(key)
    other = pushed.items()["data/manifest"].name.encode()
    mine = next(item.name for item in pushed.items().values() if item.name.encode() in text).encode()
    pushed.write(key, text.replace(mine, other) if mine != other else text.replace(mine, b"0" * 32))
    [found], _ = look(pushed, "store")
    assert found.line.startswith(f"store: a run's record ({key}) is altered")
    assert look(pushed, "store", mend=True) == ([], [found])
    assert pushed.read(key) == text


def test_what_is_damaged_in_both_places_is_told_and_kept_aside(pushed: Stored) -> None:
    item = pushed.items()["data/manifest"]
    damage(pushed.cache / item.key)
    pushed.write(item.key, b"x")
    left, mended = look(pushed, mend=True)
    assert [one.place for one in left] == ["cache", "store"] and mended == []
    assert "no sound copy was found, the damaged one is now .graft/damaged/" in left[0].line
    assert not (pushed.cache / item.key).exists() and pushed.read(item.key) == b"x"


def test_everything_includes_what_no_lock_refers_to(pushed: Stored) -> None:
    old = dvc_cache.Item("0" * 32, "", True)
    pushed.write(old.key, b"x")
    (pushed.cache / old.key).parent.mkdir(exist_ok=True)
    (pushed.cache / old.key).write_bytes(b"x")
    assert look(pushed) == ([], [])
    found, _ = look(pushed, every=True)
    assert [one.place for one in found] == ["cache", "store"]
    assert all(one.item.title == f"of another dvc.lock (object {old.name})" for one in found)


def test_a_store_that_fails_half_way_is_told(pushed: Stored, s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with relay(s3.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        running.cut = lambda told: told.startswith("GET")
        began = time.monotonic()
        with pytest.raises(EnvironmentProblem, match="broke off"):
            look(pushed, "store")
        assert time.monotonic() - began < 20


@pytest.mark.sweep
def test_the_commands_say_it_in_a_line_and_by_their_exit_code(pushed: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(pushed.root)
    assert (place.graft("push").returncode, place.graft("audit").returncode) == (0, 0)
    item = pushed.items()["data/source/two.tar"]
    pushed.write(item.key, b"x")
    damage(pushed.cache / pushed.items()["data/manifest"].key)
    cached = place.graft("audit", "--cache")
    assert cached.returncode == 1 and cached.stdout.count("\n") == 2 and "data/manifest" in cached.stdout
    done = place.graft("audit")
    assert done.returncode == 1 and done.stdout.count("\n") == 3 and item.name in done.stdout
    mended = place.graft("audit", "--repair")
    assert mended.returncode == 0 and mended.stdout.count("mended: ") == 2
    monkeypatch.delenv("GRAFT_BUCKET")
    shutil.rmtree(pushed.root / ".graft", ignore_errors=True)
    assert place.graft("audit").returncode == 0
    refused = place.graft("audit", "--remote")
    assert refused.returncode == 3 and refused.stderr.startswith("graft: no store is named")
