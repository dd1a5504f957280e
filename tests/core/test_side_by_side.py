"""Two runs on one page: differences have a sign, what is not known is a dash, nothing is claimed."""

import re
from dataclasses import replace
from typing import Any

import pytest

from graft.core import side_by_side
from graft.core.errors import BadInput
from graft.core.side_by_side import Run, render
from tests.core.test_report import HOSTILE, Page, full, gain, score


def run(name: str, shift: float = 0.0, **changes: Any) -> Run:
    facts = full()
    seen = dict.fromkeys(("accuracy", "macro_recall", "macro_f1"), score(0.5 + shift))
    known = Run(
        name=name,
        origin="a folder",
        evaluation={"transfer": {"seen": seen, "unseen": None}, "gain": {"seen": gain(12.3), "unseen": None}},
        export={"files": {"model.tflite": facts.export["files"]["model.tflite"]}},
        settings={"seed": 7, "finetune": {"steps": 400}},
        data={"target": {"name": "plants", "pictures": 40, "md5": "0" * 32}},
        versions={"numpy": "2.4.6", "keras": "3.15.1"},
    )
    return replace(known, **changes)


def section(text: str, name: str) -> str:
    found = re.search(rf'<section aria-labelledby="{name}">.*?</section>', text, re.DOTALL)
    assert found
    return found[0]


def test_differences_have_a_sign_and_are_called_not_paired() -> None:
    text = render(run("before"), run("after", -0.125))
    assert "<h1>after against before: accuracy on the seen test set −12.5 points, not paired</h1>" in text
    rows = side_by_side.results(run("before"), run("after", -0.125)).rows
    assert ("seen", "transfer", "accuracy", "50.0% [48.0, 52.0]", "37.5% [35.5, 39.5]", "−12.5 points") in rows
    assert "zero cannot be said" in text


def test_a_difference_that_rounds_to_nothing_has_no_minus() -> None:
    assert "+0.0 points, not paired" in side_by_side.sentence(run("a"), run("b", -0.0001))


def test_each_run_has_its_own_verdict() -> None:
    hurt = run("after", evaluation={"gain": {"seen": gain(-4.0), "unseen": gain(0.4)}})
    text = render(run("before"), hurt)
    assert "<b>before</b><div>reuse paid on seen, +12.3 points [10.3, 14.3].</div>" in text
    assert "reuse hurt on seen, −4.0 points [−6.0, −2.0]; no difference measured on unseen, +0.4 points" in text


def test_only_settings_and_versions_that_differ_are_shown() -> None:
    other = run("b", settings={"seed": 7, "finetune": {"steps": 500}}, versions={"numpy": "2.5.0", "keras": "3.15.1"})
    text = render(run("a"), other)
    assert "finetune.steps" in section(text, "settings") and "seed" not in section(text, "settings")
    assert "2.5.0" in section(text, "versions") and "keras" not in section(text, "versions")
    assert "None differs." in section(render(run("a"), run("b")), "settings")


@pytest.mark.parametrize(
    ("md5", "told"),
    [("0" * 32, "Both runs had the same data."), ("1" * 32, "had different data"), ("", "the same data is not known")],
)
def test_other_data_are_said_on_top(md5: str, told: str) -> None:
    other = run("b", data={"target": {"name": "plants", "pictures": 40, "md5": md5}})
    text = render(run("a"), other)
    assert told in text[: text.index("<main>")]


def test_what_one_run_lacks_is_a_dash() -> None:
    bare = Run("b", "a release", {"gain": {"seen": gain(1.0)}, "transfer": "nonsense"})
    text = render(run("a"), bare)
    assert "accuracy of transfer is not known of both" in text
    assert "Not known of b." in section(text, "versions")
    assert "<td>57.0%</td><td>–</td><td>differs</td>" in section(text, "files")


@pytest.mark.parametrize(
    "evaluation", [{}, {"gain": {"seen": {"points": 1.0}}}, {"gain": {"seen": gain(1) | {"ci95": "no"}}}]
)
def test_a_run_without_results_is_refused(evaluation: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="^b holds no gain"):
        render(run("a"), run("b", evaluation=evaluation))


def test_hostile_names_are_text() -> None:
    hostile = f"{HOSTILE}<script>alert(1)</script>\udce9"
    file = {hostile: {"accuracy": 0.5, "bytes": 3, "passed": True, "sha256": hostile}}
    bad = run(hostile, origin=hostile, settings={hostile: hostile}, versions={hostile: "1"}, export={"files": file})
    parsed = Page(render(run("a"), bad))
    assert not parsed.named("img") and len(parsed.named("script")) == 1
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
