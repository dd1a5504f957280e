"""How fast a training step is, what cached features save, how much memory stages hold: python -m benchmarks.training

    python -m benchmarks.training [FOLDER]

Clones this checkout to FOLDER (a temporary one unless named), runs `graft run` there on the default data and adds up,
ten times a second, the memory of each stage with all its worker processes (proportional set size). What it packed and
pretrained is then measured on one thread, as trainings run: the arithmetic of a step of the default net against matrix
multiplications in the same process, taking turns; and a head trained on features that were computed once against one
for which the whole frozen net runs every epoch.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import record
from tasks.workspace import STAGES

POLL_S = 0.1
TURNS, STEPS, SIZE, BATCH = 9, 10, 1024, 64
PICTURES, EPOCHS = 1000, 30
BARS = {"step_of_matmul": 0.6, "cached_times_faster": 10.0, "stage_mb": 2000.0}
SPEED = "speed"


def main(folder: Path) -> None:
    """Memory of every stage, then the speeds in a process of their own."""
    subprocess.run(["git", "clone", "--quiet", ".", str(folder)], check=True)
    memory = _memory(folder)
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.training", SPEED],
        cwd=folder,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    results = json.loads(told.stdout) | {"stage_mb": memory, "bars": BARS}
    record.write("training", ("tensorflow", "keras", "numpy"), [0], results)


def _memory(folder: Path) -> dict[str, int]:
    """By stage the most megabytes that its process and all below it held at once."""
    graft, most = Path(sys.executable).parent / "graft", dict.fromkeys(STAGES, 0)
    with subprocess.Popen([str(graft), "run"], cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}) as run:
        while run.poll() is None:
            children: dict[int, list[int]] = {}
            stages = {}
            for path in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    words = (path / "cmdline").read_bytes().split(b"\0")
                    here = Path(os.readlink(path / "cwd")).is_relative_to(folder)
                except OSError:
                    continue  # it ended just now
                children.setdefault(parent, []).append(int(path.name))
                module = words[2].decode() if len(words) > 2 and words[1] == b"-m" else ""
                if here and module.removeprefix("tasks.") in most:
                    stages[module.removeprefix("tasks.")] = int(path.name)
            for stage, pid in stages.items():
                most[stage] = max(most[stage], round(_tree_bytes(pid, children) / 1e6))
            time.sleep(POLL_S)
    if run.returncode:
        raise SystemExit(f"graft run ended with {run.returncode}")
    return most


def _tree_bytes(pid: int, children: dict[int, list[int]]) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    held = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    return held + sum(_tree_bytes(child, children) for child in children.get(pid, ()))


def speed() -> dict[str, Any]:
    """Of the workspace in the current folder, on the threads that this process has."""
    from graft.core import fit
    from graft.core.settings import load
    from tasks import stage
    from tasks.adapters import arrays, models
    from tasks.choices import Choices

    workspace = stage.here()
    choices = Choices.of(load(workspace.params))
    spec = choices.modality.module.spec(choices.modality.options)
    net = choices.backbone.module.build(choices.backbone.options, spec, 0)
    rows = arrays.read(workspace.packed("target", "train"))
    step = _step(fit.classifier(net, 20, 0), rows)
    learned = models.load(workspace.pretrained / f"{choices.backbone.name}.keras").get_layer("backbone")
    return step | _cached(learned, rows)


def _step(model: Any, rows: Any) -> dict[str, float]:
    """Arithmetic per second of a step and of matrix multiplications, taking turns."""
    import tensorflow as tf

    from graft.core import fit
    from graft.core.loop import Learner
    from graft.core.recipe import Recipe

    recipe = Recipe()
    learner = Learner(model, fit.cross_entropy(model, recipe), recipe)
    learner.begin()
    learner.at(1e-3)
    batch = tf.cast(rows.images[:BATCH], tf.float32), tf.constant(rows.labels[:BATCH]), tf.constant([0, 0])
    one = tf.random.stateless_uniform((SIZE, SIZE), [0, 1])
    multiply = tf.function(lambda: tf.matmul(one, one))

    def step() -> None:
        for _ in range(STEPS):
            cost, _ = learner.step(*batch)
        cost.numpy()

    def matmul() -> None:
        for _ in range(STEPS):
            product = multiply()
        product.numpy()

    seconds = _turns(step, matmul)
    work = 3 * 2 * BATCH * _multiplications(model.get_layer("backbone"))  # forward, and backward twice that
    rates = [STEPS * work / seconds[0] / 1e9, STEPS * 2 * SIZE**3 / seconds[1] / 1e9]
    return {
        "step_ms": round(1000 * seconds[0] / STEPS, 1),
        "step_gflops": round(rates[0], 1),
        "matmul_gflops": round(rates[1], 1),
        "step_of_matmul": round(rates[0] / rates[1], 3),
    }


def _multiplications(net: Any) -> int:
    """Multiply-adds of the convolutions and dense layers for one picture."""
    import keras

    kernels = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    total = 0
    for layer in net.layers:
        if isinstance(layer, kernels):
            places = 1
            for edge in layer.output.shape[1:-1]:
                places *= edge
            total += places * int(layer.kernel.shape.num_elements())
    return total


def _cached(net: Any, rows: Any) -> dict[str, float]:
    """Seconds of a head's training: features computed once, features included; and the frozen net run every epoch."""
    import keras
    import numpy as np

    from graft.core import batches, fit, layers, loop, vary
    from graft.core.dataset import Split
    from graft.core.recipe import Recipe

    some = rows.take(np.arange(PICTURES))
    steps = EPOCHS * PICTURES // BATCH

    def trained(model: Any, data: Any) -> float:
        learner = loop.Learner(model, fit.cross_entropy(model, Recipe()), Recipe())
        learner.begin()
        source = iter(batches.labelled(data, vary.none, BATCH, 0))
        learner.step(*next(source))  # tracing is no part of it
        started = time.perf_counter()
        for _ in range(steps):
            cost, _ = learner.step(*next(source))
        cost.numpy()
        return time.perf_counter() - started

    model = fit.classifier(net, 20, 0)
    with layers.frozen([net]):
        whole = trained(model, some)
    fit.predict(net, some.images[:BATCH])
    started = time.perf_counter()
    features = fit.predict(net, some.images)
    once = time.perf_counter() - started
    inputs = keras.Input(features.shape[1:])
    head = keras.Model(inputs, keras.layers.Dense(20)(inputs))
    cached = once + trained(head, Split(features, some.labels))  # type: ignore[arg-type]  # features in place of pictures
    return {
        "epochs": EPOCHS,
        "pictures": PICTURES,
        "whole_net_s": round(whole, 2),
        "cached_s": round(cached, 2),
        "cached_times_faster": round(whole / cached, 1),
    }


def _turns(*works: Callable[[], None]) -> list[float]:
    """Median seconds of each; the first turn, which traces, does not count."""
    spent: list[list[float]] = [[] for _ in works]
    for turn in range(TURNS + 1):
        for mine, work in zip(spent, works, strict=True):
            started = time.perf_counter()
            work()
            if turn:
                mine.append(time.perf_counter() - started)
    return [median(one) for one in spent]


if __name__ == "__main__":
    if sys.argv[1:] == [SPEED]:
        print(json.dumps(speed()))
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="graft-training-") as scratch:
            main(Path(scratch) / "clone")
