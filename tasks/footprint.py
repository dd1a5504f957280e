"""How much memory an exported file needs: a fresh process loads the file and answers a few pictures, nothing else."""

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graft.core.errors import EnvironmentProblem
from graft.core.plugins import Plugin, resolve
from graft.core.processes import STARTED_BY, die_with_parent
from graft.core.sections import Choice

PICTURE, ANSWERS = "picture.npy", 3
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_mb(plugin: Plugin, content: dict[str, bytes], picture: NDArray[np.uint8]) -> float | None:
    """Millions of bytes of memory that are resident at the most, above those of the same process before the file.

    The runtime, Python and NumPy are loaded by then and not counted; the file's own bytes are.

    Args:
        picture: (1, size, size, 3) uint8, which is answered a few times.

    Returns:
        None where the system (Linux does) does not tell.

    Raises:
        EnvironmentProblem: the process failed.
    """
    if not RESET.exists():
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / PICTURE, picture)
        for file, data in content.items():
            (folder / file).write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-m", "tasks.footprint", plugin.name, plugin.options.precision, name],
            cwd=Path(__file__).parents[1],
            env=os.environ | {STARTED_BY: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise EnvironmentProblem(f"the process that measures memory of {', '.join(content)} failed: {last}")
    return round(int(done.stdout.split()[-1]) / 1e6, 1)


def _peak_bytes(name: str, precision: str, folder: Path) -> int:
    plugin = resolve("graft.exports", Choice.model_validate({"name": name, "precision": precision}), "export")
    picture = np.load(folder / PICTURE, allow_pickle=False)
    importlib.import_module(plugin.module.RUNTIME)
    RESET.write_text("5")  # the greatest so far is forgotten: imports had their own
    before = _resident("VmRSS")
    content = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != PICTURE}
    run = plugin.module.run(plugin.options, content)
    for _ in range(ANSWERS):
        run(picture)
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at the most."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(lines[field].split()[0])


if __name__ == "__main__":
    die_with_parent()
    print(_peak_bytes(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
