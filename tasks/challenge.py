"""challenge: the exported file against the model that is live, on the same test pictures; may it take its place?"""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft import edge
from graft.core.errors import BadInput
from graft.core.paired import Comparison, compare
from graft.core.sections import Settings
from graft.core.settings import plain
from graft.hub.cache import Pulled
from graft.modalities import image
from tasks.adapters import files, manifest, shards
from tasks.gate import rules
from tasks.workspace import Workspace

WARM_UP, TIMED = 20, 200
SPLITS = ("test", "unseen")


class Check(NamedTuple):
    """One condition of the gate: what it is about, what was found, what would do."""

    about: str
    found: str
    wanted: str
    passed: bool


class Contender(NamedTuple):
    """A file that answers.

    Attributes:
        name: as people call it.
        classes: labels, in the order of its output.
    """

    name: str
    path: Path
    classes: tuple[str, ...]
    options: image.Options


def challenge(
    workspace: Workspace, settings: Settings, live: Pulled | None, earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Compare, and write reports/challenge.json.

    Both files answer the raw test pictures, seen groups and unseen ones, each prepared as that file wants it; a class
    that the live model does not know counts against it. What was trained later than the split was drawn has never
    seen them; if the split moved, pictures the live model was trained on may be among them, which is in its favour.
    Where the live one is the challenger itself, what made it live is said again: the run was killed after that.

    Args:
        live: the release that stands at the last stage; None if nothing does, and then there is nothing to lose.
        earlier: what a killed attempt wrote. If it was about the same two files its times are taken over: measured
            anew, they would make another release of what may be published already.

    Returns:
        What was written: `checks` (about, found, wanted, passed), `passed`, `comparison`, `challenger`, `live`.

    Raises:
        BadInput: a stage has not run, a file does not run here, or none that graft runs was exported.
    """
    if live and (told := _of_itself(workspace, live)):
        files.write_json(workspace.challenge, told)
        return told
    measured = files.read_json(workspace.export_report)
    if not measured["runs"]:
        raise BadInput("no TFLite file passed the export gate, and graft runs no other; add one to export.formats")
    ours = _challenger(workspace, settings, measured["runs"])
    facts = measured["files"][ours.path.name]
    checks = [_data(workspace), _export(measured), _gain(workspace, settings), _size(facts, settings)]
    report: dict[str, Any] = {
        "challenger": {"file": ours.path.name, "sha256": facts["sha256"], "accuracy": facts["accuracy"]},
        "live": None,
        "comparison": None,
    }
    if live:
        theirs = _incumbent(live)
        right, labels = _right([ours, theirs], workspace)
        seen = compare(right[0], right[1], settings.evaluate.bootstrap, settings.seed)
        ms = _timed(earlier, facts["sha256"], _receipt(live)) or _latency([ours, theirs])
        checks += [_not_worse(seen, theirs.name, settings), _latency_check(ms, theirs.name, settings)]
        report["challenger"] |= {"accuracy": float(right[0].mean()), "median_ms": ms[0]}
        report["live"] = {"name": theirs.name, "receipt": _receipt(live), "accuracy": float(right[1].mean())}
        report["live"] |= {"median_ms": ms[1], "unknown_classes": sorted(set(labels) - set(theirs.classes))}
        report["comparison"] = asdict(seen)
    report |= {"checks": [one._asdict() for one in checks], "passed": all(one.passed for one in checks)}
    files.write_json(workspace.challenge, report)
    return report


def _of_itself(workspace: Workspace, live: Pulled) -> dict[str, Any]:
    """What was written of the live release if it was made of this very dvc.lock and these settings; {} if not."""
    made, path = live.receipt.contents, live.folder / workspace.challenge.name
    lock = hashlib.sha256((workspace.root / "dvc.lock").read_bytes()).hexdigest()
    if made.locks.get("dvc_lock_sha256") != lock or made.params != plain(workspace.params) or not path.exists():
        return {}
    return dict(files.read_json(path))


def reasons(report: dict[str, Any]) -> list[str]:
    """Why the challenger may not go live, a line each; none if it may."""
    return [f"{one['about']}: {one['found']}; {one['wanted']}" for one in report["checks"] if not one["passed"]]


def _challenger(workspace: Workspace, settings: Settings, file: str) -> Contender:
    modality = settings.data.modality
    classes = tuple(files.read_json(workspace.classes)["target"])
    options = edge.options({"name": modality.name, **modality.options})
    return Contender("the challenger", workspace.exported / file, classes, options)


def _incumbent(live: Pulled) -> Contender:
    said = live.receipt.contents.model
    name = f"{live.receipt.name}@{live.receipt.version}"
    return Contender(name, live.folder / said.file, said.classes, edge.options(said.modality))


def _receipt(live: Pulled) -> str:
    return hashlib.sha256((live.folder / "receipt.json").read_bytes()).hexdigest()


def _right(contenders: list[Contender], workspace: Workspace) -> tuple[list[NDArray[np.bool_]], list[str]]:
    """Which test pictures each answers rightly (n,) bool, and the pictures' labels."""
    left_out = {(one.domain, one.path) for one in rules.read(workspace.rejected)}
    rows = [row for row in manifest.read(workspace.manifest, domain="target") if row.split in SPLITS]
    rows = [row for row in rows if ("target", row.path) not in left_out]
    runs = [edge.runner(one.path, one.options.size_px) for one in contenders]
    right = np.zeros((len(contenders), len(rows)), dtype=np.bool_)
    for index, data in enumerate(shards.read(workspace.raw("target"), [row.place for row in rows])):
        prepared: dict[image.Options, NDArray[np.uint8]] = {}
        for number, (one, run) in enumerate(zip(contenders, runs, strict=True)):
            if one.options not in prepared:
                prepared[one.options] = image.decode(data, one.options)
            answer = one.classes[int(run(prepared[one.options]).argmax())]
            right[number, index] = answer == rows[index].label
    return list(right), [row.label for row in rows]


def _latency(contenders: list[Contender]) -> list[float]:
    """Median milliseconds of each for one picture, timed in turns: what slows the machine slows both."""
    runs = [edge.runner(one.path, one.options.size_px) for one in contenders]
    pictures = [np.zeros((one.options.size_px,) * 2 + (3,), np.uint8) for one in contenders]
    spent = np.zeros((len(contenders), WARM_UP + TIMED))
    for turn in range(WARM_UP + TIMED):
        for number, (run, picture) in enumerate(zip(runs, pictures, strict=True)):
            started = time.perf_counter()
            run(picture)
            spent[number, turn] = time.perf_counter() - started
    return [round(float(ms), 3) for ms in np.median(spent[:, WARM_UP:], axis=1) * 1000.0]


def _timed(earlier: dict[str, Any] | None, challenger: str, live: str) -> list[float]:
    """The milliseconds that `earlier` has of these two files; none if it is about others."""
    if not earlier or not earlier["live"]:
        return []
    if (earlier["challenger"]["sha256"], earlier["live"]["receipt"]) != (challenger, live):
        return []
    return [earlier["challenger"]["median_ms"], earlier["live"]["median_ms"]]


def _data(workspace: Workspace) -> Check:
    verdict = files.read_json(workspace.validation)
    warned = sum(one["count"] for one in verdict["found"].values() if one["severity"] == "warn")
    found = f"{'passed' if verdict['passed'] else 'stopped'}, {warned} warnings, {verdict['rejected']} left out"
    return Check("data gate", found, "has to pass", bool(verdict["passed"]))


def _export(measured: dict[str, Any]) -> Check:
    one = measured["files"][measured["runs"]]
    found = f"{one['agreement']:.1%}" if one["passed"] else "; ".join(one["refused_because"])
    return Check("agreement with Keras", f"{measured['runs']} {found}", "export's limits", one["passed"])


def _gain(workspace: Workspace, settings: Settings) -> Check:
    points = float(files.read_json(workspace.evaluation)["gain"]["seen"]["points"])
    least = settings.publish.min_gain_points
    return Check(
        "gain of reuse", f"{points:+z.1f} points", f"at least {least:+z.1f} (publish.min_gain_points)", points >= least
    )


def _size(facts: dict[str, Any], settings: Settings) -> Check:
    mb, most = facts["bytes"] / 1e6, settings.retrain.max_file_mb
    return Check("size", f"{mb:.2f} MB", f"at most {most:g} MB (retrain.max_file_mb)", mb <= most)


def _not_worse(seen: Comparison, live: str, settings: Settings) -> Check:
    margin = settings.retrain.margin_points
    found = (
        f"{seen.points:+z.1f} points [{seen.ci95[0]:+z.1f}, {seen.ci95[1]:+z.1f}] on {seen.rows} pictures "
        f"(McNemar p = {seen.p_value:.2g})"
    )
    wanted = f"lower end above {-margin:.1f} (retrain.margin_points)"
    return Check(f"accuracy against {live}", found, wanted, seen.ci95[0] > -margin)


def _latency_check(ms: list[float], live: str, settings: Settings) -> Check:
    ratio, most = ms[0] / ms[1], settings.retrain.max_latency_ratio
    found = f"{ms[0]:.2f} ms against {ms[1]:.2f} ms of {live}: {ratio:.2f} times"
    return Check("latency", found, f"at most {most:g} times (retrain.max_latency_ratio)", ratio <= most)
