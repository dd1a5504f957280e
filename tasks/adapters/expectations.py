"""The data gate's rules as a Great Expectations suite, run on a table. The only Great Expectations."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PIECE_ROWS = 25_000
"""Rows that Great Expectations sees at a time: of what it looks at it makes copies."""
Rule = Mapping[str, Any]
"""{"column": name} with one of "in": [...], "not_in": [...], "between": [low, high] (None is open).

A limit that starts with $ names a setting of `validate`.
"""


@dataclass(frozen=True)
class Finding:
    """The verdict on one rule.

    Attributes:
        rule: its name.
        column: what it looked at.
        rows: positions of the rows that broke it, in order.
        expected: what was asked, in words.
    """

    rule: str
    column: str
    rows: tuple[int, ...]
    expected: str


def check(frame: Any, rules: Mapping[str, Rule], limits: Mapping[str, Any]) -> list[Finding]:
    """Run the suite over `frame`.

    Args:
        frame: pandas.DataFrame with a column `row`: 0, 1, 2, ...
        limits: values of the settings that rules name with $.

    Returns:
        One finding per rule, in the rules' order.

    Raises:
        RuntimeError: the suite evaluated fewer rules than it has, or one raised: never taken for a pass.
    """
    import great_expectations as gx

    if not rules or not len(frame):
        raise RuntimeError(f"the data gate evaluated {len(rules)} rules on {len(frame)} rows")
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = context.suites.add(gx.ExpectationSuite(name="gate"))
    for name, rule in rules.items():
        kind, arguments = expectation(rule)
        suite.add_expectation(getattr(gx.expectations, kind)(**arguments, meta={"rule": name}))
    asset = context.data_sources.add_pandas("gate").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="gate", data=batch, suite=suite))
    columns = ["row", *dict.fromkeys(rule["column"] for rule in rules.values())]
    broken: dict[str, list[int]] = {name: [] for name in rules}
    for start in range(0, len(frame), PIECE_ROWS):
        piece = frame.iloc[start : start + PIECE_ROWS][columns]
        results = definition.run(
            batch_parameters={"dataframe": piece},
            expectation_parameters=dict(limits),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]},
        ).results
        by_rule = {result.expectation_config.meta["rule"]: result for result in results}
        if by_rule.keys() != rules.keys():
            raise RuntimeError(f"the data gate evaluated {len(by_rule)} of {len(rules)} rules on {len(piece)} rows")
        for name, rule in rules.items():
            broken[name] += _broken(piece, name, rule, by_rule[name])
    return [Finding(name, rule["column"], tuple(broken[name]), _words(rule, limits)) for name, rule in rules.items()]


def expectation(rule: Rule) -> tuple[str, dict[str, Any]]:
    """Great Expectations' name of the rule's kind, and its arguments."""
    column = {"column": rule["column"]}
    if "in" in rule:
        return "ExpectColumnValuesToBeInSet", {**column, "value_set": list(rule["in"])}
    if "not_in" in rule:
        return "ExpectColumnValuesToNotBeInSet", {**column, "value_set": list(rule["not_in"])}
    low, high = (_parameter(limit) for limit in rule["between"])
    return "ExpectColumnValuesToBeBetween", {**column, "min_value": low, "max_value": high}


def as_json(rules: Mapping[str, Rule]) -> str:
    """The suite as a person reads it in the repository."""
    lines = [
        {"rule": name, "expectation": kind, **arguments}
        for name, (kind, arguments) in ((name, expectation(rule)) for name, rule in rules.items())
    ]
    return "[\n" + ",\n".join(f"  {json.dumps(line)}" for line in lines) + "\n]\n"


def _parameter(limit: Any) -> Any:
    return {"$PARAMETER": limit[1:]} if isinstance(limit, str) and limit.startswith("$") else limit


def _broken(frame: Any, name: str, rule: Rule, result: Any) -> list[int]:
    """Rows of `frame` that broke the rule, in order."""
    if result.exception_info and "raised_exception': True" in str(result.exception_info):  # flat, or keyed by metric
        raise RuntimeError(f"the data gate's rule {name} raised: {result.exception_info}")
    missing = frame["row"][frame[rule["column"]].isna()].tolist()  # Great Expectations leaves them out
    wrong = [int(entry["row"]) for entry in result.result.get("unexpected_index_list") or ()]
    if bool(result.success) == bool(wrong):
        raise RuntimeError(f"the data gate's rule {name} has success {result.success} and {len(wrong)} rows against it")
    return sorted({*missing, *wrong})


def _words(rule: Rule, limits: Mapping[str, Any]) -> str:
    if "in" in rule:
        return " or ".join(map(str, rule["in"]))
    if "not_in" in rule:
        return f"not {' or '.join(map(str, rule['not_in']))}"
    low, high = (limits[limit[1:]] if isinstance(limit, str) else limit for limit in rule["between"])
    if low == high:
        return f"exactly {low}"
    return f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"


def write_suite(path: Path, rules: Mapping[str, Rule]) -> None:
    """Write the suite's JSON beside the code."""
    path.write_text(as_json(rules), encoding="utf-8")
