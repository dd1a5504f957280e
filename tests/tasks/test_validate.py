"""The gate's rules are evaluated or it is an error: nothing is let through for want of a look."""

from typing import Any

import pandas as pd
import pytest

from tasks import validate
from tasks.adapters import expectations


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"row": range(3)} | columns)


def test_findings_come_in_the_rules_order_and_name_the_rows() -> None:
    rules = {"size": {"between": [2, None]}, "name": {"in": ["a", "b"]}, "flaw": {"equal": ""}}
    size, name, flaw = expectations.check(frame(size=[1, 2, 1], name=["a", "b", "c"], flaw=["", "", ""]), rules)
    assert (size.rule, size.passed, size.failed, size.rows, size.expected) == ("size", False, 2, (0, 2), "at least 2")
    assert (name.rule, name.passed, name.failed, name.rows, name.expected) == ("name", False, 1, (2,), "one of a, b")
    assert (flaw.rule, flaw.passed, flaw.failed, flaw.rows, flaw.expected) == ("flaw", True, 0, (), "none")


def test_a_rule_on_a_column_that_is_missing_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="the data gate's rule on depth raised"):
        expectations.check(frame(), {"depth": {"between": [1, 2]}})


def test_many_bad_rows_are_counted_and_the_first_twenty_kept() -> None:
    table = pd.DataFrame({"row": range(50), "size": [0] * 50})
    (finding,) = expectations.check(table, {"size": {"between": [1, 9]}})
    assert finding.failed == 50 and finding.rows == tuple(range(20)) and finding.expected == "1 to 9"


@pytest.mark.parametrize("rule", [{"in": ["a"]}, {"equal": "a"}])
def test_a_value_that_is_missing_is_no_pass(rule: dict[str, Any]) -> None:
    (finding,) = expectations.check(frame(name=["a", None, "a"]), {"name": rule})
    assert not finding.passed


def test_derived_columns_tell_shape_and_repeats() -> None:
    table = pd.DataFrame(
        {
            "sha256": ["x", "x", "y", "z"],
            "split": ["train", "test", "train", "train"],
            "label": ["a", "a", "a", "b"],
            "width": [10, 10, 40, 0],
            "height": [10, 10, 10, 0],
        }
    )
    derived = validate.with_derived(table)
    assert derived.shorter_edge.tolist() == [10, 10, 10, 0]
    assert derived.aspect.tolist() == [1.0, 1.0, 4.0, 0.0]
    assert derived.splits_of_sha256.tolist() == [2, 2, 1, 1]
    assert derived.labels_of_sha256.tolist() == [1, 1, 1, 1]
    assert list(table.columns) == ["sha256", "split", "label", "width", "height"]  # the argument is left alone
