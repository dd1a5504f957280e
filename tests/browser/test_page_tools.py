"""Sorting, filtering and enlarging on a page, by keyboard alone; on paper and without scripts nothing is missing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Keys

from graft.core import side_by_side
from graft.core.report import render
from tests.browser import barriers
from tests.core.test_report import CLASSES, full, gain, score
from tests.core.test_side_by_side import run

RECALLS = "table.filterable:has(tbody th)"  # the mix-ups' rows have no heading
FILTER = ".filter:has(+ table tbody th)"
LAST = "section[aria-labelledby=mistakes] .gallery figure:last-child"


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Any:
    path = tmp_path / "report.html"
    path.write_text(render(full()), encoding="utf-8")
    browser.get_log("browser")
    browser.get(path.as_uri())
    return browser


@pytest.fixture
def opened(page: Any) -> Any:
    """The page with the table of recalls open."""
    page.execute_script(f"document.querySelector({RECALLS!r}).closest('details').open = true")
    return page


@pytest.fixture
def paper(page: Any) -> Iterator[Any]:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    yield page
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def column(page: Any, number: int) -> list[str]:
    """What the table of recalls shows in a column, from the top."""
    cells = page.find_elements("css selector", f"{RECALLS} tbody tr > :nth-child({number})")
    return [cell.text for cell in cells if cell.is_displayed()]


def press(page: Any, selector: str, *keys: str) -> None:
    page.execute_script("arguments[0].focus()", page.find_element("css selector", selector))
    for key in keys:
        page.switch_to.active_element.send_keys(key)


def sorts(page: Any) -> list[str | None]:
    return [head.get_attribute("aria-sort") for head in page.find_elements("css selector", f"{RECALLS} thead th")]


def test_enter_on_a_heading_sorts_by_it_and_again_the_other_way_round(opened: Any) -> None:
    press(opened, f"{RECALLS} th:nth-child(2) button", Keys.ENTER)
    shares = [float(text.rstrip("%")) for text in column(opened, 2)]
    assert shares == sorted(shares) and len(set(shares)) > 1
    assert sorts(opened) == [None, "ascending", None, None]
    press(opened, f"{RECALLS} th:nth-child(2) button", Keys.SPACE)
    assert [float(text.rstrip("%")) for text in column(opened, 2)] == shares[::-1]
    assert sorts(opened) == [None, "descending", None, None]
    press(opened, f"{RECALLS} th:nth-child(1) button", Keys.ENTER)
    assert column(opened, 1) == sorted(CLASSES)
    assert sorts(opened) == ["ascending", None, None, None]


def test_a_minus_sign_sorts_below_zero(opened: Any) -> None:
    press(opened, f"{RECALLS} th:nth-child(4) button", Keys.ENTER)
    differences = [float(text.replace("−", "-")) for text in column(opened, 4)]
    assert differences == sorted(differences)
    assert differences[0] < 0 < differences[-1]


def test_typing_leaves_the_rows_that_hold_it_and_says_how_many(opened: Any) -> None:
    press(opened, f"{FILTER} input", "TUL")
    assert column(opened, 1) == ["tulip"]
    assert opened.find_element("css selector", f"{FILTER} output").text == "1 of 4"
    press(opened, f"{FILTER} input", Keys.ESCAPE)
    assert len(column(opened, 1)) == len(CLASSES)
    assert opened.find_element("css selector", f"{FILTER} output").text == ""


def test_a_picture_is_enlarged_and_put_back_by_keyboard(page: Any) -> None:
    assert not page.find_elements("css selector", "dialog[open]")
    second = "section[aria-labelledby=mistakes] .gallery figure:nth-child(2)"
    press(page, f"{second} .zoom", Keys.ENTER)
    dialog = page.find_element("css selector", "dialog[open]")
    large = dialog.find_element("tag name", "img")
    small = page.find_element("css selector", f"{second} img")
    assert large.size["width"] > 2 * small.size["width"]
    assert large.get_attribute("src") == small.get_attribute("src")
    assert "called rose (98.0%), is cactus" in dialog.text
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not page.find_elements("css selector", "dialog[open]")
    assert page.execute_script("return document.activeElement.contains(arguments[0])", small)


def test_arrows_lead_from_picture_to_picture_and_round(page: Any) -> None:
    pictures = page.find_elements("css selector", "main img")
    press(page, f"{LAST} .zoom", Keys.ENTER)
    large = page.find_element("css selector", "dialog[open] img")
    for key, index in ((Keys.ARROW_RIGHT, 0), (Keys.ARROW_LEFT, -1), (Keys.ARROW_LEFT, -2)):
        page.switch_to.active_element.send_keys(key)
        assert large.get_attribute("src") == pictures[index].get_attribute("src")
    page.switch_to.active_element.send_keys(Keys.ENTER)  # on Close
    assert not page.find_elements("css selector", "dialog[open]")


def test_paper_shows_what_is_folded_and_what_was_filtered_away(paper: Any) -> None:
    paper.execute_script(
        "const box = document.querySelector('.filter input'); box.value = 'none'; box.dispatchEvent(new Event('input'))"
    )
    seen = "return [...document.querySelectorAll('details tr, details pre')].map(one => one.checkVisibility())"
    shown = paper.execute_script(seen)
    assert len(shown) > 2 * len(CLASSES) and all(shown)
    assert not paper.find_element("css selector", ".filter").is_displayed()


def test_without_scripts_everything_is_there_and_nothing_offers_what_it_cannot_do(page: Any) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.refresh()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert len(page.find_elements("css selector", "main img")) == 31
    assert not page.find_elements("css selector", "main button, input, dialog")


def test_a_script_that_slipped_in_does_not_run(page: Any) -> None:
    page.execute_script(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.slipped = 1'}))"
    )
    assert page.execute_script("return window.slipped") is None
    assert any("Content Security Policy" in line["message"] for line in page.get_log("browser"))


def test_numbers_with_units_and_intervals_sort_as_numbers(browser: Any, tmp_path: Path) -> None:
    seen = {arm: {"seen": {"accuracy": score(mean)}} for arm, mean in (("transfer", 0.5), ("scratch", 0.09))}
    one = run("one", evaluation={"gain": {"seen": gain(41.0)}, **seen})
    path = tmp_path / "page.html"
    path.write_text(side_by_side.render(one, one), encoding="utf-8")
    browser.get(path.as_uri())
    press(browser, "table th:nth-child(4) button", Keys.ENTER)
    cells = browser.find_elements("css selector", "section:first-child tbody td:nth-child(4)")
    assert [cell.text.split(" [")[0] for cell in cells] == ["9.0%", "+41.0 points", "50.0%"]


@pytest.mark.parametrize(("scheme", "width"), barriers.SCREENS)
def test_two_runs_side_by_side_without_a_barrier(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    long = run("plants@v12", -0.1, settings={"finetune": {"learning_rates": [0.1] * 30}, "a" * 80: "b" * 80})
    path = tmp_path / "page.html"
    path.write_text(side_by_side.render(run("a folder/with a long name"), long), encoding="utf-8")
    browser.get_log("browser")
    with barriers.screen(browser, scheme, width):
        browser.get(path.as_uri())
        assert barriers.found(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.get_log("browser") == []


def test_long_words_in_any_table_scroll_within_a_phones_width(browser: Any, tmp_path: Path) -> None:
    word = "Unpronounceable" * 2
    credit = dict.fromkeys(("title", "artist", "licence", "version"), word)
    path = tmp_path / "page.html"
    page = render(replace(full((word, "rose")), credits=[credit], versions={word: word}))
    path.write_text(page, encoding="utf-8")
    with barriers.screen(browser, "light", 390):
        browser.get(path.as_uri())
        assert barriers.found(browser) == []  # with all that is folded open
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
