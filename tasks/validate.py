"""validate: the data gate. A row or class that breaks a rule is named, and the run stops before any training."""

from dataclasses import asdict
from typing import Any

from graft.core.errors import GateRefused, one_line
from graft.core.settings import Settings
from tasks import stage
from tasks.adapters import expectations, files, manifest
from tasks.adapters.expectations import Finding
from tasks.choices import Choices
from tasks.workspace import ROLES, Workspace


def validate(workspace: Workspace, settings: Settings, choices: Choices) -> None:
    """Check the manifest and write the verdict.

    Raises:
        GateRefused: a rule is broken; the text names the rule, the first picture and the number of pictures.
    """
    frame = with_derived(manifest.frame(workspace.manifest))
    limits = settings.validate_
    rules = {
        **expectations.base_rules(),
        **choices.modality.module.RULES,
        "shorter_edge": {"between": [limits.min_edge_px, None]},
        "aspect": {"between": [None, limits.max_aspect]},
    }
    findings = expectations.check(frame, rules)
    refusals = [_refusal(frame, finding) for finding in findings if not finding.passed]
    refusals += class_problems(frame, settings)
    verdict = {
        "passed": not refusals,
        "rows": len(frame),
        "rules_evaluated": len(findings),
        "classes": {role: int(frame[frame.domain == role].label.nunique()) for role in ROLES},
        "refusals": refusals,
        "findings": [asdict(finding) | {"rows": list(finding.rows)} for finding in findings],
    }
    files.write_json(workspace.validation, verdict)
    if refusals:
        more = f" (and {len(refusals) - 1} more in {workspace.validation.name})" if len(refusals) > 1 else ""
        raise GateRefused(refusals[0] + more)


def with_derived(frame: Any) -> Any:
    """The manifest with the columns that the rules read: row, shorter_edge, aspect, splits and labels per content."""
    frame = frame.assign(row=range(len(frame)), shorter_edge=frame[["width", "height"]].min(axis=1))
    longer = frame[["width", "height"]].max(axis=1)
    content = frame.groupby("sha256")
    return frame.assign(
        aspect=longer / frame.shorter_edge.clip(lower=1),
        splits_of_sha256=content["split"].transform("nunique"),
        labels_of_sha256=content["label"].transform("nunique"),
    )


def class_problems(frame: Any, settings: Settings) -> list[str]:
    """One line per class that has too few pictures for these settings, or is missing from a split."""
    problems = []
    wanted = settings.finetune.per_class or 1
    for role in ROLES:
        rows = frame[frame.domain == role]
        for label, members in rows.groupby("label"):
            shown, counts = one_line(str(label), 60), members.split.value_counts()
            n_train = int(counts.get("train", 0))
            if len(members) < settings.validate_.min_images_per_class:
                problems.append(
                    f"{role} class {shown} has {len(members)} pictures; validate.min_images_per_class asks for "
                    f"{settings.validate_.min_images_per_class}"
                )
            elif missing := [s for s in ("train", "validation", "test") if not counts.get(s)]:
                problems.append(f"{role} class {shown} has no picture in split {', '.join(missing)}; add pictures")
            elif role == "target" and n_train < wanted:
                problems.append(
                    f"target class {shown} has {n_train} training pictures; finetune.labels_per_class asks for "
                    f"{wanted}: lower it (or 'all'), or add pictures"
                )
        if rows.label.nunique() < 2:
            problems.append(f"{role} has {rows.label.nunique()} class; at least 2 are needed to tell apart")
    return problems


def _refusal(frame: Any, finding: Finding) -> str:
    row = frame.iloc[finding.rows[0]]
    found = one_line(str(row[finding.rule]), 160)
    where = f"{row['domain']} picture {one_line(str(row['path']), 160)}"
    others = f"; {finding.failed} pictures in all" if finding.failed > 1 else ""
    return f"{where}: {finding.rule} is {found}, should be {finding.expected}{others}"


if __name__ == "__main__":
    stage.main("validate", validate)
