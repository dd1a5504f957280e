"""The report as a person sees it: in a real browser, offline."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Finished

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Debian's chromium and chromium-driver are not installed; `make check` installs them where it may")
    from selenium import webdriver

    os.environ["SE_OFFLINE"] = "true"  # selenium would look for a driver on the web
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


@pytest.fixture
def page(browser: Any, finished: Finished) -> Any:
    browser.get((finished[0].root / "reports" / "report.html").as_uri())
    return browser


def test_the_verdict_is_the_first_thing_and_the_figures_are_the_measured_ones(page: Any, finished: Finished) -> None:
    from graft.core.report import gain_text

    evaluation = json.loads((Path(finished[0].root) / "reports" / "evaluation.json").read_text())
    heading = page.find_element("css selector", "h1")
    assert heading.is_displayed() and gain_text(evaluation["gain"]["seen"]) in heading.text
    assert "transfer report" in page.title
    text = page.find_element("css selector", "body").text
    for arm in ("transfer", "scratch", "article"):
        assert f"{100 * evaluation[arm]['seen']['accuracy']['mean']:.1f}" in text
    assert "model-int8.tflite" in text


def test_every_picture_is_there_and_nothing_is_fetched_or_complained_of(page: Any) -> None:
    pictures = page.find_elements("css selector", "img")
    assert len(pictures) >= 4
    for picture in pictures:
        assert page.execute_script("return arguments[0].naturalWidth", picture) > 0
        assert picture.get_attribute("alt")
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []
    assert page.get_log("browser") == []


def test_it_fits_a_narrow_window(page: Any) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
