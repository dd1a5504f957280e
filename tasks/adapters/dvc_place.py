"""Outputs put where nothing stands yet, as `dvc checkout` would, and most of it done while the cache still fills.

Each file is copied aside as soon as the cache has it. Meanwhile a process with DVC in it starts; at the end it takes
DVC's lock, writes down in DVC's state what every file is, so that nobody reads it again, and moves all into place.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from graft.core.errors import BadInput, EnvironmentProblem, GraftError, one_line
from tasks.adapters import dvc_config
from tasks.adapters.dvc_cache import Item
from tasks.workspace import Workspace

CODE = Path(__file__).parents[2]
AT_ONCE = 1 << 30
LIKE_DVC = {"reflink", "copy"}
TOLD = "ERROR: "


class Placing:
    """Outputs on their way into the workspace. `take` may be called by several threads."""

    def __init__(self, root: Path, cache: Path, outputs: list[Item], aside: Path) -> None:
        self._root, self._cache, self._outputs, self._aside = root, cache, outputs, aside
        self._files: list[Item] = []
        self._places: dict[str, list[str]] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tasks.adapters.dvc_place", str(root)],
            cwd=CODE,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def expect(self, files: Iterable[Item]) -> None:
        """Say which files there will be, one object at several places several times. Before the first `take`."""
        self._files = list(files)
        for file in self._files:
            self._places.setdefault(file.name, []).append(file.path)

    def take(self, item: Item) -> None:
        """Copy an object that the cache has to wherever it belongs, aside.

        Raises:
            EnvironmentProblem: the disk takes no more.
        """
        try:
            for path in self._places.get(item.name, ()):
                to = self._aside / path
                to.parent.mkdir(parents=True, exist_ok=True)
                _copy(self._cache / item.key, to)
        except OSError as error:
            said = one_line(error.strerror or str(error))
            raise EnvironmentProblem(
                f"{self._root} takes no more ({said}); mend that and type the same again"
            ) from None

    def finish(self) -> None:
        """Move everything into place: all or nothing.

        Raises:
            BadInput: something has come to stand there, or DVC knows the outputs by other names.
            EnvironmentProblem: another DVC is at work here, or the disk is full.
        """
        job = {
            "aside": str(self._aside),
            "outputs": [(output.path, output.name) for output in self._outputs],
            "files": [(file.path, file.name) for file in self._files],
        }
        _, said = self._process.communicate(json.dumps(job))
        if code := self._process.returncode:
            last = said.strip().rpartition("\n")[2]
            if last.startswith(TOLD):
                told = last.removeprefix(TOLD)
                raise BadInput(told) if code == BadInput.exit_code else EnvironmentProblem(told)
            raise EnvironmentProblem(f"DVC ended with {code} ({one_line(last) or 'no word'}); type the same again")

    def close(self) -> None:
        """Leave nothing behind, neither a process nor what is aside."""
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._aside, ignore_errors=True)


@contextmanager
def begun(place: Workspace, outputs: list[Item]) -> Iterator[Placing | None]:
    """Placing of `outputs`; None if it takes DVC itself: something stands there, or the cache is to be linked to."""
    if not _is_free(place, outputs):
        yield None
        return
    aside = place.private / f".pull.{os.getpid()}.part"
    placing = Placing(place.root, dvc_config.cache_folder(place.root), outputs, aside)
    try:
        yield placing
    finally:
        placing.close()


def _is_free(place: Workspace, outputs: list[Item]) -> bool:
    """Whether a renaming puts every output into place, and replaces nothing."""
    if not outputs or not dvc_config.link_types(place.root) <= LIKE_DVC:
        return False
    place.private.mkdir(parents=True, exist_ok=True)
    device = place.private.stat().st_dev
    for output in outputs:
        path = PurePosixPath(output.path)
        if path.is_absolute() or ".." in path.parts or os.path.lexists(place.root / path):
            return False
        above = next(folder for folder in (place.root / path).parents if os.path.lexists(folder))
        if not above.is_dir() or above.stat().st_dev != device:
            return False
    return True


def _copy(source: Path, to: Path) -> None:
    """A reflink where the file system can, else a copy that does not leave the kernel."""
    with source.open("rb") as read, to.open("wb") as written:
        with suppress(OSError):  # where it cannot (two file systems), or does half, the other way tells what is wrong
            while os.copy_file_range(read.fileno(), written.fileno(), AT_ONCE):
                pass
            if os.fstat(written.fileno()).st_size == os.fstat(read.fileno()).st_size:
                return
    shutil.copyfile(source, to)


def _place(root: Path, repo: Any, job: dict[str, Any]) -> None:
    """What the process with DVC in it does at the end."""
    from dvc_data.hashfile.hash_info import HashInfo

    aside = Path(job["aside"])
    known = {Path(out.fs_path): out for out in repo.index.outs}
    for path, name in job["outputs"]:
        out = known.get(root / path)
        if out is None or out.hash_info.value != name:
            raise BadInput(f"{path} is not what dvc.lock says any more; type the same again")
        if name.endswith(".dir"):
            (aside / path).mkdir(parents=True, exist_ok=True)  # it may have no files
        elif out.meta.isexec:
            (aside / path).chmod((aside / path).stat().st_mode | 0o100)
    for path, _ in job["outputs"]:
        if os.path.lexists(root / path):
            raise BadInput(f"{path} would be overwritten: it has come there meanwhile; move it away")
    infos = ((str(root / path), HashInfo("md5", name), repo.fs.info(str(aside / path))) for path, name in job["files"])
    repo.state.save_many(infos, repo.fs)
    _move(aside, root, [path for path, _ in job["outputs"]])
    for path, _ in job["outputs"]:
        repo.state.save_link(str(root / path), repo.fs)


def _move(aside: Path, root: Path, paths: list[str]) -> None:
    moved = []
    try:
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (aside / path).rename(root / path)
            moved.append(path)
    except OSError:
        for path in reversed(moved):
            (root / path).rename(aside / path)
        raise


def main(root: Path) -> int:
    """Get DVC ready, read the job from standard input, do it; the exit code, and a line after TOLD, say how it went."""
    from graft.core.processes import die_with_parent
    from tasks.adapters import dvc

    die_with_parent()
    os.environ |= dvc.environment(root)
    import sqlite3

    from dvc.exceptions import DvcException  # type: ignore[import-untyped]
    from dvc.lock import LockError  # type: ignore[import-untyped]
    from dvc.repo import Repo  # type: ignore[import-untyped]

    try:
        repo = Repo(str(root))
        _ = repo.index.outs
        asked = sys.stdin.read()
        if not asked:  # whoever would have asked has gone
            return 0
        with repo.lock:
            _place(root, repo, json.loads(asked))
        repo.close()
        return 0
    except LockError:
        error: GraftError = EnvironmentProblem("another dvc is at work in this workspace; wait for it to end")
    except DvcException as found:
        error = BadInput(one_line(str(found)))
    except (OSError, sqlite3.Error) as found:
        error = EnvironmentProblem(f"{root} takes no more ({one_line(str(found))}); mend that and type the same again")
    except GraftError as found:
        error = found
    print(f"{TOLD}{error}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # to take all of DVC down in order takes 0.15 s, while somebody waits
