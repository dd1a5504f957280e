"""The browser's runtime comes from npm by its hash, once, or not at all."""

import sys
from pathlib import Path

import pytest

from graft.core.errors import EnvironmentProblem
from graft.serving import runtime
from graft.serving.runtime import CORE, UTILS


@pytest.fixture(scope="module")
def shelf(packages: Path) -> Path:
    """With both packages on it."""
    try:
        runtime.files(packages / "npm")
    except EnvironmentProblem as problem:
        if "pinned" in str(problem):
            raise
        pytest.skip(f"the npm registry cannot be reached: {problem}")
    return packages / "npm"


def without_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No package that is installed is found, and no program."""
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "site-packages" not in one])
    monkeypatch.setenv("PATH", str(tmp_path))


def test_what_is_cached_is_used_without_npm(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_npm(monkeypatch, tmp_path)
    found = runtime.files(shelf)
    assert {name.rpartition(".")[2] for name in found} == {"js", "wasm"}
    assert found["litert_wasm_internal.wasm"].startswith(b"\0asm")
    assert b'from "./wasm-utils.js"' in found["litert.js"] and b'from "@' not in found["litert.js"]


def test_an_altered_package_is_not_used(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_npm(monkeypatch, tmp_path)
    for package in (CORE, UTILS):
        name = f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
        data = bytearray((shelf / name).read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / name).write_bytes(data)
    with pytest.raises(
        EnvironmentProblem, match=r"^@litertjs/core@.*: there is no npm; install it.*needs no registry$"
    ):
        runtime.files(tmp_path)


def test_what_is_not_as_pinned_is_not_kept(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "CORE", UTILS._replace(integrity=CORE.integrity))
    with pytest.raises(EnvironmentProblem, match="what the registry sent is not what was pinned"):
        runtime.files(tmp_path)
    assert list(tmp_path.iterdir()) == []
