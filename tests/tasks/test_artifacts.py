"""GTO and DVC's own ways to a model work on what graft pushed: versions from git, files from the store."""

import subprocess
import sys
from pathlib import Path

from tasks import remote
from tasks.adapters import dvc
from tests.tasks.conftest import Stored, git, run_dvc
from tests.tasks.test_audit import quiet


def test_a_registered_version_is_got_by_name_stage_and_path(stored: Stored, tmp_path: Path) -> None:
    remote.push(stored.place, quiet())
    origin, elsewhere = tmp_path / "origin.git", tmp_path / "elsewhere"
    elsewhere.mkdir()
    git(tmp_path, "init", "-q", "--bare", str(origin))
    git(stored.root, "remote", "add", "origin", str(origin))
    gto(stored.root, "register", "classifier", "--version", "v1.0.0")
    gto(stored.root, "assign", "classifier", "--version", "v1.0.0", "--stage", "prod")
    git(stored.root, "push", "-q", "--tags", "origin", "HEAD")

    where = ("--config", str(stored.root / ".dvc" / "config.local"))
    got = [
        ("artifacts", "get", str(origin), "classifier", "--stage", "prod", "-o", "by-stage", *where),
        ("get", str(origin), "models/exported", "--rev", "classifier@v1.0.0", "-o", "by-path", *where),
    ]
    for command in got:
        done = run_dvc(elsewhere, *command)
        assert done.returncode == 0, done.stderr
    wanted = {path.name: path.read_bytes() for path in (stored.root / "models" / "exported").iterdir()}
    for name in ("by-stage", "by-path"):
        assert {path.name: path.read_bytes() for path in (elsewhere / name).iterdir()} == wanted

    named = ("--remote", "store", "--remote-config", f"url=s3://{stored.bucket}/dvc", "verify=true")
    done = run_dvc(elsewhere, "artifacts", "get", str(origin), "classifier", "-o", "by-url", *named)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (elsewhere / "by-url").iterdir()} == set(wanted)


def gto(root: Path, *arguments: str) -> None:
    command = [str(Path(sys.executable).parent / "gto"), *arguments]
    names = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t.example"}
    environment = dvc.environment(root) | names | {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t.example"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
