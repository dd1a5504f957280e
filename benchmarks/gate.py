"""What the data gate costs, and what it finds of faults planted in the default data: python -m benchmarks.gate

Seconds of each part at 20,000 pictures, memory at 20,000 and 200,000, and how many flipped labels and copies are found.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from benchmarks import record
from graft.core import settings as settings_file
from graft.core import suspects
from graft.core.dataset import Picture, Request
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import ingest, validate
from tasks.adapters import expectations, manifest, shards
from tasks.choices import Choices
from tasks.gate import copies, examine, page, rules
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[1]
SEEDS = (0, 1, 2)
FLIPPED = 0.05
REVIEWED = 0.1
PLANTED = 200
LARGE = 100_000
"""Pictures of each domain in the large set."""
SECONDS, GROWTH_MB, EXACT, NEAR, FALSE = 25.0, 200, 1.0, 0.95, 0.001
PARTS: tuple[tuple[Any, str], ...] = (
    (examine, "pixels"),
    (copies, "find"),
    (examine, "features"),
    (suspects, "outlyingness"),
    (suspects, "labels"),
    (expectations, "check"),
    (page, "write"),
)


def main() -> None:
    """Make the data, measure in processes of their own, plant the faults, write results/gate.json."""
    with tempfile.TemporaryDirectory(prefix="graft-gate-") as folder:
        default, large = (made_workspace(Path(folder) / name) for name in ("default", "large"))
        settings = settings_file.load(default.params)
        ingest.ingest(default, settings, Choices.of(settings))
        cost = {"default": measured(default)}
        many = replace(Choices.of(settings), source_origin=_drawn(0), target_origin=_drawn(1))
        ingest.ingest(large, settings, many)
        cost["large"] = measured(large)
        results = {
            "cost": cost,
            "growth_mb": {
                what: cost["large"][what] - cost["default"][what] for what in ("parent_mb", "with_children_mb")
            },
            "clean": _clean(default, settings),
            "labels": _flips(default, settings),
            "copies": _copies(default, settings),
        }
    results["bars_met"] = {
        "seconds": cost["default"]["seconds"] <= SECONDS,
        "growth": results["growth_mb"]["with_children_mb"] < GROWTH_MB,
        "exact": results["copies"]["exact"] >= EXACT,
        "near": {name: share >= NEAR for name, share in results["copies"].items() if name != "exact"},
        "false_pairs": results["clean"]["share_called_copies"] <= FALSE,
    }
    record.write("gate", ("pillow", "numpy", "scipy", "great-expectations", "cleanlab"), list(SEEDS), results)


def made_workspace(root: Path) -> Workspace:
    """A folder with the settings of this clone; data come from wherever the caller says."""
    root.mkdir()
    shutil.copy(ROOT / "params.yaml", root)
    return Workspace(root)


# Seconds and memory, each in a fresh process


def measured(workspace: Workspace) -> dict[str, Any]:
    """What validation costs: seconds after imports, in all and by part, and peak memory."""
    command = [sys.executable, "-m", "benchmarks.gate", str(workspace.root)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def cost(root: Path) -> dict[str, Any]:
    """`measured` in the process at hand."""
    import cleanlab.experimental.label_issues_batched  # noqa: F401
    import cleanvision.issue_managers.image_property  # noqa: F401
    import great_expectations  # noqa: F401
    import jinja2  # noqa: F401
    import pandas as pd
    import scipy.spatial  # noqa: F401
    import sklearn.cluster  # noqa: F401
    import sklearn.decomposition  # noqa: F401

    expectations.check(pd.DataFrame({"row": [0], "x": [1]}), {"x": {"column": "x", "between": [0, 2]}}, {})
    workspace = Workspace(root)
    settings = settings_file.load(workspace.params)
    choices = Choices.of(settings)
    seconds: dict[str, float] = {}
    for module, name in PARTS:
        setattr(module, name, _timed(getattr(module, name), f"{module.__name__}.{name}", seconds))
    load = os.getloadavg()[0]
    with _peak() as peak:
        started = time.perf_counter()
        validate.validate(workspace, settings, choices)
        total = time.perf_counter() - started
    return {
        "rows": len(manifest.frame(workspace.manifest)),
        "load_before": round(load, 2),
        "seconds": round(total, 1),
        "seconds_by_part": {name: round(spent, 2) for name, spent in seconds.items()},
        "parent_mb": round(peak["parent"]),
        "with_children_mb": round(peak["all"]),
    }


def _timed(work: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return work(*arguments, **named)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

    return timed


@contextlib.contextmanager
def _peak() -> Iterator[dict[str, float]]:
    """Largest proportional memory, in MB, of this process and of it with its children; a look every half second."""
    peak, over = {"parent": 0.0, "all": 0.0}, threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            own = _megabytes(os.getpid())
            peak["parent"] = max(peak["parent"], own)
            peak["all"] = max(peak["all"], own + sum(map(_megabytes, _children())))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield peak
    over.set()
    thread.join()


def _children() -> list[int]:
    return [
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text(encoding="ascii").split()
    ]


def _megabytes(pid: int) -> float:
    """Memory of a process, pages that it shares counted in part; 0 if it has just gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _drawn(seed: int) -> Plugin:
    """An origin of many small pictures, no two alike: coloured patches in ten arrangements of colour."""

    def fetch(options: object, request: Request) -> Iterator[Picture]:
        generator = np.random.default_rng(seed)
        tints = np.random.default_rng(100 + seed).integers(-60, 61, (10, 4, 4, 3))
        for number in range(LARGE):
            label = number % 10
            coarse = np.clip(tints[label] + generator.integers(0, 256, (4, 4, 3)), 0, 255).astype(np.uint8)
            fine = np.asarray(Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)).astype(np.int16)
            grain = generator.integers(-25, 26, (32, 32, 1), dtype=np.int16)
            buffer = io.BytesIO()
            Image.fromarray(np.clip(fine + grain, 0, 255).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
            yield Picture(f"{label}/{number}.png", str(label), buffer.getvalue())

    return Plugin("drawn", SimpleNamespace(fetch=fetch), None)


# Planted faults


def _clean(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """What is found in the data as they are."""
    found = [one.rule for one in rules.read(workspace.findings)]
    rows = len(manifest.frame(workspace.manifest))
    called = sum(rule in rules.COPIES for rule in found)
    return {
        "share_called_copies": round(called / rows, 5),
        "counts": {rule: found.count(rule) for rule in sorted(set(found))},
    }


def _flips(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Share of 5 % flipped target labels among the tenth of the target rows that are most suspicious."""
    from scipy import stats  # not above: every worker imports this module anew

    sound = manifest.read(workspace.manifest)
    shares = []
    for seed in SEEDS:
        generator = np.random.default_rng(seed)
        target = [index for index, row in enumerate(sound) if row.domain == "target"]
        names = sorted({sound[index].label for index in target})
        flipped = {int(index) for index in generator.choice(target, round(FLIPPED * len(target)), replace=False)}
        rows = list(sound)
        for index in sorted(flipped):
            others = [name for name in names if name != rows[index].label]
            rows[index] = replace(rows[index], label=str(generator.choice(others)))
        manifest.write(workspace.manifest, rows)
        frame = validate.judge(workspace, settings, Choices.of(settings)).frame
        ranked = frame[frame["domain"] == "target"].sort_values("suspicion", ascending=False)
        reviewed = ranked.head(round(REVIEWED * len(ranked)))
        shares.append(float(np.isin(list(flipped), reviewed["row"][reviewed["suspicion"] > 0]).mean()))
    manifest.write(workspace.manifest, sound)
    half = float(stats.t.ppf(0.975, len(shares) - 1) * np.std(shares, ddof=1) / np.sqrt(len(shares)))
    return {
        "flipped": FLIPPED,
        "reviewed": REVIEWED,
        "found": [round(share, 4) for share in shares],
        "mean": round(float(np.mean(shares)), 4),
        "interval_95": [round(float(np.mean(shares)) - half, 4), round(float(np.mean(shares)) + half, 4)],
    }


def _resized(factor: float) -> Callable[[Image.Image], bytes]:
    def change(image: Image.Image) -> bytes:
        edges = round(image.width * factor), round(image.height * factor)
        return _encoded(image.resize(edges, Image.Resampling.LANCZOS))

    return change


def _brighter(factor: float) -> Callable[[Image.Image], bytes]:
    return lambda image: _encoded(ImageEnhance.Brightness(image).enhance(factor))


def _encoded(image: Image.Image, quality: int = 0) -> bytes:
    buffer = io.BytesIO()
    if quality:
        image.save(buffer, "JPEG", quality=quality)
    else:
        image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _all_at_once(image: Image.Image) -> bytes:
    smaller = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
    return _encoded(ImageEnhance.Brightness(smaller).enhance(1.05), 75)


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "exact": _encoded,
    **{f"resized to {factor:g}": _resized(factor) for factor in (0.5, 0.75, 1.5, 2.0)},
    "jpeg 95": lambda image: _encoded(image, 95),
    "jpeg 75": lambda image: _encoded(image, 75),
    "jpeg 50": lambda image: _encoded(image, 50),
    "brightness 0.95": _brighter(0.95),
    "brightness 1.05": _brighter(1.05),
    "resized to 0.75, brightness 1.05, jpeg 75": _all_at_once,
}


def _copies(workspace: Workspace, settings: Settings) -> dict[str, float]:
    """Share of planted copies that are told as copies of what they were made from, by what was done to them."""
    rows = manifest.read(workspace.manifest)
    chosen = np.random.default_rng(SEEDS[0]).permutation(len(rows))[: PLANTED * len(CHANGES)]
    copied: dict[str, tuple[str, str]] = {}
    folders = {role: workspace.raw(role) for role in ("source", "target")}

    def planted(role: str) -> Iterator[Picture]:
        for row in rows:
            if row.domain == role:
                data = next(shards.read(folders[role], [row.place]))
                yield Picture(row.path, row.label, data, row.group, row.split, row.unit)
        for number, index in enumerate(chosen):
            row, change = rows[index], list(CHANGES)[number % len(CHANGES)]
            if row.domain == role:
                path = f"planted/{number}.png"
                copied[f"{role}/{path}"] = change, f"{role}/{row.path}"
                with Image.open(io.BytesIO(next(shards.read(folders[role], [row.place])))) as image:
                    yield Picture(path, row.label, CHANGES[change](image.convert("RGB")), row.group, row.split)

    def origin(role: str) -> Plugin:
        return Plugin("planted", SimpleNamespace(fetch=lambda options, request: planted(role)), None)

    other = made_workspace(workspace.root.with_name("planted"))
    choices = replace(Choices.of(settings), source_origin=origin("source"), target_origin=origin("target"))
    ingest.ingest(other, settings, choices)
    pairs = {
        frozenset((f"{one.domain}/{one.path}", one.partner))
        for one in validate.judge(other, settings, choices).breaches
        if one.rule in rules.COPIES
    }
    found: dict[str, list[bool]] = {name: [] for name in CHANGES}
    for path, (change, original) in copied.items():
        found[change].append(frozenset((path, original)) in pairs)
    return {name: round(float(np.mean(hits)), 4) for name, hits in found.items()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(cost(Path(sys.argv[1]))))
    else:
        main()
