"""The gate of exported files: each limit refuses by its own name, and the chosen file is one that passed."""

from typing import Any

import pytest
from pydantic import ValidationError

from graft.core import export_gate
from graft.core.sections import Export, Prefer

FORMATS = [{"name": "tflite"}, {"name": "tflite", "precision": "int8", "min_agreement": 0.9}]
SECTION = Export(formats=FORMATS, min_agreement=0.99, max_accuracy_drop_points=1.0)  # type: ignore[arg-type]
GOOD: dict[str, Any] = {
    "accuracy": 0.8,
    "agreement": 0.995,
    "builtin_operators_only": True,
    "same_answers": {"when asked again": True, "one at a time": None},
}


def file(accuracy: float, bytes_: int, ms: float, **more: Any) -> dict[str, Any]:
    told = {"accuracy": accuracy, "bytes": bytes_, "latency_ms": {"median": ms}, "format": "tflite", "passed": True}
    return told | {"precision": "float32", "refused_because": []} | more


def test_a_file_within_the_limits_passes() -> None:
    assert export_gate.refusals(GOOD, 0.81, export_gate.limits(SECTION, 0)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"agreement": 0.98}, "agrees with Keras on 98.0% of pictures; export.min_agreement is 99%"),
        ({"agreement": 0.98997}, "agrees with Keras on 98.997% of pictures; export.min_agreement is 99%"),
        ({"accuracy": 0.7998}, "loses 1.02 points of accuracy; export.max_accuracy_drop_points is 1"),
        ({"accuracy": 0.79}, "loses 2.0 points of accuracy; export.max_accuracy_drop_points is 1"),
        ({"builtin_operators_only": False}, "needs operators that a plain runtime lacks"),
        ({"same_answers": {"in another order": False}}, "answers differently in another order"),
    ],
)
def test_each_limit_refuses_by_its_name(change: dict[str, Any], told: str) -> None:
    assert export_gate.refusals(GOOD | change, 0.81, export_gate.limits(SECTION, 0)) == [told]


def test_a_file_of_a_variant_is_told_against_which_net_it_loses() -> None:
    [told] = export_gate.refusals(GOOD | {"variant": "pruned"}, 0.82, export_gate.limits(SECTION, 0))
    assert told == "loses 2.0 points of accuracy against the whole net; export.max_accuracy_drop_points is 1"


def test_a_format_states_its_own_tolerance() -> None:
    allowed = export_gate.limits(SECTION, 1)
    assert (allowed.min_agreement, allowed.max_drop_points) == (0.9, 1.0)
    [told] = export_gate.refusals(GOOD | {"agreement": 0.8}, 0.81, allowed)
    assert told.endswith("export.formats[1].min_agreement is 90%")


def test_the_stage_goes_on_with_one_file_that_passed() -> None:
    bad = file(0.795, 5, 1.0, passed=False, refused_because=["agrees with Keras on 9%"])
    assert export_gate.stop({"a": file(0.8, 9, 1.0), "b": bad}, 0.8, 2.0) == ""
    assert export_gate.stop({"b": bad}, 0.8, 2.0) == "b: agrees with Keras on 9%"


def test_a_float_file_that_loses_very_much_stops_all_and_one_of_integers_only_itself() -> None:
    awful = file(0.7, 5, 1.0, passed=False, refused_because=["likely cause: channel order"])
    said = export_gate.stop({"a": file(0.8, 9, 1.0), "b": awful}, 0.8, 2.0)
    assert said == ("b loses 10.0 points of accuracy; export.hard_stop_points is 2: likely cause: channel order")
    assert export_gate.stop({"a": file(0.8, 9, 1.0), "b": awful | {"precision": "int8"}}, 0.8, 2.0) == ""


def test_a_variant_that_loses_very_much_stops_nothing_and_its_file_keeps_nothing_going() -> None:
    awful = file(0.5, 5, 1.0, passed=False, refused_because=["loses 30.0 points"], variant="pruned")
    assert export_gate.stop({"a": file(0.8, 9, 1.0), "b": awful}, 0.8, 2.0) == ""
    assert export_gate.stop({"a": awful | {"variant": ""}, "b": file(0.8, 9, 1.0)}, 0.8, 2.0).startswith("a loses 30.0")


FILES = {
    "large": file(0.80, 900, 2.0),
    "small": file(0.795, 300, 1.0),
    "smaller": file(0.78, 200, 0.5),
    "refused": file(0.8, 10, 0.1, passed=False),
    "foreign": file(0.8, 10, 0.1, format="onnx"),
}


@pytest.mark.parametrize(
    ("name", "within", "chosen"),
    [
        ("first", 1.0, "large"),
        ("smallest", 1.0, "small"),
        ("smallest", 2.0, "smaller"),
        ("smallest", 0.0, "large"),
        ("fastest", 5.0, "smaller"),
    ],
)
def test_the_file_that_runs_is_chosen_among_those_nearly_as_good(name: Any, within: float, chosen: str) -> None:
    assert export_gate.choose(FILES, Prefer(name=name, within_points=within)) == chosen


def test_a_variant_is_chosen_where_it_is_smallest_and_nearly_as_good() -> None:
    files = FILES | {"pruned": file(0.792, 100, 1.0, variant="pruned")}
    assert export_gate.choose(files, Prefer(name="smallest", within_points=1.0)) == "pruned"
    assert export_gate.choose(files, Prefer(name="smallest", within_points=0.7)) == "small"
    assert export_gate.choose(files, Prefer(name="first", within_points=1.0)) == "large"


def test_where_no_file_can_run_none_is_chosen() -> None:
    assert export_gate.choose({name: FILES[name] for name in ("refused", "foreign")}, Prefer()) == ""


def test_a_file_may_not_be_allowed_more_than_stops_the_stage() -> None:
    formats = [{"name": "tflite", "max_accuracy_drop_points": 3.0}]
    with pytest.raises(ValidationError, match="hard_stop_points of at least 3"):
        Export(formats=formats, min_agreement=0.9, max_accuracy_drop_points=1.0)  # type: ignore[arg-type]
