"""The pages as a person sees them: in a real browser, offline."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import barriers
from tests.conftest import Finished

# WCAG's contrast of each visible piece of text with the nearest painted ground; those below 4.5 are listed
FAINT = """
const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const ground = element => {
  for (; element; element = element.parentElement) {
    const found = parts(getComputedStyle(element).backgroundColor);
    if (found.length < 4 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
  if (!own || !element.checkVisibility() || element.closest("svg")) continue;
  const pair = [light(parts(getComputedStyle(element).color)), light(ground(element))].sort((a, b) => b - a);
  const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (contrast < 4.5) faint.push(`${element.tagName} ${own.slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return [light(ground(document.body)), faint];
"""


@pytest.fixture(params=["report.html", "validation.html"])
def page(browser: Any, finished: Finished, request: pytest.FixtureRequest) -> Any:
    browser.get_log("browser")  # what other pages complained of
    browser.get((finished[0].root / "reports" / request.param).as_uri())
    return browser


def test_the_verdict_is_the_first_thing_and_the_figures_are_the_measured_ones(browser: Any, finished: Finished) -> None:
    from graft.core.report import gain_text

    page = browser
    page.get((finished[0].root / "reports" / "report.html").as_uri())

    evaluation = json.loads((Path(finished[0].root) / "reports" / "evaluation.json").read_text())
    heading = page.find_element("css selector", "h1")
    assert heading.is_displayed() and gain_text(evaluation["gain"]["seen"]) in heading.text
    assert "transfer report" in page.title
    text = page.find_element("css selector", "body").text
    for arm in ("transfer", "scratch", "article"):
        assert f"{100 * evaluation[arm]['seen']['accuracy']['mean']:.1f}" in text
    assert "model-int8.tflite" in text


def test_the_gates_verdict_and_its_rules_are_shown_and_a_rule_leads_to_its_pictures(
    browser: Any, finished: Finished
) -> None:
    browser.get((finished[0].root / "reports" / "validation.html").as_uri())
    verdict = json.loads((finished[0].root / "reports" / "validation.json").read_text())
    assert "Passed." in browser.find_element("css selector", "main").text
    rows = browser.find_elements("css selector", "#rules tbody tr")
    assert len(rows) == len(verdict["found"]) > 0
    for row in rows:
        link = row.find_element("tag name", "a")
        rule = link.text
        assert row.text.split()[-1] == str(verdict["found"][rule]["count"])
        link.click()
        assert browser.find_elements("css selector", f"#{rule} .cases li")


def test_every_picture_is_there_and_nothing_is_fetched_or_complained_of(page: Any) -> None:
    pictures = page.find_elements("css selector", "img")
    assert len(pictures) >= 1
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page: Any, scheme: str) -> None:
    preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    try:
        lightness, faint = page.execute_script(FAINT)
        assert faint == []
        assert lightness > 0.5 if scheme == "light" else lightness < 0.2
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize(("scheme", "width"), barriers.SCREENS)
@pytest.mark.parametrize("name", ["report.html", "validation.html"])
def test_no_barrier_is_found_and_nothing_complained_of_offline(
    browser: Any, finished: Finished, name: str, scheme: str, width: int
) -> None:
    browser.get_log("browser")
    with barriers.screen(browser, scheme, width):
        browser.get((finished[0].root / "reports" / name).as_uri())
        assert barriers.found(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.get_log("browser") == []


def test_a_barrier_would_be_found(browser: Any, finished: Finished) -> None:
    browser.get((finished[0].root / "reports" / "report.html").as_uri())
    browser.execute_script("document.querySelector('main img').removeAttribute('alt')")
    assert [line.split(":")[0] for line in barriers.found(browser)][0] in ("image-alt", "button-name")
