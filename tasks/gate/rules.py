"""The data gate's rules: what is asked of every picture, every class and each domain, and how bad it is if not.

The modality's own rules are in its RULES; those here hold whatever a sample is. All of them, as Great Expectations
runs them, are written out in suite.json beside this file: `python -m tasks.gate.rules` makes it anew.
"""

import difflib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.core.dataset import SPLITS
from graft.core.errors import BadInput, one_line
from graft.core.sections import Settings
from tasks.adapters import expectations
from tasks.adapters.expectations import Finding, Rule
from tasks.workspace import ROLES

PICTURES: dict[str, Rule] = {
    "unsafe_file": {"column": "refused", "not_in": ["unsafe_file"]},
    "domain": {"column": "domain", "in": list(ROLES)},
    "split": {"column": "split", "in": list(SPLITS)},
    "exact_duplicate": {"column": "exact_duplicate", "between": [None, 0]},
    "near_duplicate": {"column": "near_duplicate", "between": [None, 0]},
    "label_conflict": {"column": "label_conflict", "between": [None, 0]},
    "near_label_conflict": {"column": "near_label_conflict", "between": [None, 0]},
    "split_leak": {"column": "split_leak", "between": [None, 0]},
    "domain_leak": {"column": "domain_leak", "between": [None, 0]},
    "label_suspect": {"column": "suspicion", "between": [None, "$max_suspicion"]},
    "outlier": {"column": "outlyingness", "between": [None, "$max_outlyingness"]},
}
CLASSES: dict[str, Rule] = {
    "few_images": {"column": "pictures", "between": ["$min_images_per_class", None]},
    "missing_split": {"column": "splits_missing", "between": [None, 0]},
    "labels_per_class": {"column": "training_pictures_missing", "between": [None, 0]},
    "class_names": {"column": "spellings", "between": [1, 1]},
}
DOMAINS: dict[str, Rule] = {
    "one_class": {"column": "classes", "between": [2, None]},
    "imbalance": {"column": "imbalance", "between": [None, "$max_imbalance"]},
    "drift_classes": {"column": "drift_classes", "between": [None, "$max_drift"]},
    "drift_brightness": {"column": "drift_brightness", "between": [None, "$max_drift"]},
    "drift_features": {"column": "drift_features", "between": [None, "$max_drift"]},
}
ALWAYS_STOP = ("domain", "split", "missing_split", "labels_per_class", "one_class")
"""Nothing later could work; the others' severities are settings."""
COPIES = ("exact_duplicate", "near_duplicate", "label_conflict", "near_label_conflict", "split_leak", "domain_leak")
SUITE = Path(__file__).with_name("suite.json")


@dataclass(frozen=True)
class Breach:
    """One row, class or domain that broke one rule.

    Attributes:
        rule, severity: `stop`, `reject` or `warn`.
        domain: `source` or `target`.
        row: of the manifest; -1 if a class or the whole domain is meant.
        path, label, split: of the row; label alone for a class.
        reason: a sentence's end for people.
        partner: path of the picture it copies, as "role/path"; "" if none.
        score: the worse the higher, within one rule.
    """

    rule: str
    severity: str
    domain: str
    row: int
    path: str
    label: str
    split: str
    reason: str
    partner: str
    score: float

    @property
    def shown(self) -> str:
        """What it is about, in words fit for a terminal."""
        if self.row >= 0:
            return f"{self.domain} picture {one_line(self.path, 160)}"
        return f"{self.domain} class {one_line(self.label, 60)}" if self.label else self.domain


def check_severities(severities: Mapping[str, str], modality_rules: Mapping[str, Rule]) -> None:
    """See that `validate.rules` names every rule that there is, and asks nothing impossible.

    Raises:
        BadInput: a rule is unknown or missing, or is to reject pictures although it is about classes.
    """
    of_pictures = {*PICTURES, *modality_rules} - {*ALWAYS_STOP}
    of_sets = {*CLASSES, *DOMAINS} - {*ALWAYS_STOP}
    for name in severities:
        if name not in of_pictures | of_sets:
            near = difflib.get_close_matches(name, of_pictures | of_sets, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; rules: {', '.join(sorted(of_pictures | of_sets))}"
            raise BadInput(f"validate.rules: there is no rule {one_line(name, 60)!r}{hint}")
    for name in sorted(of_pictures | of_sets):
        if name not in severities:
            raise BadInput(f"validate.rules.{name}: missing; stop, reject or warn would do")
        if name in of_sets and severities[name] == "reject":
            raise BadInput(
                f"validate.rules.{name} is 'reject'; it is about classes, not pictures: stop or warn would do"
            )


def rejected(breaches: list[Breach]) -> set[int]:
    """Rows that are left out."""
    return {one.row for one in breaches if one.severity == "reject"}


def pictures(frame: Any, modality_rules: Mapping[str, Rule], settings: Settings, notes: "Notes") -> list[Breach]:
    """Every breach of a picture rule. Of a row that could not be read no other rule is asked.

    Raises:
        RuntimeError: a row could not be read, and the reason is one that no rule is about; or as `expectations.check`.

    Args:
        frame: one row per picture, with the columns that the rules name.
        notes: reasons that are more than a value.
    """
    limits, severities = settings.validate_.limits, settings.validate_.rules
    rules = {**PICTURES, **modality_rules}
    reading = {one for rule in rules.values() if rule["column"] == "refused" for one in rule["not_in"]}
    if unknown := set(frame["refused"]) - {"", *reading}:
        raise RuntimeError(f"a picture's problem names {', '.join(sorted(unknown))}; rules for that: {reading}")
    found = expectations.check(frame, rules, limits)
    refused = set(frame["row"][frame["refused"] != ""].tolist())
    breaches = []
    for finding in found:
        rows = [row for row in finding.rows if finding.column == "refused" or row not in refused]
        severity = severities.get(finding.rule, "stop")
        breaches += [_breach(frame, finding, severity, row, notes) for row in rows]
    return breaches


def sets(frame: Any, rules: Mapping[str, Rule], settings: Settings) -> list[Breach]:
    """Every breach of a class or domain rule; `frame` has columns row, domain, label, and `reason_<column>`."""
    breaches = []
    for finding in expectations.check(frame, rules, settings.validate_.limits):
        severity = "stop" if finding.rule in ALWAYS_STOP else settings.validate_.rules[finding.rule]
        for row in finding.rows:
            one = frame.iloc[row]
            reason = str(one[f"reason_{finding.column}"])
            score = float(one[finding.column])
            breaches.append(Breach(finding.rule, severity, one["domain"], -1, "", one["label"], "", reason, "", score))
    return breaches


Notes = dict[tuple[str, int], tuple[str, str, float]]
"""By rule and row: reason, partner and score."""


def _breach(frame: Any, finding: Finding, severity: str, row: int, notes: Notes) -> Breach:
    one = frame.iloc[row]
    value = one[finding.column]
    worse = -1.0 if finding.expected.startswith("at least") else 1.0
    plain = worse * float(value) if isinstance(value, int | float | np.number) else 0.0
    reason, partner, score = notes.get((finding.rule, row), (_plain(finding, value), "", plain))
    return Breach(
        finding.rule, severity, one["domain"], row, one["path"], one["label"], one["split"], reason, partner, score
    )


def _plain(finding: Finding, value: Any) -> str:
    shown = f"{value:.3g}" if isinstance(value, float | np.floating) else one_line(str(value), 80)
    return f"{finding.column} is {shown}, should be {finding.expected}"


def class_table(frame: Any, settings: Settings) -> Any:
    """One row per class, of the rows that are kept, with what the class rules look at and the reasons in words."""
    import pandas as pd

    wanted, minimum = settings.finetune.per_class or 1, settings.validate_.min_images_per_class
    rows = []
    for role in ROLES:
        mine = frame.loc[frame["domain"] == role, ["label", "split", "rejected"]]
        kept: dict[str, dict[str, int]] = {}
        for (label, split), n in mine.loc[~mine["rejected"]].groupby(["label", "split"]).size().items():
            kept.setdefault(label, {})[split] = int(n)
        names = sorted(mine["label"].unique())
        folded = _spellings(names)
        for label in names:
            counts = kept.get(label, {})
            n_kept = sum(counts.values())
            missing = [split for split in ("train", "validation", "test") if not counts.get(split)]
            n_train, others = int(counts.get("train", 0)), folded[_fold(label)]
            enough = n_kept >= minimum  # a class too small has one complaint, not four
            rows.append(
                {
                    "domain": role,
                    "label": label,
                    "pictures": n_kept,
                    "splits_missing": len(missing) if enough else 0,
                    "training_pictures_missing": max(0, wanted - n_train) * (role == "target" and enough),
                    "spellings": len(others),
                    "reason_pictures": f"has {n_kept} pictures; validate.min_images_per_class asks for {minimum}",
                    "reason_splits_missing": f"has no picture in split {', '.join(missing)}; add pictures",
                    "reason_training_pictures_missing": f"has {n_train} training pictures; finetune.labels_per_class "
                    f"asks for {wanted}: lower it (or 'all'), or add pictures",
                    "reason_spellings": f"is spelt {len(others)} ways: {_listed(others)}; name it one way",
                }
            )
    return pd.DataFrame(rows).assign(row=range(len(rows)))


def domain_table(frame: Any, shifts: Mapping[str, list[Any]], settings: Settings) -> Any:
    """One row per domain: classes, imbalance, and drift from the accepted data where it is no chance."""
    import pandas as pd

    rows = []
    for role in ROLES:
        counts = frame.loc[(frame["domain"] == role) & ~frame["rejected"], "label"].value_counts()
        least, most = (counts.idxmin(), counts.idxmax()) if len(counts) else ("", "")
        ratio = float(counts.max() / counts.min()) if len(counts) else 1.0
        row: dict[str, Any] = {
            "domain": role,
            "label": "",
            "classes": len(counts),
            "imbalance": ratio,
            "reason_classes": f"has {len(counts)} class; at least 2 are needed to tell apart",
            "reason_imbalance": f"has {ratio:.1f} times as many pictures of {one_line(str(most), 60)} as of "
            f"{one_line(str(least), 60)}; validate.max_imbalance is {settings.validate_.max_imbalance:g}",
        }
        told = {shift.what: shift for shift in shifts.get(role, [])}
        for what in ("classes", "brightness", "features"):
            shift = told.get(what)
            certain = shift is not None and shift.p_value < settings.validate_.drift_p_value
            row[f"drift_{what}"] = shift.effect if shift and certain else 0.0
            row[f"reason_drift_{what}"] = (
                f"differs from the accepted data in {what}: {one_line(shift.words)} (effect {shift.effect:.2f}, "
                f"p {shift.p_value:.1g})"
                if shift
                else ""
            )
        rows.append(row)
    return pd.DataFrame(rows).assign(row=range(len(rows)))


def write(path: Path, breaches: list[Breach]) -> None:
    """Write breaches as parquet; an empty list too has its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.adapters.files import written_aside

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in Breach.__annotations__.items()])
    with written_aside(path) as aside:
        pq.write_table(pa.Table.from_pylist([asdict(one) for one in breaches], schema), aside, compression="zstd")


def read(path: Path) -> list[Breach]:
    """What `write` wrote.

    Raises:
        BadInput: it is not there.
    """
    import pyarrow.parquet as pq

    if not path.is_file():
        raise BadInput(f"{path.name} is missing; the data gate makes it: graft run")
    return [Breach(**row) for row in pq.read_table(path).to_pylist()]


def _fold(label: str) -> str:
    return unicodedata.normalize("NFKC", label).casefold().strip()


def _spellings(labels: Any) -> dict[str, list[str]]:
    folded: dict[str, list[str]] = {}
    for label in sorted(labels):
        folded.setdefault(_fold(label), []).append(label)
    return folded


def _listed(labels: list[str]) -> str:
    """Names that may look the same: escaped where they are not plain ASCII."""
    return ", ".join(json.dumps(one_line(label, 40)) for label in labels)


if __name__ == "__main__":
    from graft.modalities import image

    expectations.write_suite(SUITE, {**PICTURES, **image.RULES, **CLASSES, **DOMAINS})
