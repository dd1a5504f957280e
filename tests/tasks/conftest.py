"""A little workspace with real DVC and real git, run once, and the bucket that keeps its objects."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters import dvc, dvc_cache, dvc_config
from tasks.workspace import Workspace
from tests import store
from tests.store import Server

ROOT = Path(__file__).parents[2]
MAKE = """
import json, pathlib, random
numbers = random.Random(0)
for name, n_bytes in {"source/one.tar": 300_000, "source/two.tar": 200_000, "manifest": 5_000}.items():
    path = pathlib.Path("data") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(numbers.randbytes(n_bytes))
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("reports/ingest.json").write_text(json.dumps({"files": 3}))
"""
TRAIN = """
import pathlib
path = pathlib.Path("models/exported/model.tflite")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_bytes(pathlib.Path("data/source/one.tar").read_bytes()[::-1])
(path.parent / "labels.txt").write_text("apple")
"""
STAGES = """
stages:
  ingest:
    cmd: python make.py
    deps: [make.py]
    outs: [data/source, data/manifest]
    metrics: [reports/ingest.json: {cache: false}]
  export:
    cmd: python train.py
    deps: [train.py, data/source]
    outs: [models/exported]
artifacts:
  classifier: {path: models/exported, type: model}
"""


class Stored:
    """A workspace, the bucket that keeps its objects, and a client that goes to the server and not through a relay."""

    def __init__(self, root: Path, bucket: str, client: Any) -> None:
        self.root, self.bucket, self.client = root, bucket, client
        self.place = Workspace(root)
        self.cache = root / ".dvc" / "cache"

    def keys(self) -> set[str]:
        """What the bucket holds, by keys without DVC's prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=dvc_config.PREFIX)
        return {item["Key"].removeprefix(dvc_config.PREFIX) for page in pages for item in page.get("Contents", ())}

    def read(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=dvc_config.PREFIX + key)["Body"].read()
        return body

    def write(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=dvc_config.PREFIX + key, Body=data)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=dvc_config.PREFIX + key)

    def items(self) -> dict[str, dvc_cache.Item]:
        """Every object that dvc.lock refers to, by its path; needs the cache."""
        tops = dvc_cache.outputs(self.root)
        below = [dvc_cache.files(top, (self.cache / top.key).read_bytes()) for top in tops if top.is_folder]
        return {item.path: item for item in [*tops, *(one for some in below for one in some)]}

    def clone(self, to: Path) -> "Stored":
        """What a colleague has after git clone: no cache, no outputs."""
        git(self.root.parent, "clone", "-q", str(self.root), str(to))
        return Stored(to, self.bucket, self.client)

    def files(self) -> dict[str, bytes]:
        """The outputs in the workspace."""
        found = [path for top in ("data", "models") for path in (self.root / top).rglob("*") if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in found if path.name[0] != "."}


def git(folder: Path, *arguments: str) -> str:
    """Run git as nobody in particular; what it printed."""
    who = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "protocol.file.allow=always")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *who, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The dvc program, as a user types it."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=dvc.environment(root), capture_output=True, text=True, timeout=120)


def damage(path: Path) -> None:
    """Flip a bit, and leave the mode by which DVC takes a cached object for whole."""
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    path.chmod(0o444)


class Place:
    """A workspace in which a user types commands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def graft(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "graft"), *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which `dvc repro` ended and everything is committed. Nobody changes it: copy it first."""
    root = tmp_path_factory.mktemp("little") / "clone"
    (root / ".dvc").mkdir(parents=True)
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, root / ".dvc" / name)
    texts = {"make.py": MAKE, "train.py": TRAIN, "dvc.yaml": STAGES, "params.yaml": "{}\n"}
    for name, text in (texts | {".gitignore": "/data/\n/models/\n.graft/\n*.part\n"}).items():
        (root / name).write_text(text)
    git(root, "init", "-q")
    done = run_dvc(root, "repro")
    assert done.returncode == 0, done.stderr
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return root


@pytest.fixture
def stored(little: Path, s3: Server, credentials: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stored:
    """A copy of the little workspace, and the server's bucket with nothing of DVC's in it."""
    (tmp_path / "aws").touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))  # DVC takes no /dev/null
    monkeypatch.setenv("GRAFT_BUCKET", s3.bucket)
    root = tmp_path / "clone"
    shutil.copytree(little, root, symlinks=True)
    made = Stored(root, s3.bucket, store.connect(s3))
    for key in made.keys():
        made.delete(key)
    return made
