"""search.yaml: every end of the space is tried on the settings' own types before anything else is done."""

from pathlib import Path
from typing import Any

import pytest

from graft.core import search, settings
from graft.core.errors import BadInput
from tasks.choices import Choices

ROOT = Path(__file__).parents[2]
DOCUMENT = settings.plain(ROOT / "params.yaml")
REST = """
trials: 20
sampler: tpe
pruner: hyperband
folds: 3
seeds: 1
fresh: 5
caps: {minutes: 20, memory_mb: 4000}
"""
RATE = "finetune.learning_rates: {type: float, low: 0.001, high: 0.01, log: true}"


def load(folder: Path, space: str, rest: str = REST) -> search.Search:
    path = folder / "search.yaml"
    path.write_text(f"{rest}\nspace:\n  {space}\n")
    return search.load(path, DOCUMENT, Choices.of)


def test_the_search_that_is_shipped_is_sound_and_holds_the_defaults() -> None:
    shipped = search.load(ROOT / "search.yaml", DOCUMENT, Choices.of)
    for name in ("transfer", "scratch"):
        arm = search.arm(shipped, name)
        starts = search.starts(arm.space, search.present(DOCUMENT, list(arm.space)))
        assert [one["finetune.learning_rates"] for one in starts] == DOCUMENT["finetune"]["learning_rates"]
        assert all(set(one) == set(arm.space) for one in starts)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (
            "finetune.learning_rate: {type: float, low: 0.1, high: 0.2}",
            "space.finetune.learning_rate, low: finetune.learning_rate: unknown key; did you mean learning_rates?",
        ),
        (
            "finetune.learning_rates: {type: float, low: 0.1, high: 1.5}",
            "space.finetune.learning_rates, high: finetune.learning_rates.0 is 1.5; it should be less than or equal to",
        ),
        (
            "finetune.steps: {type: float, low: 10, high: 20.5}",
            "space.finetune.steps, low: finetune.steps is 10.0; it should be a valid integer",
        ),
        (
            "finetune.steps: {type: int, low: 0, high: 20}",
            "space.finetune.steps, low: finetune.steps is 0; it should be greater than or equal to 1",
        ),
        (
            "finetune.training.augment: {choices: [none, stronger]}",
            "space.finetune.training.augment, choices[1]: finetune.training.augment is 'stronger'; it should be "
            "'standard', 'weak', 'strong' or 'none'",
        ),
        (
            "finetune.method: {choices: [full, {name: full, l3: 1.0}]}",
            "space.finetune.method, choices[1]: finetune.method.l3: unknown key; keys here: start, l2",
        ),
        (
            "finetune.method: {choices: [full, fulll]}",
            "space.finetune.method, choices[1]: finetune.method.name is 'fulll'; methods here:",
        ),
        ("finetune.views: {type: int, low: 0, high: 9}", "space.finetune.views, high: finetune.views is 9;"),
        ("finetune.steps: {type: int, low: 9, high: 9}", "it should have a low below its high, which is 9"),
        ("finetune.steps: {type: int, low: 1, high: 9, log: 1}", "space.finetune.steps.log is 1; it should be a valid"),
        ("finetune.steps: {type: int, low: 1.5, high: 9}", "it should have whole numbers, because its type is int"),
        ("finetune.training.mixup: {type: float, low: 0, high: 1, log: true}", "it should have a low above 0 and no"),
        ("finetune.method: {choices: [full]}", "space.finetune.method.choices is ('full',); it should have at least 2"),
        ("finetune.method: {choices: [full, full]}", "should name each choice once"),
        (
            "finetune.steps: {type: int, low: 1, high: 9, lo: 1}",
            "space.finetune.steps.lo: unknown key; did you mean lo",
        ),
        ("finetune.steps: 9", "space.finetune.steps is 9; it should be"),
        (
            "finetune.method: {choices: [full, gradual]}\n  finetune.method.l2: {type: float, low: 1.0, high: 2.0}",
            "space.finetune.method.l2 lies below space.finetune.method, which is searched as a whole; name one",
        ),
    ],
)
def test_what_will_not_do_is_one_line_that_names_the_key(space: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        load(tmp_path, space)
    assert str(refused.value).startswith("search.yaml: ") and told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        *("seed", "data.source.name", "extract.components", "validate.max_aspect", "evaluate.seeds", "curve.seeds"),
        *(
            "finetune.labels_per_class",
            "finetune.folds",
            "export.min_agreement",
            "publish.stages",
            "retrain.margin_points",
        ),
    ],
)
def test_what_would_change_data_or_yardstick_is_refused_with_the_reason(key: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"^search.yaml: space.{key} may not be searched: it .*; keys of pretrain and"):
        load(tmp_path, f"{key}: {{type: int, low: 1, high: 2}}")


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (REST.replace("trials: 20", "trials: 0"), "search.yaml: trials is 0; it should be greater than or equal to 1"),
        (REST.replace("tpe", "tpee"), "search.yaml: sampler is 'tpee'; it should be 'tpe' or 'random'"),
        (REST.replace("fresh: 5", "fresh: 4"), "search.yaml: fresh is 4; it should be greater than or equal to 5"),
        (REST.replace("memory_mb", "memory"), "search.yaml: caps.memory: unknown key; did you mean memory_mb?"),
        (REST.replace("folds: 3", "folds: three"), "search.yaml: folds is 'three'; it should be a valid integer"),
        ("trials: [", "search.yaml, line "),
    ],
)
def test_what_stands_beside_the_space_is_checked_too(rest: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        load(tmp_path, RATE, rest)
    assert str(refused.value).startswith(told)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="^no search.yaml in .*; a fresh clone has one, and docs/tune.md says more$"):
        search.load(tmp_path / "search.yaml", DOCUMENT, Choices.of)


def test_scratch_is_searched_for_what_means_something_to_it(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        f"{RATE}\n  finetune.method: {{choices: [full, gradual]}}\n  pretrain.epochs: {{type: int, low: 1, high: 2}}\n"
        "  pretrain.backbone: {choices: [convnet, article]}",
    )
    assert search.arm(found, "transfer").left_out == ()
    scratch = search.arm(found, "scratch")
    assert scratch.left_out == ("finetune.method", "pretrain.epochs")
    assert set(scratch.space) == {"finetune.learning_rates", "pretrain.backbone"}


def test_a_rate_becomes_a_list_of_one_and_a_choice_a_mapping_and_nothing_else_moves() -> None:
    placed = search.placed(DOCUMENT, {"finetune.learning_rates": 0.02, "finetune.training.mixup": 0.3})
    assert placed["finetune"]["learning_rates"] == [0.02]
    assert placed["finetune"]["training"] == {"augment": "standard", "mixup": 0.3}
    assert {key: value for key, value in placed.items() if key != "finetune"} == {
        key: value for key, value in DOCUMENT.items() if key != "finetune"
    }
    assert DOCUMENT["finetune"]["learning_rates"] == [0.003, 0.006]
    assert search.settings_of(placed).finetune.training.mixup == 0.3


@pytest.mark.parametrize("drawn", [0.0012345678, 0.0009999999, 0.0100000001, 0.00999999])
def test_a_drawn_number_is_short_and_stays_within_the_range(drawn: float) -> None:
    value = search.Range(type="float", low=0.001, high=0.01).value(drawn)
    assert 0.001 <= value <= 0.01 and value == float(f"{value:.4g}") and abs(value - drawn) < 1e-6


def test_defaults_outside_of_the_space_are_no_trial() -> None:
    space: dict[str, Any] = {"finetune.steps": search.Range(type="int", low=500, high=900)}
    assert search.starts(space, {"finetune.steps": 400}) == []
    assert search.starts(space, {"finetune.steps": 500}) == [{"finetune.steps": 500}]


def test_what_is_taken_over_changes_its_own_lines_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (ROOT / "params.yaml").read_text()
    path.write_text(before)
    values = {
        "finetune.learning_rates": [0.004, 0.01],
        "finetune.method": {"name": "full"},
        "finetune.training.mixup": 0.2,
    }
    found = search.assignments(DOCUMENT, values)
    assert len(found) == 2  # the method is what it was
    settings.set_values(path, found, Choices.of)
    changed = [line for line in path.read_text().splitlines() if line not in before.splitlines()]
    assert len(changed) == 2 and "each arm tries all of them" in changed[0]
    assert search.assignments(settings.plain(path), values) == []
    partial = {key: value for key, value in DOCUMENT.items() if key != "curve"}
    partial["finetune"] = {key: value for key, value in DOCUMENT["finetune"].items() if key != "training"}
    below = search.assignments(partial, {"finetune.training.mixup": 0.2, "finetune.training.ema": 0.9})
    assert below == ['finetune.training={"mixup": 0.2}', "finetune.training.ema=0.9"]
