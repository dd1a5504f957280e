"""Releases small enough to publish by the dozen: real files of random bytes, a receipt with all that the gate reads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graft.hub import releases, stages, store
from graft.hub.bucket import Bucket
from graft.hub.receipt import Contents, Model
from graft.hub.releases import Held

FILES = ("labels.txt", "model.tflite")


def draft(
    folder: Path, seed: int, accuracy: float = 0.6, gain: float = 3.0, name: str = "plants"
) -> tuple[Contents, dict[str, Path]]:
    """Contents and files of a release that was not published yet; another seed gives another release."""
    folder = folder / f"draft-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {one: folder / one for one in FILES}
    files["labels.txt"].write_text("oak\nelm\n")
    files["model.tflite"].write_bytes(np.random.default_rng(seed).bytes(3000))
    contents = Contents(
        name=name,
        files={one: releases.describe(path) for one, path in files.items()},
        model=Model(file="model.tflite", modality={"name": "image", "size_px": 32}, classes=("oak", "elm")),
        stages=("candidate", "staging", "prod"),
        gate={"max_drop_points": 1.0, "min_gain_points": 0.0},
        git={"commit": "0" * 40, "changed": False},
        locks={"dvc_lock_sha256": "0" * 64},
        data={"target": {"name": name, "origin": {"name": "shapes"}, "pictures": 40, "md5": "0" * 32}},
        params={"seed": seed},
        metrics={
            "evaluation": {"gain": {"seen": {"points": gain, "ci95": [gain - 1, gain + 1]}}},
            "export": {"files": {"model.tflite": {"accuracy": accuracy}}},
        },
    )
    return contents, files


def published(bucket: Bucket, folder: Path, seed: int, accuracy: float = 0.6, name: str = "plants") -> Held:
    """A new release at its first stage."""
    held = releases.publish(bucket, *draft(folder, seed, accuracy, name=name))
    stages.enter(bucket, held)
    return held


def opened(name: str, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Iterator[Bucket]:
    """A new bucket called `name` behind `endpoint`, named by the environment from now on."""
    place = store.Store(name, endpoint)
    client = store.client(place)
    client.create_bucket(Bucket=name)
    client.close()
    monkeypatch.setenv("GRAFT_BUCKET", name)
    bucket = Bucket(place)
    yield bucket
    bucket.close()
