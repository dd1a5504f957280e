"""Jobs through a real store: done once, whoever does them; and refused where the figures would differ."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from graft.core.errors import EnvironmentProblem, GateRefused
from graft.hub import bundles
from graft.hub.bucket import Bucket
from tasks import jobs
from tasks.jobs import Desk, Job, Wire
from tests.hub import little_release


@pytest.fixture
def bucket(credentials: None, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A new, empty bucket, and a cache of one's own."""
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    yield from little_release.opened(f"jobs-{abs(hash(tmp_path)) % 10**9}", monkeypatch, s3.endpoint)


@pytest.fixture
def job(bucket: Bucket, tmp_path: Path) -> Job:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "text").write_text("reuse")
    return Job("shout", "a shout", {"words": bundles.send(bucket, tmp_path / "words")}, {"times": 2}, jobs.code())


def shout(desk: Desk) -> None:
    (desk.made / "said").write_text((desk.reads["words"] / "text").read_text().upper() * desk.said["times"])
    (desk.made / "done").write_text("")


def test_what_a_job_made_comes_with_its_last_file_last(bucket: Bucket, job: Job, tmp_path: Path) -> None:
    assert not jobs.collect(bucket, job, tmp_path / "into", "done") and not (tmp_path / "into").exists()
    jobs.do(job, shout)
    assert jobs.collect(bucket, job, tmp_path / "into", "done")
    assert (tmp_path / "into" / "said").read_text() == "REUSEREUSE" and (tmp_path / "into" / "done").exists()
    assert list((jobs.shelf() / "jobs").glob("[!.]*")) == []  # nothing is kept of what was done


def test_a_job_that_was_done_is_not_done_again(bucket: Bucket, job: Job, tmp_path: Path) -> None:
    times: list[int] = []

    def counted(desk: Desk) -> None:
        times.append(1)
        shout(desk)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: jobs.do(job, counted), range(4)))
    assert times == [1]


def test_what_was_kept_of_a_job_that_broke_off_is_there_when_it_is_done_again(bucket: Bucket, job: Job) -> None:
    def breaks_off(desk: Desk) -> None:
        (desk.kept / "half").write_text("")
        (desk.made / "half").write_text("")
        raise EnvironmentProblem("it broke off")

    def goes_on(desk: Desk) -> None:
        assert (desk.kept / "half").exists() and not list(desk.made.iterdir())

    with pytest.raises(EnvironmentProblem, match="it broke off"):
        jobs.do(job, breaks_off)
    jobs.do(job, goes_on)


def test_nothing_is_kept_of_a_job_that_was_refused(bucket: Bucket, job: Job) -> None:
    def refuses(desk: Desk) -> None:
        (desk.kept / "half").write_text("")
        raise GateRefused("it diverged")

    with pytest.raises(GateRefused, match="it diverged"):
        jobs.do(job, refuses)
    assert list((jobs.shelf() / "jobs").glob("[!.]*")) == []


def test_jobs_that_made_the_same_are_collected_side_by_side_and_leave_nothing_else(
    bucket: Bucket, job: Job, tmp_path: Path
) -> None:
    jobs.do(job, shout)
    with ThreadPoolExecutor(8) as pool:
        done = pool.map(lambda n: jobs.collect(bucket, job, tmp_path / "into" / str(n), "done"), range(16))
    assert all(done) and sorted(path.name for path in (tmp_path / "into").iterdir()) == sorted(map(str, range(16)))


def test_the_key_is_that_of_what_decides_the_result(job: Job) -> None:
    assert job._replace(label="another", attempt="second").key == job.key
    changed = ({"work": "whisper"}, {"reads": {}}, {"said": {"times": 3}}, {"code": "0" * 32})
    assert len({job.key, *(job._replace(**one).key for one in changed)}) == 5


def test_a_worker_with_other_code_refuses(bucket: Bucket, job: Job) -> None:
    with pytest.raises(EnvironmentProblem, match="install the same commit and requirements.lock on every machine"):
        jobs.do(job._replace(code="0" * 32), shout)


def test_without_a_store_it_says_so(no_aws: None, job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRAFT_BUCKET", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentProblem, match="no store is named; set GRAFT_BUCKET"):
        jobs.do(job, shout)


def test_what_is_told_comes_in_order_and_that_it_may_stop_is_heard(bucket: Bucket, job: Job) -> None:
    worker, giver = Wire(bucket, job), Wire(bucket, job)
    assert giver.told() == [] and not worker.is_stopped()
    worker.tell(0, 0.25)
    worker.tell(2, 0.75)  # as if the one before were on its way still
    assert giver.told() == [0.25]
    worker.tell(1, 0.5)
    worker.tell(0, 0.25)  # done again after its worker was lost
    assert giver.told(1) == [0.5, 0.75] and giver.told(3) == []
    giver.stop()
    assert worker.is_stopped() and giver.told() == [0.25, 0.5, 0.75]
    again = Wire(bucket, job._replace(attempt="second"))  # a command that was interrupted, and is typed again
    assert not again.is_stopped() and again.told() == [0.25, 0.5, 0.75]
