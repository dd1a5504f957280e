"""What `graft up` starts, as engineers meet it: log in, fill in a form, see a stage move; kill a part, start again."""

import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graft.hub import releases, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from infra import process
from infra.store import Local
from tests.browser.pages import Platform, fill_in, text
from tests.conftest import make_place, wait_until
from tests.hub.little_release import draft

HELP = "Why; kept in the history."


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    place = make_place(folder / "clone", folder / "home")
    try:
        done = place.graft("up")
        assert done.returncode == 0, done.stdout + done.stderr
        with closing(Bucket(Local(place.root / ".graft" / "store").store)) as bucket:
            for seed in (1, 2):
                stages.enter(bucket, releases.publish(bucket, *draft(folder, seed)))
                stages.promote(bucket, reference(f"plants@v{seed}"), "staging")
        yield Platform(place, done.stdout)
    finally:
        done = place.graft("down")
        records = [
            place.root / ".graft" / name
            for name in ("store/process.json", "pages/process.json", "prefect/process.json")
        ]
        assert done.returncode == 0 and not any(process.running(record) for record in records)
        assert re.findall(r"^(\w+): stopped", done.stdout, re.MULTILINE) == ["worker", "pages", "server", "store"]


def test_up_says_where_and_how_to_log_in_and_a_second_one_changes_nothing(platform: Platform) -> None:
    login = re.search(r"server: login +(graft:\S{20,})\n", platform.said)
    assert login and f"server: up at {platform.server.page}\n" in platform.said
    before = platform.server.home.joinpath("process.json").read_text()
    again = platform.place.graft("up")
    assert again.returncode == 0, again.stderr
    assert f"server: already up at {platform.server.page}" in again.stdout and login.group(1) in again.stdout
    assert "worker: already up" in again.stdout
    assert platform.server.home.joinpath("process.json").read_text() == before


def test_status_lists_what_may_be_started(platform: Platform) -> None:
    done = platform.place.graft("status")
    assert done.returncode == 0, done.stdout
    for name in ("promote", "rollback", "train"):
        assert re.search(rf"^deployed: {name} +when asked$", done.stdout, re.MULTILINE)


def test_login_and_profile_are_for_their_owner_alone(platform: Platform) -> None:
    for name in ("login", "profiles.toml", "process.json"):
        assert (platform.server.home / name).stat().st_mode & 0o777 == 0o600
    assert platform.server.home.stat().st_mode & 0o077 == 0


def test_a_stage_moves_from_prefects_pages(platform: Platform, browser: Any, tmp_path: Path) -> None:
    values = {"model": "plants", "version": "v1", "stage": "prod", "reason": "a form"}
    fill_in(platform, browser, "promote", values, HELP)
    wait_until(lambda: platform.standing("prod") == "v1", 90, "prod at v1")
    wait_until(lambda: "plants@v1 now stands at prod" in text(browser), 60, "the run's last word")
    browser.save_screenshot(str(tmp_path / "promoted.png"))


def test_a_refused_move_says_why_on_the_runs_page(platform: Platform, browser: Any) -> None:
    fill_in(platform, browser, "promote", {"model": "plants", "version": "v7", "stage": "prod"}, HELP)
    wait_until(lambda: "plants@v7 does not exist; versions of plants: v1, v2" in text(browser), 90, "the refusal")


def test_prefects_pages_want_the_login(platform: Platform) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{platform.server.address}/admin/version", timeout=10)


def test_graft_run_is_seen_on_the_same_pages(platform: Platform) -> None:
    program = (
        "import os; from pathlib import Path; from flows import environment\n"
        "environment.prepare(Path.cwd()); environment.start_server(Path.cwd())\n"
        "from prefect.client.orchestration import get_client\n"
        "with get_client(sync_client=True) as client:\n"
        "    print(client.api_url, *sorted(one.name for one in client.read_deployments()))"
    )
    done = platform.place.run("python", "-c", program)
    names = ["compare", "forecast", "promote", "retrain", "rollback", "train", "tune"]
    assert done.stdout.split() == [f"{platform.server.address}/", *names], done.stderr


def test_the_nightly_run_is_planned(platform: Platform) -> None:
    # with SQLAlchemy 2.1 everything else works, and no schedule is kept
    planned = re.compile(r"^deployed: retrain +next run \d{4}-\d\d-\d\d 03:00 UTC$", re.MULTILINE)
    wait_until(lambda: planned.search(platform.place.graft("status").stdout), 90, "the next run in graft status")


@pytest.mark.parametrize("record", ["process.json", pytest.param("worker.json", marks=pytest.mark.sweep)])
def test_a_part_that_was_killed_is_seen_and_started_again(platform: Platform, record: str) -> None:
    found = process.running(platform.server.home / record)
    assert found
    os.kill(found.pid, signal.SIGKILL)
    wait_until(lambda: process.running(platform.server.home / record) is None, 10, "its end")
    done = platform.place.graft("status")
    assert done.returncode == 3 and "down; type: graft up" in done.stdout
    assert platform.place.graft("up").returncode == 0
    assert platform.place.graft("status").returncode == 0
