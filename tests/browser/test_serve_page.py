"""The page of `graft serve` as a person uses it: a picture in, an answer out, and a clear word where there is none."""

import shutil
from base64 import b64encode
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import Keys

import graft
from graft.hub import cache, receipt, sealed
from graft.modalities import image
from graft.serving.server import Server
from tests.browser import barriers
from tests.conftest import wait_until
from tests.released import serving

SOON_S = 60
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def server(released: Path) -> Iterator[Server]:
    with serving(released) as running:
        yield running


@pytest.fixture(scope="module")
def model(released: Path) -> graft.Model:
    return graft.load(released)


@pytest.fixture
def page(browser: Any, server: Server) -> Any:
    return opened(browser, server)


def opened(browser: Any, server: Server) -> Any:
    browser.get_log("browser")  # what other pages complained of
    browser.get(server.url)
    wait_until(lambda: text(browser, "name") != "graft serve", SOON_S, "the page knows the release")
    return browser


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (90, 60)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def text(page: Any, element: str) -> str:
    return str(page.find_element("id", element).text)


def choose(page: Any, path: Path) -> None:
    page.find_element("id", "file").send_keys(str(path))


def answers(page: Any) -> list[list[str]]:
    """Label and percentage, from the top."""
    return [row.text.split("\n") for row in page.find_elements("css selector", "#answers button")]


def answered(page: Any) -> list[list[str]]:
    return list(wait_until(lambda: answers(page), SOON_S, "an answer"))


def problem(page: Any) -> str:
    return str(wait_until(lambda: text(page, "problem"), SOON_S, "a word on what is wrong"))


def right(model: graft.Model, path: Path) -> list[list[str]]:
    return [[label, percent(probability)] for label, probability in model.predict(path).top(5)[0]]


def percent(share: float) -> str:
    """As JavaScript rounds it: a half goes up, and an int8 file has many."""
    return f"{Decimal(100 * share).quantize(Decimal('0.1'), ROUND_HALF_UP)} %"


def pixels(page: Any) -> str:
    return str(page.execute_script("return document.getElementById('picture').toDataURL()"))


def test_a_picture_is_chosen_and_answered_and_nothing_is_complained_of(
    page: Any, server: Server, model: graft.Model, tmp_path: Path
) -> None:
    path = picture(tmp_path / "a.png")
    choose(page, path)
    assert answered(page) == right(model, path)
    assert text(page, "verdict") == model.predict(path).labels[0]
    widths = [
        page.execute_script("return arguments[0].offsetWidth / arguments[0].parentElement.offsetWidth", bar)
        for bar in page.find_elements("css selector", "#answers .bar")
    ]
    assert widths == pytest.approx([probability for _, probability in model.predict(path).top(5)[0]], abs=0.01)
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert fetched and all(name.startswith((server.url, "data:")) for name in fetched)
    assert page.get_log("browser") == []


def test_the_map_is_that_of_the_label_chosen_and_goes_away_by_keyboard(page: Any, tmp_path: Path) -> None:
    choose(page, picture(tmp_path / "a.png"))
    first, second = answered(page)[:2]
    shown = [pixels(page)]
    picture_element = page.find_element("id", "picture")
    assert f"For {first[0]} speaks" in picture_element.get_attribute("aria-label")
    rows = page.find_elements("css selector", "#answers button")
    rows[1].send_keys(Keys.ENTER)
    shown.append(pixels(page))
    assert [row.get_attribute("aria-pressed") for row in rows[:2]] == ["false", "true"]
    assert f"For {second[0]} speaks" in picture_element.get_attribute("aria-label")
    page.find_element("id", "heat").send_keys(Keys.SPACE)
    shown.append(pixels(page))
    assert picture_element.get_attribute("aria-label") == "The picture"
    assert len(set(shown)) == 3


def test_a_text_that_is_called_a_picture_is_told_so_and_the_next_picture_answered(
    page: Any, model: graft.Model, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no picture at all\n" * 100)
    choose(page, tmp_path / "text.jpg")
    assert problem(page) == "content is no picture; JPEG and PNG are taken; save it as JPEG or PNG"
    assert answers(page) == [] and text(page, "verdict") == ""
    path = picture(tmp_path / "a.png")
    choose(page, path)
    assert answered(page) == right(model, path)
    assert text(page, "problem") == ""


def test_fifty_megapixels_are_told_to_be_too_many(page: Any, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6250, 8000), np.uint8)).save(tmp_path / "large.png")
    choose(page, tmp_path / "large.png")
    assert problem(page) == "picture has 8000x6250 pixels; at most 25000000 are taken; make it smaller"


def test_too_many_bytes_are_not_even_sent(page: Any, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(image.MAX_BYTES))
    choose(page, tmp_path / "large.jpg")
    assert problem(page) == "picture has 32000003 bytes; at most 32000000 are taken; make it smaller"
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert not [name for name in fetched if "predict" in name]


def test_two_hundred_fetches_at_once_are_each_answered_rightly(page: Any, model: graft.Model, tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{seed}.png", seed) for seed in range(20)]
    script = """
        const [pictures, done] = arguments;
        const bodies = pictures.map(one => Uint8Array.from(atob(one), letter => letter.charCodeAt(0)));
        const ask = async index => {
            const response = await fetch("/predict?map=" + index % 2, {method: "POST", body: bodies[index % 20]});
            return (await response.json()).answers.map(one => [one.label, one.probability]);
        };
        Promise.all([...Array(200).keys()].map(ask)).then(done, error => done(String(error)));
    """
    page.set_script_timeout(300)
    found = page.execute_async_script(script, [b64encode(path.read_bytes()).decode() for path in paths])
    wanted = [[list(one) for one in model.predict(path).top(5)[0]] for path in paths]
    assert found == wanted * 10


def test_below_the_threshold_it_says_not_sure(page: Any, model: graft.Model, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    choose(page, path)
    label = answered(page)[0][0]
    slider = page.find_element("id", "threshold")
    slider.send_keys(Keys.END)
    assert text(page, "at-least") == "100 %" and text(page, "verdict") == f"Not sure: perhaps {label}"
    slider.send_keys(Keys.HOME)
    assert text(page, "at-least") == "0 %" and text(page, "verdict") == label


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_may_be_pasted_or_dropped(page: Any, model: graft.Model, tmp_path: Path, way: str) -> None:
    path = picture(tmp_path / "a.png", 3)
    script = """
        const [way, content] = arguments;
        const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
        const held = new DataTransfer();
        held.items.add(new File([bytes], "a.png", {type: "image/png"}));
        const options = {bubbles: true, cancelable: true};
        document.getElementById("drop").dispatchEvent(way === "paste"
            ? new ClipboardEvent("paste", {...options, clipboardData: held})
            : new DragEvent("drop", {...options, dataTransfer: held}));
    """
    page.execute_script(script, way, b64encode(path.read_bytes()).decode())
    assert answered(page) == right(model, path)


def test_the_camera_takes_a_picture_and_is_let_go(page: Any) -> None:
    page.find_element("id", "camera").click()
    view = page.find_element("id", "view")
    wait_until(lambda: page.execute_script("return arguments[0].videoWidth", view), SOON_S, "the camera sees")
    film = "return document.getElementById('view').srcObject"
    page.execute_script("window.tracks = document.getElementById('view').srcObject.getTracks()")
    page.find_element("id", "shoot").send_keys(Keys.ENTER)
    assert len(answered(page)) == 5
    assert page.execute_script(film) is None and not view.is_displayed()
    assert page.execute_script("return window.tracks.map(track => track.readyState)") == ["ended"]
    assert page.get_log("browser") == []


def test_labels_are_text_whatever_they_say(browser: Any, released: Path, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "release")
    path = tmp_path / "release" / cache.RECEIPT
    said = sealed.unseal(path.read_bytes(), "receipt")
    said["contents"]["model"]["classes"] = [f"{HOSTILE}{n}" for n in range(len(said["contents"]["model"]["classes"]))]
    made = receipt.parse(receipt.Receipt, said, "receipt")
    path.write_bytes(receipt.write(made))
    with serving(tmp_path / "release") as server:
        page = opened(browser, server)
        choose(page, picture(tmp_path / "a.png"))
        assert all(label.startswith(HOSTILE) for label, _ in answered(page))
        assert not page.find_elements("css selector", "img") and page.title == "shapes@v1"


def test_what_was_measured_is_offered_as_thresholds(browser: Any, released: Path, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "release")
    path = tmp_path / "release" / cache.RECEIPT
    said = sealed.unseal(path.read_bytes(), "receipt")
    one = {"wanted": 0.9, "confidence": 0.755, "coverage": 0.39, "accuracy": 0.915}
    abstention = said["contents"]["metrics"]["evaluation"]["transfer"]["seen"]["abstention"]
    abstention["thresholds"] = [one, one | {"wanted": 0.95, "confidence": 0.88}, one | {"confidence": 1.2}]
    path.write_bytes(receipt.write(receipt.parse(receipt.Receipt, said, "receipt")))
    with serving(tmp_path / "release") as server:
        page = opened(browser, server)
        assert text(page, "at-least") == "76 %", "the first is where it starts"
        assert text(page, "meaning") == (
            "Measured from 75.5 % on: 39.0 % of the test pictures were answered, "
            "and 91.5 % of those answers were right."
        )
        offered = page.find_elements("css selector", "#measured button")
        assert [button.text for button in offered] == [
            "90 % right: 75.5 %",
            "95 % right: 88.0 %",
        ]
        offered[1].click()
        assert text(page, "at-least") == "88 %"


def test_a_server_that_ended_is_missed_in_words(browser: Any, released: Path, tmp_path: Path) -> None:
    with serving(released, patience_s=1) as server:
        page = opened(browser, server)
        # a browser connects in reserve, and this process would go on to answer there
        wait_until(lambda: not server.connected, SOON_S, "no connection in reserve")
    choose(page, picture(tmp_path / "a.png"))
    assert problem(page) == "The server does not answer; is graft serve still running?"


@pytest.mark.parametrize(("scheme", "width"), barriers.SCREENS)
def test_no_barrier_is_found_before_and_after_an_answer_and_a_refusal(
    browser: Any, server: Server, tmp_path: Path, scheme: str, width: int
) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with barriers.screen(browser, scheme, width, is_offline=False):
        page = opened(browser, server)
        assert barriers.found(page) == []
        choose(page, picture(tmp_path / "a.png"))
        answered(page)
        assert barriers.found(page) == []
        assert page.get_log("browser") == []
        choose(page, tmp_path / "text.jpg")
        problem(page)
        assert barriers.found(page) == []
        assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_nothing_else_runs_in_the_page(page: Any) -> None:
    page.execute_script(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.slipped = 1'}))"
    )
    assert page.execute_script("return window.slipped") is None
    assert any("Content Security Policy" in line["message"] for line in page.get_log("browser"))
