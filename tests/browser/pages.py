"""What a person does on Prefect's pages: log in, fill in a form, press, read."""

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from graft.hub import pointer
from graft.hub.bucket import Bucket
from infra.server import Server
from infra.store import Local
from tests.conftest import Place, wait_until

FIELD = ".schema-form-property"


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

    def run(self, number: str) -> dict[str, Any]:
        """The flow run as the server has it now."""
        found: dict[str, Any] = self.server.ask("GET", f"/flow_runs/{number}")
        return found


def open_form(platform: Platform, browser: Any, name: str, shown: str) -> str:
    """Log in if asked to, and open the form of the deployment, until the text `shown` is on it. The deployment's id."""
    deployment = platform.server.ask("POST", "/deployments/filter", {})
    number = next(str(one["id"]) for one in deployment if one["name"] == name)
    browser.get(platform.server.page)
    wait_until(lambda: "Dashboard" in text(browser) or passwords(browser), 30, "Prefect's first page")
    for field in passwords(browser):
        field.send_keys(platform.server.login)
        browser.find_element("css selector", "button[type=submit]").click()
        wait_until(lambda: not passwords(browser), 30, "being logged in")
    browser.get(f"{platform.server.page}/deployments/deployment/{number}/run")
    wait_until(lambda: shown in text(browser), 30, "the form with its help")
    return number


def fill_in(platform: Platform, browser: Any, name: str, values: dict[str, str], shown: str) -> str:
    """Fill in the form of the deployment, start the run, and open its page. The run's id."""
    number = open_form(platform, browser, name, shown)
    fill(browser, values)
    before = runs(platform, number)
    started = wait_until(lambda: submitted(platform, browser, number, before), 60, "a run")
    browser.get(f"{platform.server.page}/runs/flow-run/{started}")
    return str(started)


def fill(browser: Any, values: dict[str, str]) -> None:
    """Type or choose a value for each field that is named."""
    from selenium.webdriver.support.select import Select

    for name, value in values.items():
        control = control_of(browser, name)
        if control.tag_name == "select":
            Select(control).select_by_visible_text(value)
        else:
            control.clear()
            control.send_keys(value)


def control_of(browser: Any, name: str) -> Any:
    """Where the field's value is typed or chosen."""
    fields = browser.find_elements("css selector", FIELD)
    (mine,) = [one for one in fields if one.text.split("\n")[0].split(" ")[0].lower() == name]
    return mine.find_element("css selector", "textarea, input, select")


def submitted(platform: Platform, browser: Any, number: str, before: set[str]) -> str:
    """Press the form's button: it does nothing until the form has taken what was typed. The run's id, or ""."""
    press(browser, "Submit")
    time.sleep(2)
    return next(iter(runs(platform, number) - before), "")


def press(browser: Any, label: str, inside: str = "body") -> bool:
    """Press the first button of that name; whether there is one."""
    for button in browser.find_elements("css selector", f"{inside} button"):
        if button.text == label:
            button.click()
            return True
    return False


def runs(platform: Platform, deployment: str) -> set[str]:
    """Ids of the deployment's runs."""
    wanted = {"deployments": {"id": {"any_": [deployment]}}}
    return {str(one["id"]) for one in platform.server.ask("POST", "/flow_runs/filter", wanted)}


def passwords(browser: Any) -> Any:
    return browser.find_elements("css selector", "input[type=password]")


def text(browser: Any) -> str:
    return str(browser.find_element("css selector", "body").text)
