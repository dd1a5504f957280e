"""How ingest, validate and extract grow with the number of pictures: python -m benchmarks.scale [N ...]

For each N a folder of N generated pictures of 64 x 64 pixels is made, half of them each domain's, ten classes; then the
three stages run on it, each in a process of its own. What a stage took is kept in .graft/benchmarks/scale, so that a
killed run goes on with the next stage; `--again` forgets it. Writes results/scale.json and docs/img/growth.png.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import record

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".graft" / "benchmarks" / "scale"
PLOT = ROOT / "docs" / "img" / "growth.png"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
STAGES = ("ingest", "validate", "extract")
ROLES, N_CLASSES, EDGE_PX, BATCH, SEED = ("source", "target"), 10, 64, 500, 0
TIME_BAR, MEMORY_BAR, SMALLEST_JUDGED = 1.3, 2.0, 10_000
PACKAGES = ("numpy", "pandas", "pyarrow", "pillow", "scipy", "scikit-learn", "cleanlab", "great-expectations")
Rows = list[dict[str, Any]]


def main() -> None:
    """Measure what has not been measured yet, and write what all of it comes to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--again", action="store_true", help="measure anew what was measured before")
    given = parser.parse_args()
    for n in given.sizes:
        if given.again:
            shutil.rmtree(KEPT / str(n), ignore_errors=True)
        for row in measured(KEPT / str(n), n):
            print(row, flush=True)
    rows = kept(KEPT)
    record.write("scale", PACKAGES, [SEED], {"rows": rows, "grows": {stage: grown(rows, stage) for stage in STAGES}})
    draw(rows, PLOT)


def measured(folder: Path, n: int) -> Iterator[dict[str, Any]]:
    """What each stage took with `n` pictures; data are removed once the last one has ended."""
    done = [folder / f"{stage}.json" for stage in STAGES]
    if not all(one.exists() for one in done):
        prepare(folder, n)
    for stage, file in zip(STAGES, done, strict=True):
        if not file.exists():
            row = {"n": n, "stage": stage, **run(folder / "workspace", stage)}
            _write_json(file, row)
        yield json.loads(file.read_text(encoding="utf-8"))
    (folder / "made").unlink(missing_ok=True)
    for name in ("pictures", "workspace"):
        shutil.rmtree(folder / name, ignore_errors=True)


def prepare(folder: Path, n: int) -> None:
    """The pictures, and a workspace that takes them; nothing is done twice."""
    if (folder / "made").exists():
        return
    for index, role in enumerate(ROLES):
        paint(folder / "pictures" / role, n // len(ROLES), SEED + index)
    place = folder / "workspace"
    place.mkdir(exist_ok=True)
    shutil.copy(ROOT / "dvc.yaml", place)
    shutil.copy(ROOT / "params.yaml", place)
    values = [f"data.{role}.origin={{name: folder, root: {folder / 'pictures' / role}}}" for role in ROLES]
    code = (
        "import sys, pathlib; from graft.core import settings; from tasks.choices import Choices; "
        "settings.set_values(pathlib.Path('params.yaml'), sys.argv[1:], Choices.of)"
    )
    subprocess.run([sys.executable, "-c", code, *values], cwd=place, env=environment(), check=True)
    (folder / "made").touch()


def paint(folder: Path, n: int, seed: int) -> None:
    """Write `n` PNG pictures as folder/<class>/<number>.png, the same for the same seed; those that are there stay."""
    for label in range(N_CLASSES):
        (folder / f"class-{label}").mkdir(parents=True, exist_ok=True)
    for start in range(0, n, BATCH):
        count = min(BATCH, n - start)
        last = folder / f"class-{(start + count - 1) % N_CLASSES}" / f"{start + count - 1:07d}.png"
        if not last.exists():
            for number, pixels in enumerate(pictures(count, start, seed), start=start):
                path = folder / f"class-{number % N_CLASSES}" / f"{number:07d}.png"
                aside = path.with_name(f".{path.name}.part")
                aside.write_bytes(_png(pixels))
                aside.rename(path)


def pictures(n: int, start: int, seed: int) -> NDArray[np.uint8]:
    """(n, 64, 64, 3): five by five colours drawn at random about those of the class, smoothed, and some grain."""
    generator = np.random.default_rng((seed, start))
    tints = np.random.default_rng(100 + seed).integers(-60, 61, (N_CLASSES, 5, 5, 3))
    labels = (start + np.arange(n)) % N_CLASSES
    coarse = np.clip(tints[labels] + generator.integers(0, 256, (n, 5, 5, 3)), 0, 255).astype(np.float32)
    at = np.linspace(0, 4, EDGE_PX, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(5, dtype=np.float32)))
    smooth = np.einsum("yi,nijc,xj->nyxc", weights, coarse, weights, optimize=True)
    smooth += generator.integers(-8, 9, (n, EDGE_PX, EDGE_PX, 1), np.int8)
    drawn: NDArray[np.uint8] = np.clip(smooth, 0, 255).astype(np.uint8)
    return drawn


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def run(place: Path, stage: str) -> dict[str, Any]:
    """Seconds, processor seconds with those of its children, and peak memory in MB of one stage.

    Raises:
        RuntimeError: the stage failed.
    """
    load, started = os.getloadavg()[0], time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", f"tasks.{stage}"], cwd=place, env=environment())
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{stage} ended with {child.returncode} in {place}")
    said = json.loads((place / ".graft" / "stages" / f"{stage}.json").read_text(encoding="utf-8"))
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_mb": said["peak_memory_mb"],
        "load_before": round(load, 1),
    }


def environment() -> dict[str, str]:
    """That of this process without what would change where a stage looks."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GRAFT_", "PREFECT_", "AWS_"))}
    return plain | {"PYTHONPATH": str(ROOT)}


def kept(folder: Path) -> Rows:
    """All that has been measured, by stage and size."""
    rows = [json.loads(file.read_text(encoding="utf-8")) for stage in STAGES for file in folder.glob(f"*/{stage}.json")]
    return sorted(rows, key=lambda row: (STAGES.index(row["stage"]), row["n"]))


def grown(rows: Rows, stage: str) -> dict[str, Any]:
    """How a stage grows from the smallest size that is judged to the largest: exponents and ratios; {} with one size.

    Exponents are slopes in double logarithms; 1 is proportional to the number of pictures, 0 does not grow. Processor
    seconds are judged: seconds on the clock also tell what else the machine did.
    """
    mine = [row for row in rows if row["stage"] == stage and row["n"] >= SMALLEST_JUDGED]
    if len(mine) < 2:
        return {}
    first, last = mine[0], mine[-1]
    per_picture = [row["cpu_seconds"] / row["n"] for row in (first, last)]
    time_ratio, memory_ratio = per_picture[1] / per_picture[0], last["peak_memory_mb"] / first["peak_memory_mb"]
    return {
        "from": first["n"],
        "to": last["n"],
        "time_exponent": exponent(mine, "cpu_seconds"),
        "memory_exponent": exponent(mine, "peak_memory_mb"),
        "time_per_picture_ratio": round(time_ratio, 2),
        "memory_ratio": round(memory_ratio, 2),
        "ms_per_further_picture": round(
            1000 * (last["cpu_seconds"] - first["cpu_seconds"]) / (last["n"] - first["n"]), 3
        ),
        "bars_met": {"time": time_ratio <= TIME_BAR, "memory": memory_ratio <= MEMORY_BAR},
    }


def exponent(rows: Rows, what: str) -> float:
    """Slope of log `what` over log n."""
    slope = np.polyfit(np.log([row["n"] for row in rows]), np.log([row[what] for row in rows]), 1)[0]
    return round(float(slope), 3)


def draw(rows: Rows, path: Path) -> None:
    """Milliseconds per picture and peak memory over the number of pictures, a line per stage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels: Sequence[Any] = figure.subplots(1, 2)
    for stage, marker in zip(STAGES, "os^", strict=True):
        mine = [row for row in rows if row["stage"] == stage]
        sizes = [row["n"] for row in mine]
        panels[0].plot(sizes, [1000 * row["cpu_seconds"] / row["n"] for row in mine], f"{marker}-", label=stage)
        panels[1].plot(sizes, [row["peak_memory_mb"] for row in mine], f"{marker}-", label=stage)
    panels[0].set(xscale="log", yscale="log", xlabel="pictures", ylabel="processor milliseconds per picture")
    panels[1].set(xscale="log", xlabel="pictures", ylabel="peak memory, MB", ylim=(0, None))
    panels[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _write_json(path: Path, value: Any) -> None:
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(json.dumps(value) + "\n", encoding="utf-8")
    aside.rename(path)


if __name__ == "__main__":
    main()
