"""A run from its form to the live model, on Prefect's pages alone: fill in, start, look, approve, cancel."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from graft.core import plugins
from infra import runs as platform_runs
from tasks.tables import plain
from tests.browser.pages import Platform, control_of, fill, fill_in, open_form, press, runs, text
from tests.conftest import Finished, Place, wait_until

HELP = "How the backbone is adapted to the target."
LOOSE = (  # two dozen steps teach little
    "publish.min_gain_points=-100",
    "retrain.margin_points=100",
    "retrain.max_latency_ratio=1000",
    "finetune.labels_per_class=6",  # the form asks for the 5 that DVC's cache knows
)
Shot = Callable[[str], None]


@pytest.fixture(scope="module")
def platform(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A committed workspace whose stages are known to DVC's cache, with everything up."""
    folder = tmp_path_factory.mktemp("platform")
    made = finished[0].copy(folder / "clone")
    place = Place(made.root, made.environment | {"HOME": str(folder), "GRAFT_CACHE": str(folder / "cache")})
    place.set(*LOOSE)
    for command in (("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "run")):
        subprocess.run(["git", *command], cwd=place.root, env=place.environment, check=True, capture_output=True)
    try:
        done = place.graft("up")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Platform(place, done.stdout)
    finally:
        assert place.graft("down").returncode == 0


@pytest.fixture
def shot(browser: Any, tmp_path: Path) -> Shot:
    """Keep a picture of the page, in the folder that GRAFT_SCREENSHOTS names or the test's own."""
    folder = Path(os.environ.get("GRAFT_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def save(name: str) -> None:
        assert browser.save_screenshot(str(folder / f"{name}.png"))

    return save


def test_a_bad_value_is_refused_before_a_run_starts(platform: Platform, browser: Any, shot: Shot) -> None:
    number = open_form(platform, browser, "train", HELP)
    offered = {name: control_of(browser, name).text.split("\n") for name in ("method", "target_origin", "at_end")}
    assert offered["method"] == ["as params.yaml says", *plugins.names("graft.methods")]
    assert {"folder", "s3", "shapes"} < set(offered["target_origin"])
    assert offered["at_end"] == ["ask", "promote if better", "never"]
    assert "ask waits for a person; promote if better moves the last stage" in text(browser)
    fill(browser, {"labels_per_class": "50", "method": "linear_probe"})
    shot("form")
    fill(browser, {"labels_per_class": "many"})

    def refused() -> bool:
        press(browser, "Submit")
        return "Validation failed for field 'labels_per_class'" in text(browser)

    wait_until(refused, 30, "the refusal")
    shot("refused")
    assert runs(platform, number) == set()


def test_a_run_is_started_looked_at_and_approved(platform: Platform, browser: Any, shot: Shot) -> None:
    values = {"labels_per_class": "5", "method": "full", "seeds": "2", "at_end": "ask"}
    run = fill_in(platform, browser, "train", values, HELP)
    browser.get("about:blank")  # the page of a run that goes on is drawn anew all the time
    wait_until(lambda: platform.run(run)["state_type"] not in ("SCHEDULED", "PENDING", "RUNNING"), 180, "its end")
    assert platform.run(run)["state_name"] == "Suspended", platform.run(run)["state"]
    asked = platform.run(run)["parameters"]
    assert (asked["labels_per_class"], asked["method"], asked["seeds"]) == ("5", "full", 2)

    shown = artifacts(platform, run)
    tables = {"pictures", "data-gate", "metrics", "files", "gate"}
    assert tables | {"pretrain-curves", "finetune-curves", "confusion", "report", "release", "question"} <= shown.keys()
    look(platform, browser, shown["gate"], "gain of reuse", "at least -100.0 (publish.min_gain_points)")
    shot("gate")
    look(platform, browser, shown["pictures"], "triangle", "kept last time")
    for picture in ("pretrain-curves", "finetune-curves", "confusion"):
        look(platform, browser, shown[picture], "Image URL")
        wait_until(lambda: width(browser) > 0, 20, f"the picture {picture}")
        shot(picture)
    for page, heading in (("validation", "animals and plants"), ("report", "pretraining on animals")):
        look(platform, browser, shown[page], "With pictures" if page == "validation" else "Pictures and plots")
        address = browser.find_element("css selector", f"a[href$='/{page}.html']").get_attribute("href")
        browser.get(address)
        assert heading in browser.find_element("css selector", "h1").text
        assert all(browser.execute_script("return [...document.images].map(one => one.naturalWidth > 0)"))
        shot(page)

    browser.get(f"{platform.server.page}/runs/flow-run/{run}")
    wait_until(lambda: press(browser, "Resume"), 30, "a button to answer with")
    wait_until(lambda: "Shall plants@v1 go live?" in text(browser), 30, "the question")
    (link,) = browser.find_elements("css selector", "[role=dialog] a")
    assert link.get_attribute("href") == address
    fill(browser, {"decision": "approve", "note": "looks right"})
    shot("question")
    assert platform.standing("prod") == ""
    assert press(browser, "Submit", inside="[role=dialog]")
    wait_until(lambda: platform.standing("prod") == "v1", 180, "prod at v1")
    wait_until(lambda: platform.run(run)["state_name"] == "Promoted", 60, "the run's end")
    wait_until(lambda: "Promoted" in text(browser), 30, "the end on the page")
    shot("promoted")
    history = platform.place.graft("history", "plants")
    assert re.search(r"promote +v1 .*looks right", history.stdout), history.stdout + history.stderr


def test_a_class_that_is_called_like_a_link_or_a_tag_is_text_on_the_page(platform: Platform, browser: Any) -> None:
    names = [
        "[press](javascript:document.title='x')",
        "<img src=x onerror=alert(1)>",
        "![p](http://127.0.0.1:9/x.png) www.x.example",
    ]
    rows = json.dumps([{"class": plain(name)} for name in names])
    made = platform.server.ask("POST", "/artifacts/", {"key": "names", "type": "table", "data": rows})
    look(platform, browser, made["id"], *names)
    assert browser.find_elements("css selector", "tbody a, tbody img") == []


@pytest.mark.sweep
def test_a_run_that_is_cancelled_is_gone_in_10_s_and_leaves_nothing_half_done(
    platform: Platform, browser: Any, shot: Shot
) -> None:
    before = released(platform)
    run = fill_in(platform, browser, "train", {"labels_per_class": "4", "at_end": "promote if better"}, HELP)
    wait_until(lambda: "finetune" in at_work(platform), 180, "training")
    wait_until(lambda: press(browser, "Cancel"), 30, "a button to cancel with")
    wait_until(lambda: press(browser, "Confirm", inside="[role=dialog]"), 30, "being asked whether to")
    pressed = time.monotonic()
    wait_until(lambda: platform.run(run)["state_type"] in ("CANCELLING", "CANCELLED"), 10, "being heard")
    browser.get("about:blank")
    wait_until(lambda: platform.run(run)["state_type"] == "CANCELLED", 60, "its end")
    wait_until(lambda: run not in set(platform_runs.worked_at()) and not at_work(platform), 60, "no process of it")
    assert time.monotonic() - pressed < 10
    browser.get(f"{platform.server.page}/runs/flow-run/{run}")
    wait_until(lambda: "Cancelled" in text(browser), 30, "the end on the page")
    shot("cancelled")
    assert released(platform) == before
    run = fill_in(platform, browser, "train", {"labels_per_class": "4", "at_end": "never"}, HELP)
    wait_until(lambda: platform.run(run)["state_name"] == "Published", 240, "the same, to its end")


def artifacts(platform: Platform, run: str) -> dict[str, str]:
    """Ids of what the run shows, by key."""
    wanted = {"flow_runs": {"id": {"any_": [run]}}}
    return {one["key"]: one["id"] for one in platform.server.ask("POST", "/artifacts/filter", wanted)}


def look(platform: Platform, browser: Any, artifact: str, *wanted: str) -> None:
    """Open the artifact's page."""
    browser.get(f"{platform.server.page}/artifacts/artifact/{artifact}")
    wait_until(lambda: all(one in text(browser) for one in wanted), 30, f"{wanted}")


def width(browser: Any) -> int:
    """Of the widest picture on the page, once it is loaded, as it was drawn; 0 if there is none."""
    return int(browser.execute_script("return Math.max(0, ...[...document.images].map(one => one.naturalWidth))"))


def at_work(platform: Platform) -> str:
    """Command lines of the processes in the worktrees of runs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")).is_relative_to(platform.place.root / ".graft" / "runs"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def released(platform: Platform) -> str:
    """Every release and where the stages stand."""
    done = platform.place.graft("models")
    assert done.returncode == 0, done.stderr
    return json.dumps([done.stdout, platform.standing("prod")])
