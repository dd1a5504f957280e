"""The data gate's rules as a Great Expectations suite, run on the manifest. The only Great Expectations."""

from dataclasses import dataclass
from typing import Any

from graft.core.dataset import SPLITS


@dataclass(frozen=True)
class Finding:
    """The verdict on one rule.

    Attributes:
        rule: the expectation's name and column.
        passed: whether every row met it.
        failed: number of rows that did not.
        rows: the first of those, as indices into the frame.
        expected: what was asked, in words.
    """

    rule: str
    passed: bool
    failed: int
    rows: tuple[int, ...]
    expected: str


def check(frame: Any, rules: dict[str, dict[str, Any]]) -> list[Finding]:
    """Run the suite over `frame`.

    Args:
        frame: pandas.DataFrame, one row per picture.
        rules: by column: {"in": [...]}, {"between": [low, high]} (None is open) or {"equal": value}.

    Returns:
        One finding per rule, in the rules' order.

    Raises:
        RuntimeError: the suite evaluated fewer rules than it has, or one raised: never taken for a pass.
    """
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = context.suites.add(gx.ExpectationSuite(name="manifest"))
    for column, rule in rules.items():
        suite.add_expectation(_expectation(gx, column, rule))
    asset = context.data_sources.add_pandas("manifest").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="manifest", data=batch, suite=suite))
    results = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]},
    ).results
    if len(results) != len(rules):
        raise RuntimeError(f"the data gate evaluated {len(results)} of {len(rules)} rules")
    by_column = {result.expectation_config.kwargs["column"]: result for result in results}
    return [_finding(frame, column, rule, by_column[column]) for column, rule in rules.items()]


def base_rules() -> dict[str, dict[str, Any]]:
    """What every manifest must meet, whatever the modality."""
    return {
        "problem": {"equal": ""},
        "domain": {"in": ["source", "target"]},
        "split": {"in": list(SPLITS)},
        "splits_of_sha256": {"between": [1, 1]},
        "labels_of_sha256": {"between": [1, 1]},
    }


def _expectation(gx: Any, column: str, rule: dict[str, Any]) -> Any:
    if "in" in rule:
        return gx.expectations.ExpectColumnValuesToBeInSet(column=column, value_set=rule["in"])
    if "equal" in rule:
        return gx.expectations.ExpectColumnValuesToBeInSet(column=column, value_set=[rule["equal"]])
    low, high = rule["between"]
    return gx.expectations.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)


def _finding(frame: Any, column: str, rule: dict[str, Any], result: Any) -> Finding:
    if result.exception_info and "raised_exception': True" in str(result.exception_info):  # flat, or keyed by metric
        raise RuntimeError(f"the data gate's rule on {column} raised: {result.exception_info}")
    missing = [int(row) for row in frame["row"][frame[column].isna()]]  # Great Expectations leaves them out
    wrong = [int(entry["row"]) for entry in result.result.get("unexpected_index_list") or ()]
    count = int(result.result.get("unexpected_count") or 0) + len(missing)
    rows = tuple(sorted(missing + wrong)[:20])
    return Finding(column, bool(result.success) and not missing, count, rows, _words(rule))


def _words(rule: dict[str, Any]) -> str:
    if "in" in rule:
        return f"one of {', '.join(map(str, rule['in']))}"
    if "equal" in rule:
        return "none" if rule["equal"] == "" else str(rule["equal"])
    low, high = rule["between"]
    if low == high:
        return f"exactly {low}"
    return f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
