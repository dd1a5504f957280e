"""A tiny training in a given way, alike wherever it runs; as a program, one that prints what came of it."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import fit, loop, parallel, strategy, vary
from graft.core.budget import Budget
from graft.core.dataset import Progress, Split
from graft.core.fit import TrainData
from graft.core.parallel import Way
from graft.core.processes import Tell
from graft.core.recipe import Recipe
from graft.core.resume import Checkpoint
from graft.core.sections import Train

ROOT = Path(__file__).parents[2]
BUSY = Recipe(ema=0.5, mixup=0.2, cutmix=0.5, clip_norm=1.0, group_lasso=0.01, class_weights="balanced")


def data() -> TrainData:
    """Three classes of 16 px pictures, by colour."""
    generator, labels = np.random.default_rng(0), np.arange(48) % 3
    images = generator.integers(0, 120, (48, 16, 16, 3), dtype=np.uint8)
    images[np.arange(48), 4:12, 4:12, labels] = 230
    split = Split(images, labels)
    return TrainData(split, split.take(np.arange(12)), 3, vary.standard)


def net(kind: str) -> Any:
    """The least backbone, with batch norms or without."""
    import keras

    initial = keras.initializers.HeNormal(seed=0)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    biased = kind != "batch_norm"  # a bias that the norm takes away again learns from rounding errors alone
    x = keras.layers.Conv2D(6, 3, 4, "same", use_bias=biased, kernel_initializer=initial)(x)
    x = keras.layers.BatchNormalization(momentum=0.5)(x) if kind == "batch_norm" else x
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x)), name="backbone")


def trained(
    way: Way,
    kind: str,
    recipe: Recipe,
    progress: Progress = lambda done, total: None,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Any]:
    """A dozen steps of 8 pictures: the losses, the weights, the model, the steps that were told of."""
    told: list[int] = []

    def tell(done: int, total: int) -> None:
        told.append(done)
        progress(done, total)

    with parallel.use(way):
        model = fit.classifier(net(kind), 3, 0)
        given = replace(data(), progress=tell, checkpoint=checkpoint)
        history = fit.train(model, given, Budget(12, 8, 3e-3, 4, 1, recipe))
    weights = [one.tolist() for one in model.get_weights()]
    return {"losses": [row["loss"] for row in history], "weights": weights, "model": model, "started": told[0]}


def together(folder: Path, job: str, tell: Tell) -> dict[str, Any]:
    """One member's part of the same training; the second dies half-way, once, if `job` says so."""
    loop.SAVED_EVERY_S = 0.0
    way = strategy.way_of(Train(strategy="multi_worker"), True, 8, together=True)
    died = folder / "died"

    def progress(done: int, total: int) -> None:
        tell(done / total)
        if job == "die" and done == 6 and not way.chief and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    kept = Checkpoint(folder / ("state" if way.chief else "nowhere"))  # no disk is shared
    told = trained(way, "batch_norm", BUSY, progress, kept)
    return {key: told[key] for key in ("losses", "weights")} | {"replicas": way.replicas, "started": told["started"]}


def environment() -> dict[str, str]:
    """Nobody's settings, no GPU."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GRAFT_", "AWS_", "TF_CONFIG"))}
    return kept | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def main(name: Any, accumulate: str, kind: str) -> None:
    import tensorflow as tf

    device, *_ = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    way = strategy.way_of(Train(strategy=name, accumulate=int(accumulate)), True, 8)
    assert way.replicas == 2
    told = trained(way, kind, BUSY)
    print(json.dumps({key: told[key] for key in ("losses", "weights")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
