"""Workers on machines of their own, as far as one machine can show it."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.engines import ONE_THREAD
from tests.conftest import BIN, Place, stop, wait_until
from tests.store import Server, connect


def with_store(place: Place, s3: Server) -> Place:
    """The workspace, whose commands find a bucket that nobody has put anything into."""
    client, bucket = connect(s3), f"spread-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    client.close()
    access = {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "GRAFT_BUCKET": bucket,
    }
    return Place(place.root, place.environment | access)


@contextmanager
def dask_workers(place: Place, folder: Path, count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and workers that have nothing in common but the store: each has a home and caches of its own."""
    environment = place.environment | ONE_THREAD
    started: list[subprocess.Popen[bytes]] = []

    def start(home: Path, *command: str) -> subprocess.Popen[bytes]:
        home.mkdir()
        own = environment | {"HOME": str(home), "GRAFT_CACHE": str(home / "cache"), "DASK_DISTRIBUTED__LOGGING": "{}"}
        with (home / "log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [str(BIN / "dask"), *command], cwd=home, env=own, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )
        return started[-1]

    try:
        told = folder / "scheduler.json"
        start(folder / "scheduler", "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(told))
        address = wait_until(lambda: told.exists() and json.loads(told.read_text())["address"], 60, "a scheduler")
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        workers = [start(folder / f"worker{n}", "worker", address, *options) for n in range(count)]
        wait_until(
            lambda: all("Registered" in (folder / f"worker{n}" / "log").read_text() for n in range(count)),
            60,
            "workers",
        )
        yield address, workers
    finally:
        for process in reversed(started):
            stop(process)
