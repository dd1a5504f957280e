"""The file run by the browser itself: the same picture goes in, the same probabilities come out."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import graft
from graft.core.errors import EnvironmentProblem
from graft.hub import cache
from graft.modalities import image
from graft.serving import browser as runs
from graft.serving.server import Server
from tests.browser.test_serve_page import SOON_S, answered, choose, opened, text
from tests.conftest import wait_until
from tests.released import serving

SIZES = [(32, 32), (90, 60), (61, 200), (33, 32), (500, 333), (20, 17), (1000, 41)]
SAMPLE = """
    const [content, size, done] = arguments;
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const options = {colorSpaceConversion: "none"};
    Promise.all([import("/browser.js"), createImageBitmap(new Blob([bytes]), options)])
        .then(([module, picture]) => done([...module.sample(picture, size)]), error => done(String(error)));
"""


@pytest.fixture(scope="module")
def server(released: Path, packages: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GRAFT_CACHE", str(packages))
        try:
            offered = runs.offered(cache.open_folder(released))
        except EnvironmentProblem as problem:
            if "pinned" in str(problem):
                raise
            pytest.skip(f"the npm registry cannot be reached: {problem}")
    with serving(released, offered=offered) as running:
        yield running


def test_the_browser_runs_the_file_and_agrees_with_the_server(
    browser: Any, server: Server, released: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    page = opened(browser, server)
    choose(page, tmp_path / "a.png")
    label, probability = answered(page)[0]
    wait_until(lambda: "from the server" in text(page, "here"), SOON_S, "the browser's own answer")
    said = text(page, "here")
    assert said.startswith(f"This browser ran the file itself: {label}, {probability}, in ")
    assert float(said.rpartition(": ")[2].rstrip(".")) < 1e-5
    assert label == graft.load(released).predict(tmp_path / "a.png").labels[0]
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert any(name.endswith(".wasm") for name in fetched)
    assert all(name.startswith((server.url, "data:")) for name in fetched)
    assert [line for line in page.get_log("browser") if line["level"] == "SEVERE"] == []


@pytest.mark.parametrize("size", SIZES)
def test_the_browser_makes_of_a_picture_what_the_server_makes_of_it(
    browser: Any, server: Server, released: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    page = opened(browser, server)
    found = page.execute_async_script(SAMPLE, b64encode(data).decode(), 32)
    wanted = image.decode(data, image.Options(size_px=32))
    apart = np.abs(np.array(found).reshape(32, 32, 3) - wanted.astype(int))
    # Pillow goes down the columns first where a picture is tall, and rounds in between
    assert apart.max() <= (1 if size[1] > size[0] else 0)


def test_without_being_asked_for_none_of_it_is_there(browser: Any, released: Path, tmp_path: Path) -> None:
    with serving(released) as server:
        page = opened(browser, server)
        assert (
            page.execute_async_script(
                "const done = arguments[0]; fetch('/browser.js').then(answer => done(answer.status))"
            )
            == 404
        )
        assert (
            page.execute_async_script(
                "const done = arguments[0]; import('/browser.js').then(() => done('ran'), () => done('not run'))"
            )
            == "not run"
        )
