"""The validation page: what the gate found, with pictures. One file, readable offline."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from graft.core import page
from graft.core.errors import one_line
from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks.adapters import files, shards
from tasks.adapters.shards import Place
from tasks.choices import Choices
from tasks.gate import rules
from tasks.gate.rules import Breach
from tasks.workspace import ROLES, Workspace

if TYPE_CHECKING:
    from tasks.validate import Verdict

SHOWN = 24
THUMB_PX = 96
MAX_CLASSES = 60
TEMPLATE = Path(__file__).with_name("page.html.j2")
ORDER = {"stop": 0, "reject": 1, "warn": 2}
TITLES = {
    "unsafe_file": "Links and special files",
    "unreadable": "Pictures that do not decode",
    "format": "Files of other kinds",
    "too_large": "Too many bytes or pixels",
    "animated": "Animations",
    "mode": "Colour modes that are not taken",
    "suffix": "Names that do not fit the content",
    "trailing_bytes": "Bytes behind the picture's end",
    "too_small": "Too small",
    "aspect": "Too long and thin",
    "dark": "Dark pictures",
    "light": "Overexposed pictures",
    "blurred": "Blurred pictures",
    "low_information": "Almost empty pictures",
    "exact_duplicate": "Exact copies",
    "near_duplicate": "Near copies",
    "label_conflict": "One picture, two labels",
    "near_label_conflict": "Near copies with two labels",
    "split_leak": "Copies across splits",
    "domain_leak": "Copies across domains",
    "label_suspect": "Labels that look wrong",
    "outlier": "Pictures unlike all others",
    "few_images": "Classes with too few pictures",
    "missing_split": "Classes missing from a split",
    "labels_per_class": "Classes with fewer labels than asked for",
    "class_names": "Class names spelt in several ways",
    "one_class": "Domains with a single class",
    "imbalance": "Unbalanced classes",
    "drift_classes": "Class shares differ from the accepted data",
    "drift_brightness": "Brightness differs from the accepted data",
    "drift_features": "Looks differ from the accepted data",
}


def write(workspace: Workspace, verdict: "Verdict", settings: Settings, choices: Choices) -> None:
    """Write reports/validation.html."""
    by_rule: dict[str, list[Breach]] = {}
    for one in verdict.breaches:
        by_rule.setdefault(one.rule, []).append(one)
    thumbs = _Thumbs(workspace, verdict.frame, choices.modality)
    sections = [_section(rule, found, thumbs) for rule, found in by_rule.items()]
    sections.sort(key=lambda section: (ORDER[section["severity"]], -section["count"]))
    every = {**rules.PICTURES, **choices.modality.module.RULES, **rules.CLASSES, **rules.DOMAINS}
    names = {role: getattr(settings.data, role).name for role in ROLES}
    text = page.template(TEMPLATE.read_text(encoding="utf-8"), {}).render(
        title=f"{names['source']} and {names['target']}",
        names=names,
        rows=len(verdict.frame),
        rejected=int(verdict.frame["rejected"].sum()),
        stops=sum(section["severity"] == "stop" for section in sections),
        sections=sections,
        passed=[TITLES.get(rule, rule) for rule in every if rule not in by_rule],
        classes={names[role]: _classes(verdict.frame, role) for role in ROLES},
        looks={names[role]: _looks(verdict, role) for role in ROLES},
        accepted=settings.validate_.accepted,
    )
    with files.written_aside(workspace.validation_page) as aside:
        aside.write_text(text, encoding="utf-8")


def _section(rule: str, found: list[Breach], thumbs: "_Thumbs") -> dict[str, Any]:
    worst = sorted(found, key=lambda one: -one.score)[:SHOWN]
    return {
        "rule": rule,
        "title": TITLES.get(rule, rule),
        "severity": found[0].severity,
        "count": len(found),
        "cases": [
            {
                "what": one_line(one.path, 200) if one.row >= 0 else one.shown,
                "domain": one.domain,
                "facts": f"{one_line(one.label, 60)}, {one.split}" if one.row >= 0 else "",
                "reason": one.reason,
                "picture": thumbs.of_row(one.row),
                "partner": thumbs.of_path(one.partner),
            }
            for one in worst
        ],
    }


class _Thumbs:
    """Small pictures, as the model sees them, as data: addresses. Only rows that the gate has decoded are opened."""

    def __init__(self, workspace: Workspace, frame: Any, modality: Plugin) -> None:
        self._workspace, self._frame, self._modality = workspace, frame, modality
        self._options = modality.options.model_copy(update={"size_px": THUMB_PX})

    def of_row(self, row: int) -> str:
        """ "" if there is no picture to show."""
        if row < 0 or self._frame["refused"].iat[row] or not self._frame["pixels"].iat[row]:
            return ""
        one = self._frame.iloc[row]
        place = Place(one["shard"], int(one["offset"]), int(one["bytes"]))
        data = next(shards.read(self._workspace.raw(one["domain"]), [place]))
        buffer = io.BytesIO()
        Image.fromarray(self._modality.module.decode(data, self._options)).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def of_path(self, partner: str) -> str:
        """`partner` as a breach names it: role/path."""
        if not partner:
            return ""
        role, _, path = partner.partition("/")
        found = np.flatnonzero(((self._frame["path"] == path) & (self._frame["domain"] == role)).to_numpy())
        return self.of_row(int(found[0]))


def _classes(frame: Any, role: str) -> list[dict[str, Any]]:
    """Kept and rejected pictures of each class, the largest first."""
    mine = frame.loc[frame["domain"] == role, ["label", "rejected"]]
    counts = mine.groupby("label")["rejected"].agg(["size", "sum"]).sort_values("size", ascending=False)
    most = max(1, int(counts["size"].max())) if len(counts) else 1
    return [
        {
            "label": one_line(str(label), 60),
            "kept": int(size - left_out),
            "rejected": int(left_out),
            "kept_share": 100 * (size - left_out) / most,
            "rejected_share": 100 * left_out / most,
        }
        for label, size, left_out in list(counts.itertuples(name=None))[:MAX_CLASSES]
    ]


def _looks(verdict: "Verdict", role: str) -> dict[str, Any]:
    """Brightness as bars, and the tests against the accepted data."""
    counts = verdict.profiles[role]["brightness"]
    most = max(1, *counts)
    shifts = verdict.shifts.get(role, [])
    before: Mapping[str, Any] | None = verdict.accepted.get(role)
    old = before["brightness"] if before else []
    scale = sum(counts) / max(1, sum(old)) if old else 0.0
    most = max(most, *(count * scale for count in old)) if old else most
    return {
        "bars": [100 * count / most for count in counts],
        "old": [100 * count * scale / most for count in old],
        "shifts": [
            {"what": s.what, "effect": f"{s.effect:.3f}", "p": f"{s.p_value:.2g}", "words": one_line(s.words)}
            for s in shifts
        ],
    }
