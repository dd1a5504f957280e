"""validate: the data gate. What breaks a rule is listed and shown, left out, or stops the run before any training."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from graft.core import drift, suspects
from graft.core.dataset import Progress
from graft.core.errors import DataRejected, one_line
from graft.core.sections import Settings
from tasks import ahead, stage
from tasks.adapters import console, files, git, manifest
from tasks.ahead import Ahead
from tasks.choices import Choices
from tasks.gate import copies, examine, page, profile, rules
from tasks.gate.examine import Described, Examination
from tasks.gate.rules import Breach, Notes
from tasks.workspace import ROLES, Workspace

SUFFIXES = {"JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "MPO": (".jpg", ".jpeg", ".mpo"), "PNG": (".png",)}
FEWEST_FOR_SUSPECTS = 40
SCRATCH = "validate-"


@dataclass(frozen=True)
class Verdict:
    """All that the gate found.

    Attributes:
        frame: the manifest with every measured column; `rejected` tells the rows that are left out.
        breaches: pictures first, then classes and domains.
        profiles: histograms by role.
        accepted: those of the accepted data, of the roles that it knows.
        shifts: differences from the accepted data by role.
    """

    frame: Any
    breaches: list[Breach]
    profiles: Mapping[str, Any]
    accepted: Mapping[str, Any]
    shifts: Mapping[str, Any]


def validate(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Measure every picture, ask every rule, and write the verdict, the lists and the page.

    Raises:
        DataRejected: a rule whose severity is `stop` is broken; one line for each.
        BadInput: the accepted profile cannot be read.
    """
    verdict = judge(workspace, settings, choices)
    left_out = [one for one in verdict.breaches if one.severity == "reject"]
    rules.write(workspace.findings, verdict.breaches)
    rules.write(workspace.rejected, left_out)
    names = {role: getattr(settings.data, role).name for role in ROLES}
    profile.write(workspace.profile, verdict.profiles, names)
    stops = lines(verdict.breaches, "stop")
    files.write_json(workspace.validation, _summary(verdict, settings, choices, stops))
    page.write(workspace, verdict, settings, choices)
    if stops:
        raise DataRejected(stops)
    ahead.remove(workspace, "validate")


def judge(workspace: Workspace, settings: Settings, choices: Choices) -> Verdict:
    """The verdict, nothing written but for scratch files: gone at the end, or at the next start if this is killed."""
    workspace.private.mkdir(exist_ok=True)
    for left in workspace.private.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    frame = manifest.frame(workspace.manifest)
    frame = frame.assign(row=range(len(frame)))
    with (
        tempfile.TemporaryDirectory(dir=workspace.private, prefix=SCRATCH) as scratch,
        console.progress("validate") as progress,
        threadpool_limits(1),  # the processes beside this one have all cores busy
    ):
        folders = {role: workspace.raw(role) for role in ROLES}
        half = _share(progress, 0.0, 0.6)
        known = Ahead.of(workspace, "validate", choices.modality)
        seen = examine.pixels(frame, folders, choices.modality, Path(scratch), half, known)
        frame = _with_measures(frame, seen)
        notes: Notes = {}
        frame = _with_copies(frame, seen, settings, notes)
        frame = _with_suspects(frame, seen, Path(scratch), settings, notes, _share(progress, 0.6, 1.0))
        looks = examine.described(seen, drift.LOOK_VALUES)
    found = rules.pictures(frame, choices.modality.module.RULES, settings, notes)
    frame = frame.assign(rejected=frame["row"].isin(rules.rejected(found)))
    profiles = {role: _profile(frame, seen, looks, role) for role in ROLES}
    before = git.show(workspace.root, settings.validate_.accepted, workspace.profile)
    accepted = profile.accepted(before, {role: getattr(settings.data, role).name for role in ROLES})
    shifts = {role: drift.compare(one, profiles[role]) for role, one in accepted.items()}
    found += rules.sets(rules.class_table(frame, settings), rules.CLASSES, settings)
    found += rules.sets(rules.domain_table(frame, shifts, settings), rules.DOMAINS, settings)
    return Verdict(frame, found, profiles, accepted, shifts)


def lines(breaches: list[Breach], severity: str) -> list[str]:
    """One line for each rule that is broken with this severity: the first case, and how many there are."""
    by_rule: dict[str, list[Breach]] = {}
    for one in breaches:
        if one.severity == severity:
            by_rule.setdefault(one.rule, []).append(one)
    return [
        f"{rule}: {one[0].shown} {one[0].reason}" + (f" (and {len(one) - 1} more)" if len(one) > 1 else "")
        for rule, one in by_rule.items()
    ]


def _with_measures(frame: Any, seen: Examination) -> Any:
    """The manifest with what the pixels told, and what the rules read off both."""
    frame = frame.assign(**seen.columns)
    refused, reasons = [""] * len(frame), [""] * len(frame)
    for row in np.flatnonzero((frame["problem"] != "").to_numpy()).tolist():
        refused[row], _, reasons[row] = frame["problem"].iat[row].partition(": ")
    edges = frame[["width", "height"]]
    suffixes = (Path(path).suffix.lower() for path in frame["path"])
    return frame.assign(
        refused=refused,
        problem=reasons,
        shorter_edge=edges.min(axis=1),
        aspect=edges.max(axis=1) / edges.min(axis=1).clip(lower=1),
        suffix_fits=[
            suffix in SUFFIXES.get(kind, (suffix,)) for suffix, kind in zip(suffixes, frame["format"], strict=True)
        ],
    )


def _with_copies(frame: Any, seen: Examination, settings: Settings, notes: Notes) -> Any:
    marks = copies.find(frame, Described(seen.descriptors), settings.validate_.near_copy_distance)
    partners = np.unique([mark.partner for mark in marks]).astype(np.int64)
    facts = frame[["path", "domain", "label", "split"]].iloc[partners].itertuples(index=False, name=None)
    of_row = dict(zip(partners.tolist(), facts, strict=True))
    columns = {rule: np.zeros(len(frame), np.int8) for rule in rules.COPIES}
    for mark in marks:
        columns[mark.rule][mark.row] = 1
        how = "has the pixels of" if not mark.distance else f"looks like (distance {mark.distance:.3f})"
        path, role, label, split = of_row[mark.partner]
        other = f"{role} picture {one_line(path, 120)} (class {one_line(label, 40)}, {split})"
        notes[mark.rule, mark.row] = (f"{how} {other}", f"{role}/{path}", 1.0 - mark.distance)
    for row in np.flatnonzero((frame["refused"] != "").to_numpy()).tolist():
        notes[frame["refused"].iat[row], row] = (frame["problem"].iat[row], "", 1.0)
    return frame.assign(**columns)


def _with_suspects(
    frame: Any, seen: Examination, scratch: Path, settings: Settings, notes: Notes, progress: Progress
) -> Any:
    """Labels that a model trained without the row does not believe, and pictures unlike all others, per domain."""
    suspicion, far = np.zeros(len(frame), np.float32), np.zeros(len(frame), np.float32)
    decoded = (frame["refused"] == "").to_numpy()
    if decoded.sum() < FEWEST_FOR_SUSPECTS:
        return frame.assign(suspicion=suspicion, outlyingness=far)
    features = examine.features(seen.thumbs, np.flatnonzero(decoded), scratch, settings.seed, progress)
    for role in ROLES:
        mine: NDArray[np.bool_] = decoded & (frame["domain"] == role).to_numpy()
        rows = np.flatnonzero(mine)
        given, names = frame["label"].iloc[rows].factorize(sort=True)
        if len(rows) < FEWEST_FOR_SUSPECTS or len(names) < 2:
            continue
        pieces = features.of(mine)
        far[rows] = suspects.outlyingness(pieces)
        told = suspects.labels(pieces, given.astype(np.int64), len(names), settings.seed)
        suspicion[rows] = np.where(told.suspect, 1.0 - told.quality, 0.0)
        for index in np.flatnonzero(told.suspect).tolist():
            believed = one_line(str(names[told.predicted[index]]), 60)
            reason = f"is labelled {one_line(str(names[given[index]]), 60)}, looks like {believed}"
            chance = f"{reason} ({100 * told.probability[index]:.0f} %)"
            notes["label_suspect", int(rows[index])] = (chance, "", 1.0 - float(told.quality[index]))
    return frame.assign(suspicion=suspicion, outlyingness=far)


def _profile(frame: Any, seen: Examination, looks: NDArray[np.float16], role: str) -> Any:
    kept: NDArray[np.bool_] = ((frame["domain"] == role) & (frame["refused"] == "") & ~frame["rejected"]).to_numpy()
    codes, names = frame["label"][kept].factorize()  # one text a class, not one a row
    labels = names.to_numpy(dtype=object)[codes].tolist()
    return drift.profile(labels, seen.columns["brightness"].to_numpy()[kept], looks[kept])


def _summary(verdict: Verdict, settings: Settings, choices: Choices, stops: list[str]) -> dict[str, Any]:
    every = {**rules.PICTURES, **choices.modality.module.RULES, **rules.CLASSES, **rules.DOMAINS}
    counts = Counter(one.rule for one in verdict.breaches)
    frame = verdict.frame
    return {
        "passed": not stops,
        "rows": len(frame),
        "kept": {role: int(((frame["domain"] == role) & ~frame["rejected"]).sum()) for role in ROLES},
        "rejected": int(frame["rejected"].sum()),
        "classes": {role: int(frame["label"][frame["domain"] == role].nunique()) for role in ROLES},
        "rules_evaluated": len(every),
        "found": {
            rule: {"severity": settings.validate_.rules.get(rule, "stop"), "count": counts[rule]}
            for rule in every
            if counts[rule]
        },
        "stops": stops,
        "drift": {
            role: {shift.what: {"effect": round(shift.effect, 4), "p_value": shift.p_value} for shift in told}
            for role, told in verdict.shifts.items()
        },
    }


def _share(progress: Progress, start: float, end: float) -> Progress:
    """Progress of a part of the work, told as thousandths of the whole."""
    return lambda done, total: progress(round(1000 * (start + (end - start) * done / max(1, total))), 1000)


if __name__ == "__main__":
    stage.main("validate", validate)
