"""pretrain by two processes that share no disk, as an operator starts them; one of them is killed on the way."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.core import settings as settings_file
from graft.core.team import free_ports
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.workspace import Workspace
from tests.conftest import wait_until
from tests.core import ways

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "data.modality={name: image, size_px: 16}",
    "pretrain.backbone=article",
    "pretrain.epochs=300",  # long enough for a checkpoint on the way ...
    "pretrain.learning_rates=[0.0001]",  # ... and so slow that rounding errors stay what they are
    "pretrain.batch_size=16",
)


def workspace(root: Path, *settings: str) -> Workspace:
    """Four classes of which three can be told apart, packed."""
    root.mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    for name in ("dvc.yaml", "search.yaml", "compare.yaml"):
        shutil.copy(ROOT / name, root)
    settings_file.set_values(root / "params.yaml", [*SETTINGS, *settings], Choices.of)
    place, generator = Workspace(root), np.random.default_rng(0)
    for split, n in (("train", 160), ("validation", 40)):
        images, labels, units = arrays.create(place.packed("source", split), n, (16, 16, 3))
        labels[:], units[:] = np.arange(n) % 4, np.arange(n)
        images[:] = generator.integers(0, 120, (n, 16, 16, 3))
        images[np.arange(n), 4:12, 4:12, labels[:] % 3] = 230
    files.write_json(place.classes, {"source": list("abcd"), "target": list("ab")})
    return place


@contextmanager
def started(place: Workspace, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The stage in a process, which is gone when the block ends."""
    command = [sys.executable, "-m", "tasks.pretrain"]
    environment = ways.environment() | more
    with subprocess.Popen(command, cwd=place.root, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 0, said
    return said


def curve(place: Workspace) -> list[list[float]]:
    with place.curve("pretrain").open() as file:
        return [[float(row[name]) for name in ("step", "loss", "val_loss")] for row in csv.DictReader(file)]


def child_of(pid: int) -> int:
    """The process that trains: the youngest."""
    own = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return max(own)


def seat(ports: list[int], index: int) -> str:
    cluster: dict[str, Any] = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def same(ours: Workspace, theirs: Workspace) -> None:
    np.testing.assert_allclose(curve(ours), curve(theirs), rtol=2e-2)
    made = [models.load(place.pretrained / "article.keras").get_weights() for place in (ours, theirs)]
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2, atol=2e-2)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = workspace(tmp_path_factory.mktemp("alone") / "clone", "train.strategy=single")
    with started(place) as process:
        ended(process)
    return place


@pytest.mark.sweep
def test_processes_that_an_operator_starts_outlive_the_kill_of_one(alone: Workspace, tmp_path: Path) -> None:
    places = [workspace(tmp_path / f"{index}") for index in range(2)]
    ports = free_ports(2)
    with started(places[0], TF_CONFIG=seat(ports, 0)) as chief, started(places[1], TF_CONFIG=seat(ports, 1)) as helper:
        wait_until(lambda: list(places[0].trainings.glob("pretrain-*/article*.state.train")), 240, "a checkpoint")
        os.kill(child_of(helper.pid), signal.SIGKILL)
        said = [ended(process) for process in (chief, helper)]
    assert all("go on from the last checkpoint" in one for one in said)
    same(places[0], alone)
    assert not places[1].pretrained.exists() and not places[1].pretrain_report.exists()  # a helper writes nothing


@pytest.mark.sweep
def test_two_processes_here_leave_what_one_leaves(alone: Workspace, tmp_path: Path) -> None:
    place = workspace(tmp_path / "clone", "train.strategy=multi_worker", "train.workers=2")
    with started(place) as process:
        ended(process)
    same(place, alone)
    assert list(place.trainings.iterdir()) == []
    told = [sorted(files.read_json(one.pretrain_report)["article"]) for one in (place, alone)]
    assert told[0] == told[1]
