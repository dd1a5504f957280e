"""Trainings on other machines, by the real commands: what comes of them is what one machine would have found."""

import hashlib
import json
import signal
from pathlib import Path

import pytest

from flows import engines
from graft.core.errors import EnvironmentProblem
from tasks.adapters import manifest
from tasks.ahead import WHOLE
from tests.cluster import dask_workers, with_store
from tests.conftest import Finished, Place, wait_until
from tests.flows.test_tune import SEARCH, ended
from tests.origins.test_s3 import small, upload
from tests.relay import relay
from tests.store import Server


@pytest.mark.sweep
def test_what_is_trained_elsewhere_ends_as_what_is_trained_here(
    copied: Place, s3: Server, credentials: None, tmp_path: Path
) -> None:
    """A cluster of this machine: finetune and curve find every training done, and report the same of them."""
    copied.set("finetune.smaller=[quantized]", "curve.enabled=true", "curve.labels=[2, 9]", "curve.seeds=1")
    here = copied.copy(tmp_path / "here")
    for stage in ("finetune", "curve"):
        alone = here.run("python", "-m", f"tasks.{stage}")
        assert alone.returncode == 0, alone.stdout + alone.stderr
    place = with_store(Place(copied.root, copied.environment | {"GRAFT_CACHE": str(tmp_path / "cache")}), s3)
    done = place.graft("run", "--from", "finetune", "--until", "curve", "--on", "dask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train seeds on dask" in done.stdout and "train the curve on dask" in done.stdout
    for report in ("finetune", "curve"):
        theirs, ours = ((root / "reports" / f"{report}.json").read_text() for root in (copied.root, here.root))
        assert json.loads(theirs) == json.loads(ours), report
    assert list((copied.root / ".graft" / "trainings").iterdir()) == []


def of_pictures(root: Path) -> dict[str, bytes]:
    """All that the stages validate and extract leave."""
    reports, data = root / "reports", root / "data"
    written = [reports / name for name in ("validation.json", "validation.html")]
    written += [reports / "plots" / name for name in ("profile.csv", "projection.csv")]
    written += [data / "findings.parquet", data / "rejected.parquet", *(root / "features").rglob("*.*")]
    return {str(one.relative_to(root)): one.read_bytes() for one in written}


@pytest.mark.sweep
def test_pictures_measured_and_decoded_elsewhere_are_those_of_one_machine(
    place: Place, finished: Finished, s3: Server, credentials: None, tmp_path: Path
) -> None:
    """Nothing is done where nothing has changed; nothing is left over; and a cluster of this machine, which finds all
    jobs done, has no say in how many threads the stage then has."""
    (tmp_path / "cluster").mkdir()
    there = with_store(place, s3)
    with dask_workers(there, tmp_path / "cluster", 2) as (address, _):
        ours = Place(there.root, there.environment | {"DASK_SCHEDULER_ADDRESS": address})
        done = ours.graft("run", "--until", "extract", "--on", "dask")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "measure pictures on dask" in done.stdout and "decode pictures on dask" in done.stdout
        shelves = list((tmp_path / "cluster").glob("worker?/cache/spread/bundles/[!.]*"))
        assert len({one.name for one in shelves}) == 2  # a raw shard of each domain, for both stages
        again = ours.graft("run", "--from", "ingest", "--until", "extract", "--on", "dask")
        assert again.returncode == 0 and "on dask" not in again.stdout, again.stdout + again.stderr
    assert of_pictures(ours.root) == of_pictures(finished[0].root)
    own = there.graft("run", "--from", "extract", "--until", "extract", "--on", "dask")
    assert own.returncode == 0 and "decode pictures on dask" in own.stdout, own.stdout + own.stderr
    assert of_pictures(ours.root) == of_pictures(finished[0].root)
    assert not list((ours.root / ".graft" / "ahead").iterdir())


@pytest.mark.sweep
def test_a_shard_whose_worker_is_lost_is_measured_by_another(
    place: Place, finished: Finished, s3: Server, credentials: None, tmp_path: Path
) -> None:
    """Two shards, a worker each; one is held from the start, and dies when the other has done its own."""
    (tmp_path / "cluster").mkdir()
    there = with_store(place, s3)
    with dask_workers(there, tmp_path / "cluster", 2) as (address, workers):
        ours = Place(there.root, there.environment | {"DASK_SCHEDULER_ADDRESS": address})
        workers[0].send_signal(signal.SIGSTOP)
        process = ours.begin("graft", "run", "--until", "validate", "--on", "dask")
        ahead = ours.root / ".graft" / "ahead"
        wait_until(lambda: list(ahead.rglob(WHOLE)) or process.poll() is not None, 200, "the other worker's shard")
        assert process.poll() is None and len(list(ahead.rglob(WHOLE))) == 1
        workers[0].kill()
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()
    for name in ("reports/validation.json", "data/findings.parquet"):
        assert (ours.root / name).read_bytes() == (finished[0].root / name).read_bytes()


@pytest.mark.sweep
def test_a_bucket_s_pictures_are_asked_for_by_workers_alone(
    place: Place, s3: Server, credentials: None, tmp_path: Path
) -> None:
    """The command, behind a relay that keeps count, lists them and takes what the workers bring."""
    objects = small("meadow", 40)
    upload(s3, objects)
    (tmp_path / "cluster").mkdir()
    there = with_store(place, s3)
    there.set(f"data.target.origin={{name: s3, uri: 's3://{s3.bucket}/meadow'}}")
    with dask_workers(there, tmp_path / "cluster", 2) as (address, _), relay(s3.endpoint) as watched:
        behind = {"DASK_SCHEDULER_ADDRESS": address, "AWS_ENDPOINT_URL_S3": watched.endpoint}
        ours = Place(there.root, there.environment | behind)
        done = ours.graft("run", "--until", "ingest", "--on", "dask")
        assert done.returncode == 0 and "fetch pictures on dask" in done.stdout, done.stdout + done.stderr
        again = ours.graft("run", "--from", "ingest", "--until", "ingest", "--on", "dask")
        assert again.returncode == 0 and "on dask" not in again.stdout, again.stdout + again.stderr
        asked = watched.gets()
    assert asked and not [key for key in asked if key.startswith("meadow/")]
    rows = manifest.stream(ours.root / "data" / "manifest.parquet", "target")
    assert {f"meadow/{row.path}": row.sha256 for row in rows} == {
        key: hashlib.sha256(data).hexdigest() for key, data in objects.items()
    }
    assert not list((ours.root / ".graft" / "ahead").iterdir())


@pytest.mark.sweep
def test_a_search_whose_trials_are_measured_elsewhere_survives_a_lost_worker(
    copied: Place, s3: Server, credentials: None, tmp_path: Path
) -> None:
    copied.set("finetune.steps=3")
    (copied.root / "search.yaml").write_text(SEARCH)
    place = with_store(copied, s3)
    (tmp_path / "cluster").mkdir()
    with dask_workers(place, tmp_path / "cluster", 2) as (address, workers):
        jobs = tmp_path / "cluster" / "worker0" / "cache" / "spread" / "jobs"
        searching = Place(place.root, place.environment | {"DASK_SCHEDULER_ADDRESS": address})
        process = searching.begin("graft", "tune", "--arm", "transfer", "--workers", "2", "--on", "dask")
        wait_until(lambda: list(jobs.glob("*/kept/trial/*")), 200, "a trial at the first worker")
        workers[0].kill()
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    found = ended(copied)
    assert len(found) == 2 and all(len(one.steps) == 2 for one in found.values())
    report = json.loads((copied.root / "reports" / "tune.json").read_text())
    assert len(report["arms"]["transfer"]["fresh"]["per_draw"]) == 5


@pytest.mark.parametrize(
    ("on", "address", "said"),
    [
        ("dask", "nonsense", "DASK_SCHEDULER_ADDRESS is 'nonsense'; tcp://scheduler:8786 is what one looks like"),
        ("dask", "tcp://127.0.0.1:1", "no Dask cluster answers at tcp://127.0.0.1:1"),
        ("ray", "ray://[::1]:1", r"no Ray cluster answers at ray://\[::1\]:1"),
        ("ray", "127.0.0.1:99999", "no Ray cluster answers at 127.0.0.1:99999"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_at_once(
    credentials: None, monkeypatch: pytest.MonkeyPatch, on: engines.On, address: str, said: str
) -> None:
    monkeypatch.setenv("GRAFT_BUCKET", "models")
    monkeypatch.setenv(engines.ADDRESS[on], address)
    with pytest.raises(EnvironmentProblem, match=said):
        engines.require(on)


def test_without_a_store_nothing_can_travel(no_aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentProblem, match="no store is named; set GRAFT_BUCKET"):
        engines.require("dask")
    engines.require("local")
