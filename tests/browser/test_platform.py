"""What `graft up` starts, as engineers meet it: log in, fill in a form, see a stage move; kill a part, start again."""

import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graft.hub import pointer, releases, stages
from graft.hub.bucket import Bucket
from graft.hub.names import reference
from infra import process
from infra.server import Server
from infra.store import Local
from tests.conftest import Place, make_place, wait_until
from tests.hub.little_release import draft


@dataclass(frozen=True)
class Platform:
    """A workspace with everything up, and what `graft up` printed."""

    place: Place
    said: str

    @property
    def server(self) -> Server:
        return Server(self.place.root)

    def standing(self, stage: str) -> str:
        """The version at a stage of plants."""
        with closing(Bucket(Local(self.place.root / ".graft" / "store").store)) as bucket:
            found = pointer.standing(bucket, "plants", stage)
        return found.move.version if found else ""


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
    for name, due in {
        "promote": "when asked",
        "retrain": r"next run \S+ 03:00 UTC",
        "rollback": "when asked",
        "train": "when asked",
    }.items():
        assert re.search(rf"^deployed: {name} +{due}$", done.stdout, re.MULTILINE)


def test_login_and_profile_are_for_their_owner_alone(platform: Platform) -> None:
    for name in ("login", "profiles.toml", "process.json"):
        assert (platform.server.home / name).stat().st_mode & 0o777 == 0o600
    assert platform.server.home.stat().st_mode & 0o077 == 0


def test_a_stage_moves_from_prefects_pages(platform: Platform, browser: Any, tmp_path: Path) -> None:
    fill_in(platform, browser, "promote", {"model": "plants", "version": "v1", "stage": "prod", "reason": "a form"})
    wait_until(lambda: platform.standing("prod") == "v1", 90, "prod at v1")
    wait_until(lambda: "plants@v1 now stands at prod" in text(browser), 60, "the run's last word")
    browser.save_screenshot(str(tmp_path / "promoted.png"))


def test_a_refused_move_says_why_on_the_runs_page(platform: Platform, browser: Any) -> None:
    fill_in(platform, browser, "promote", {"model": "plants", "version": "v7", "stage": "prod"})
    wait_until(lambda: "plants@v7 does not exist; versions of plants: v1, v2" in text(browser), 90, "the refusal")


def test_prefects_pages_want_the_login(platform: Platform) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{platform.server.address}/admin/version", timeout=10)


def test_graft_run_is_seen_on_the_same_pages(platform: Platform) -> None:
    program = (
        "import os; from pathlib import Path; from flows import environment\n"
        "environment.prepare(Path.cwd()); environment.start_server(Path.cwd())\n"
        "from prefect.client.orchestration import get_client\n"
        "with get_client(sync_client=True) as client: print(client.api_url, len(client.read_deployments()))"
    )
    done = platform.place.run("python", "-c", program)
    assert done.stdout.split() == [f"{platform.server.address}/", "4"], done.stderr


@pytest.mark.parametrize("record", ["process.json", "worker.json"])
def test_a_part_that_was_killed_is_seen_and_started_again(platform: Platform, record: str) -> None:
    found = process.running(platform.server.home / record)
    assert found
    os.kill(found.pid, signal.SIGKILL)
    wait_until(lambda: process.running(platform.server.home / record) is None, 10, "its end")
    done = platform.place.graft("status")
    assert done.returncode == 3 and "down; type: graft up" in done.stdout
    assert platform.place.graft("up").returncode == 0
    assert platform.place.graft("status").returncode == 0


def fill_in(platform: Platform, browser: Any, name: str, values: dict[str, str]) -> None:
    """Log in if asked to, fill in the form of the deployment, start the run, and open its page."""
    deployment = platform.server.ask("POST", "/deployments/filter", {})
    number = next(one["id"] for one in deployment if one["name"] == name)
    address = f"{platform.server.page}/deployments/deployment/{number}/run"
    browser.get(platform.server.page)
    wait_until(lambda: "Dashboard" in text(browser) or passwords(browser), 30, "Prefect's first page")
    for field in passwords(browser):
        field.send_keys(platform.server.login)
        browser.find_element("css selector", "button[type=submit]").click()
        wait_until(lambda: not passwords(browser), 30, "being logged in")
    browser.get(address)
    wait_until(lambda: "Why; kept in the history." in text(browser), 30, "the form with its help")
    for field, value in zip(browser.find_elements("css selector", "textarea"), values.values(), strict=False):
        field.send_keys(value)
    before = runs(platform, number)
    started = wait_until(lambda: submitted(platform, browser, number, before), 60, "a run")
    browser.get(f"{platform.server.page}/runs/flow-run/{started}")


def submitted(platform: Platform, browser: Any, number: str, before: set[str]) -> str:
    """Press the form's button: it does nothing until the form has taken what was typed. The run's id, or ""."""
    for button in browser.find_elements("css selector", "button"):
        if button.text == "Submit":
            button.click()
            time.sleep(2)
    return next(iter(runs(platform, number) - before), "")


def runs(platform: Platform, deployment: str) -> set[str]:
    """Ids of the deployment's runs."""
    wanted = {"deployments": {"id": {"any_": [deployment]}}}
    return {str(one["id"]) for one in platform.server.ask("POST", "/flow_runs/filter", wanted)}


def passwords(browser: Any) -> Any:
    return browser.find_elements("css selector", "input[type=password]")


def text(browser: Any) -> str:
    return str(browser.find_element("css selector", "body").text)
