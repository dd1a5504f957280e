"""graft compare and graft forecast, the real commands: every cell once, the same after a kill, shared by the store."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from graft.core import atlas
from graft.core.atlas import Record
from tests.cluster import dask_workers, with_store
from tests.conftest import BIN, Place, make_place, wait_until
from tests.store import Server

MATRIX = """
sources:
  outlines: {origin: {name: shapes, images_per_class: 24}}
targets:
  figures: {origin: {name: shapes, images_per_class: 24}}
labels_per_class: [3]
seeds: 2
"""
CELLS = 2 * (1 + 1)


def records(place: Place) -> dict[str, Record]:
    """What the workspace's atlas holds."""
    found = (json.loads(path.read_text()) for path in (place.root / ".graft" / "atlas").glob("*/*.json"))
    return {one.key: one for one in (atlas.of(value, "a record") for value in found)}


def answers(place: Place) -> dict[str, Any]:
    """What was measured, without who and when and how long it took."""
    kept = {key: dict(one.facts) for key, one in records(place).items()}
    return {key: {name: value for name, value in facts.items() if name != "seconds"} for key, facts in kept.items()}


@pytest.fixture(scope="module")
def undisturbed(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A workspace in which `graft compare` ended; nobody changes what it measured."""
    folder = tmp_path_factory.mktemp("compared")
    made = make_place(folder / "clone", folder / "home")
    (made.root / "compare.yaml").write_text(MATRIX)
    made.set("pretrain.epochs=1", "finetune.steps=12")
    place = Place(made.root, made.environment | {"PREFECT_API_URL": prefect_url})
    done = place.graft("compare")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout)
    return place


def again(undisturbed: Place, to: Path) -> Place:
    """The same with domains ready and nets that learned them, and nothing measured."""
    place = undisturbed.copy(to)
    shutil.rmtree(place.root / ".graft" / "atlas")
    (place.root / "reports" / "compare.json").unlink()
    return place


def test_every_cell_is_measured_once_and_the_page_says_which_source_to_take(undisturbed: Place) -> None:
    found = records(undisturbed).values()
    assert sum(one.kind == "cell" for one in found) == CELLS and sum(one.kind == "look" for one in found) == 1
    assert all(one.facts["sets"].keys() == {"seen", "unseen"} for one in found if one.kind == "cell")
    report = json.loads((undisturbed.root / "reports" / "compare.json").read_text())
    [target] = report["targets"]
    assert [one["source"] for one in target["standings"]] == ["outlines"]
    said = (undisturbed.root.parent / "said").read_text()
    assert target["sentence"] in said and "page: " in said
    page = (undisturbed.root / "reports" / "compare.html").read_text()
    assert "What the features had said" in page and "figures" in page
    assert list((undisturbed.root / ".graft" / "compare" / "trainings").iterdir()) == []


@pytest.mark.sweep
def test_killed_and_taken_up_again_it_measures_every_cell_once_and_the_same(undisturbed: Place, tmp_path: Path) -> None:
    place = again(undisturbed, tmp_path / "clone")
    process = subprocess.Popen(
        [str(BIN / "graft"), "compare"],
        cwd=place.root,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    trainings = place.root / ".graft" / "compare" / "trainings"
    wait_until(lambda: list(trainings.rglob("*.hits.json")), 200, "the first training to end")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(records(place)) < CELLS + 1
    done = place.graft("compare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert answers(place) == answers(undisturbed)


@pytest.mark.sweep
def test_workers_that_share_the_store_alone_measure_the_same_though_one_is_lost(
    undisturbed: Place, s3: Server, credentials: None, tmp_path: Path
) -> None:
    """Every cell once, with the figures of a run on one machine."""
    copied = again(undisturbed, tmp_path / "clone")
    shutil.rmtree(copied.root / ".graft" / "compare" / "nets")
    place = with_store(copied, s3)
    (tmp_path / "cluster").mkdir()
    with dask_workers(place, tmp_path / "cluster", 2) as (address, workers):
        spread = Place(place.root, place.environment | {"DASK_SCHEDULER_ADDRESS": address})
        process = spread.begin("graft", "compare", "--on", "dask")
        at_work = tmp_path / "cluster" / "worker0" / "cache" / "spread" / "jobs"
        wait_until(lambda: list(at_work.glob("*/kept/trainings/*")), 200, "a training by the first worker")
        workers[0].kill()
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    assert answers(place) == answers(undisturbed)


@pytest.mark.sweep
def test_ray_measures_the_same(undisturbed: Place, s3: Server, credentials: None, tmp_path: Path) -> None:
    """On a cluster of this machine, which is gone when the command ends; it prepares the domains, too."""
    copied = again(undisturbed, tmp_path / "clone")
    shutil.rmtree(copied.root / ".graft" / "compare")
    place = with_store(copied, s3)
    done = place.graft("compare", "--on", "ray")
    assert done.returncode == 0, done.stdout + done.stderr
    assert answers(place) == answers(undisturbed)


def test_what_the_store_holds_is_not_measured_again(
    undisturbed: Place, s3: Server, credentials: None, tmp_path: Path
) -> None:
    """A second machine with the same domains takes every cell from the store, and trains nothing."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    access = {name: os.environ[name] for name in names} | {"GRAFT_BUCKET": s3.bucket}
    first = Place(undisturbed.root, undisturbed.environment | access)
    done = first.graft("compare")
    assert done.returncode == 0, done.stdout + done.stderr
    second = again(undisturbed, tmp_path / "clone")
    shutil.rmtree(second.root / ".graft" / "compare" / "nets")
    done = Place(second.root, second.environment | access).graft("compare")
    assert done.returncode == 0, done.stdout + done.stderr
    assert answers(second) == answers(undisturbed)
    assert not list((second.root / ".graft" / "compare").glob("nets/*"))  # no source was learned


def test_a_forecast_says_what_to_do_and_how_good_it_is(undisturbed: Place, tmp_path: Path) -> None:
    place = undisturbed.copy(tmp_path / "clone")
    done = place.graft("forecast", "outlines", "--labels", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((place.root / "reports" / "forecast.json").read_text())
    [target] = told["targets"]
    assert target["what"] in ("take", "none", "cannot tell") and target["advice"] in done.stdout
    assert [one["source"] for one in target["candidates"]] == ["outlines"]
    assert all(one["interval"][0] <= one["gain"] <= one["interval"][1] for one in target["candidates"])
    assert all(one["measured"] for one in target["candidates"])  # by the comparison, with as many labels
    assert told["how_good"] in done.stdout and told["judgement"]["targets"] >= 5


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("compare", "nothing"), 2, "'nothing' is no source of compare.yaml; sources: outlines"),
        (("forecast", "--target", "x"), 2, "'x' is no target of compare.yaml; targets: figures"),
        (("compare", "--labels", "0"), 2, "'0' is no number of labels"),
        (("compare", "--labels", "5000"), 1, "labels_per_class has 5000; a class of figures has"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    undisturbed: Place, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = undisturbed.graft(*arguments)
    assert done.returncode == code and said in done.stderr, done.stdout + done.stderr
