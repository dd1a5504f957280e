"""One real workspace, made tiny, run once by the real command; tests look at it or copy it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.core import settings
from tasks.choices import Choices

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TINY = (
    "data.modality={name: image, size_px: 32}",
    "data.source.origin={name: shapes, images_per_class: 40}",
    "data.target.origin={name: shapes, images_per_class: 40}",
    "pretrain.backbone={name: convnet, width: 8}",
    "pretrain.epochs=2",
    "finetune.labels_per_class=5",
    "finetune.steps=24",
    "finetune.evaluations=3",
    "finetune.batch_size=16",
    "finetune.learning_rates=[0.003]",
    "evaluate.seeds=2",
    "evaluate.bootstrap=100",
    "export.min_agreement=0",
    "export.max_accuracy_drop_points=100",
)
COPIED = ("graft", "tasks", "flows", "params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", "requirements.lock")


@dataclass(frozen=True)
class Place:
    """A workspace and the environment of the commands that run in it."""

    root: Path
    environment: dict[str, str]

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a program of the project's environment here."""
        return subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def graft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "graft.cli", *arguments)

    def set(self, *assignments: str) -> None:
        settings.set_values(self.root / "params.yaml", list(assignments), Choices.of)

    def copy(self, to: Path) -> "Place":
        """The same workspace elsewhere, DVC's cache and Prefect's database included."""
        shutil.copytree(self.root, to, symlinks=True)
        return Place(to, self.environment)


def make_place(root: Path, home: Path) -> Place:
    """A fresh clone's content in `root`, tiny settings, a home of its own, a real git repository."""
    root.mkdir(parents=True)
    home.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "GRAFT_", "AWS_", "DVC_", "XDG_", "PYTEST_"))
    }
    environment = kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "PYTHONWARNINGS": "default",
        "HOME": str(home),
        "GRAFT_CACHE": str(home / "cache"),
        "COLUMNS": "160",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    place = Place(root, environment)
    place.set(*TINY)
    for command in (("init", "-q"), ("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=root, env=environment, check=True, capture_output=True)
    return place


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, subprocess.CompletedProcess[str]]]:
    """A workspace in which `graft run` ended, and what it printed. Tests that change something copy it first."""
    folder = tmp_path_factory.mktemp("finished")
    place = make_place(folder / "clone", folder / "home")
    done = place.graft("run")
    assert done.returncode == 0, done.stdout + done.stderr
    yield place, done


@pytest.fixture
def place(finished: tuple[Place, subprocess.CompletedProcess[str]], tmp_path: Path) -> Place:
    """A workspace in which nothing ran yet, but for Prefect's database: making one takes longer than most tests."""
    place = make_place(tmp_path / "clone", tmp_path / "home")
    shutil.copytree(finished[0].root / ".graft" / "prefect", place.root / ".graft" / "prefect")
    return place
