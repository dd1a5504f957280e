"""The data gate's rules: each finds what it is about, names it in one line, and none can be skipped in silence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from graft.core import settings as settings_file
from graft.core.drift import Shift
from graft.core.errors import BadInput
from graft.core.sections import Settings
from graft.modalities import image
from tasks.adapters import expectations, manifest
from tasks.choices import Choices
from tasks.gate import rules
from tasks.gate.rules import Breach

ROOT = Path(__file__).parents[3]
SOUND = {
    "domain": "target", "path": "rose/1.png", "label": "rose", "split": "train", "refused": "", "suffix_fits": True,
    "trailing_bytes": 0, "shorter_edge": 64, "aspect": 1.0, "brightest": 0.9, "darkest": 0.1, "sharpness": 0.8,
    "information": 0.7, "suspicion": 0.0, "outlyingness": 0.0, **dict.fromkeys(rules.COPIES, 0),
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return settings_file.load(tmp_path / "params.yaml")


def frame(*changes: dict[str, Any]) -> Any:
    """A sound row, and one more for each change."""
    table = pd.DataFrame([SOUND, *(SOUND | change for change in changes)])
    shared = {name: "category" for name in manifest.SHARED if name in table}
    return table.assign(row=range(len(table))).astype(shared)


def found(settings: Settings, *changes: dict[str, Any]) -> list[Breach]:
    return rules.pictures(frame(*changes), image.RULES, settings, {})


BREACHES = {
    "unsafe_file": {"refused": "unsafe_file"},
    "unreadable": {"refused": "unreadable"},
    "format": {"refused": "format"},
    "too_large": {"refused": "too_large"},
    "animated": {"refused": "animated"},
    "mode": {"refused": "mode"},
    "suffix": {"suffix_fits": False},
    "trailing_bytes": {"trailing_bytes": 9},
    "too_small": {"shorter_edge": 7},
    "aspect": {"aspect": 8.1},
    "dark": {"brightest": 0.3},
    "light": {"darkest": 0.96},
    "blurred": {"sharpness": 0.2},
    "low_information": {"information": 0.1},
    "label_suspect": {"suspicion": 0.99},
    "outlier": {"outlyingness": 6.5},
    "domain": {"domain": "elsewhere"},
    "split": {"split": "holdout"},
    **{rule: {rule: 1} for rule in rules.COPIES},
}


def test_every_picture_rule_has_an_example_here() -> None:
    assert BREACHES.keys() == {**rules.PICTURES, **image.RULES}.keys()


@pytest.mark.parametrize("rule", BREACHES)
def test_a_picture_rule_finds_the_row_that_breaks_it_and_no_other(settings: Settings, rule: str) -> None:
    (breach,) = found(settings, BREACHES[rule])
    assert (breach.rule, breach.row, breach.path) == (rule, 1, "rose/1.png")
    assert breach.severity == settings.validate_.rules.get(rule, "stop")
    assert breach.reason and "\n" not in breach.reason


def test_a_value_that_is_missing_is_no_pass(settings: Settings) -> None:
    assert [one.rule for one in found(settings, {"brightest": None})] == ["dark"]


def test_no_other_rule_is_asked_of_a_row_that_could_not_be_read(settings: Settings) -> None:
    unread = {"refused": "unreadable", "shorter_edge": 0, "brightest": 0.0, "sharpness": 0.0, "information": 0.0}
    assert [one.rule for one in found(settings, unread)] == ["unreadable"]


def test_the_worse_has_the_higher_score(settings: Settings) -> None:
    dark, darker = found(settings, {"brightest": 0.3}, {"brightest": 0.1})
    assert darker.score > dark.score
    odd, odder = found(settings, {"outlyingness": 7.0}, {"outlyingness": 9.0})
    assert odder.score > odd.score


def test_a_rule_that_cannot_be_evaluated_is_an_error(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match="the data gate's rule dark raised"):
        rules.pictures(frame().drop(columns="brightest").assign(brightest=[{}]), image.RULES, settings, {})
    with pytest.raises(RuntimeError, match="on 0 rows"):
        rules.pictures(frame().iloc[:0], image.RULES, settings, {})


def test_rows_asked_some_at_a_time_break_the_same_rules(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [BREACHES["dark"], {}, BREACHES["split"], {"sharpness": None}, {}, BREACHES["dark"] | BREACHES["aspect"]]
    whole = found(settings, *changes)
    monkeypatch.setattr(expectations, "PIECE_ROWS", 2)
    assert str(found(settings, *changes)) == str(whole)  # one is NaN, equal to nothing
    assert [one.row for one in whole if one.rule == "dark"] == [1, 6]


def test_a_problem_that_no_rule_is_about_is_an_error_and_no_pass(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match="a picture's problem names melted"):
        found(settings, {"refused": "melted"})


def many(counts: dict[tuple[str, str, str], int]) -> Any:
    """By domain, label and split, so many kept rows."""
    rows = [
        {"domain": domain, "label": label, "split": split, "rejected": False}
        for (domain, label, split), count in counts.items()
        for _ in range(count)
    ]
    return pd.DataFrame(rows)


def sound_sets() -> dict[tuple[str, str, str], int]:
    shares = {"train": 30, "validation": 5, "test": 10}
    return {(d, one, s): n for d in ("source", "target") for one in ("a", "b") for s, n in shares.items()}


def told(settings: Settings, table: Any) -> list[str]:
    breaches = rules.sets(rules.class_table(table, settings), rules.CLASSES, settings)
    breaches += rules.sets(rules.domain_table(table, {}, settings), rules.DOMAINS, settings)
    return [f"{one.severity} {one.rule}: {one.shown} {one.reason}" for one in breaches]


def test_sound_sets_break_nothing(settings: Settings) -> None:
    assert told(settings, many(sound_sets())) == []


def test_a_class_with_too_few_pictures_is_named_once(settings: Settings) -> None:
    table = many(sound_sets() | {("target", "c", "train"): 3})
    assert "stop few_images: target class c has 3 pictures; validate.min_images_per_class asks for 5" in told(
        settings, table
    )
    assert not any("missing_split" in line or "labels_per_class" in line for line in told(settings, table))


def test_a_class_with_fewer_labels_than_asked_for_is_named(settings: Settings) -> None:
    table = many(sound_sets() | {("target", "c", s): n for s, n in {"train": 6, "validation": 1, "test": 2}.items()})
    assert told(settings, table) == [
        "stop labels_per_class: target class c has 6 training pictures; finetune.labels_per_class asks for 10: lower "
        "it (or 'all'), or add pictures"
    ]


def test_a_class_missing_from_a_split_is_named_with_the_split(settings: Settings) -> None:
    assert told(settings, many(sound_sets() | {("source", "c", "train"): 30})) == [
        "stop missing_split: source class c has no picture in split validation, test; add pictures"
    ]


def test_pictures_that_are_left_out_do_not_count(settings: Settings) -> None:
    table = many(sound_sets())
    table.loc[(table.domain == "target") & (table.label == "a") & (table.split == "test"), "rejected"] = True
    assert told(settings, table) == ["stop missing_split: target class a has no picture in split test; add pictures"]


def test_one_class_is_not_enough(settings: Settings) -> None:
    alone = {key: n for key, n in sound_sets().items() if key[:2] != ("source", "b")}
    assert told(settings, many(alone)) == ["stop one_class: source has 1 class; at least 2 are needed to tell apart"]


@pytest.mark.parametrize(("one", "other"), [("Rose", "rose"), ("caf\u00e9", "cafe\u0301"), ("rose", "rose ")])
def test_one_class_under_two_spellings_is_named(settings: Settings, one: str, other: str) -> None:
    shares = {"train": 30, "validation": 5, "test": 10}
    table = many(sound_sets() | {("target", label, s): n for label in (one, other) for s, n in shares.items()})
    lines = told(settings, table)
    assert len(lines) == 2 and all(line.startswith("stop class_names: target class ") for line in lines)
    assert "is spelt 2 ways" in lines[0]


def test_an_unbalanced_domain_is_named(settings: Settings) -> None:
    (line,) = told(settings, many(sound_sets() | {("source", "a", "train"): 2000}))
    assert line.startswith("warn imbalance: source has 44.8 times as many pictures of a as of b; validate.max_imbal")


def test_drift_counts_when_it_is_large_and_no_chance(settings: Settings) -> None:
    def drift(effect: float, p_value: float) -> list[str]:
        shifts = {"target": [Shift("brightness", effect, p_value, "mean brightness 0.5 before, 0.8 now")]}
        table = rules.domain_table(many(sound_sets()), shifts, settings)
        return [f"{one.rule}: {one.shown} {one.reason}" for one in rules.sets(table, rules.DOMAINS, settings)]

    assert drift(0.3, 0.5) == drift(0.05, 1e-9) == []
    assert drift(0.3, 1e-9) == [
        "drift_brightness: target differs from the accepted data in brightness: mean brightness 0.5 before, 0.8 now "
        "(effect 0.30, p 1e-09)"
    ]


def test_severities_name_every_rule_and_nothing_else(settings: Settings) -> None:
    def severities(**changes: str) -> str:
        section = settings.validate_.model_copy(update={"rules": settings.validate_.rules | changes})
        with pytest.raises(BadInput) as caught:
            Choices.of(settings.model_copy(update={"validate_": section}))
        return str(caught.value)

    assert severities(near_dupes="warn") == (
        "validate.rules: there is no rule 'near_dupes'; did you mean near_duplicate?"
    ) or severities(near_duplicat="warn").endswith("did you mean near_duplicate?")
    assert "validate.rules.imbalance is 'reject'; it is about classes, not pictures" in severities(imbalance="reject")
    fewer = {name: one for name, one in settings.validate_.rules.items() if name != "dark"}
    section = settings.validate_.model_copy(update={"rules": fewer})
    with pytest.raises(BadInput, match="validate.rules.dark: missing; stop, reject or warn would do"):
        Choices.of(settings.model_copy(update={"validate_": section}))


def test_the_suite_in_the_repository_is_the_one_that_runs() -> None:
    every = {**rules.PICTURES, **image.RULES, **rules.CLASSES, **rules.DOMAINS}
    assert rules.SUITE.read_text() == expectations.as_json(every)
    assert [one["rule"] for one in json.loads(rules.SUITE.read_text())] == list(every)


def test_lists_of_breaches_come_back_as_they_were_written(settings: Settings, tmp_path: Path) -> None:
    breaches = [*found(settings, {"brightest": 0.1}), replace(found(settings, {"refused": "format"})[0], path="a\nb")]
    rules.write(tmp_path / "some.parquet", breaches)
    assert rules.read(tmp_path / "some.parquet") == breaches
    rules.write(tmp_path / "none.parquet", [])
    assert rules.read(tmp_path / "none.parquet") == []
