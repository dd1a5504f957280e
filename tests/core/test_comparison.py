"""Which source to take is said with its interval, what cannot be told apart is named, and names are shown as text."""

import numpy as np
import pytest

from graft.core import comparison, comparison_page
from graft.core.atlas import Record
from graft.core.evaluation import Resampling
from tests.core.records import cell, look

HOW = Resampling(200, 0)


def answers(accuracy: float, seed: int, rows: int = 400) -> list[int]:
    return (np.random.default_rng(seed).random(rows) < accuracy).astype(int).tolist()


def measured(target: str = "t", **accuracy: float) -> list[Record]:
    """Cells of sources with these accuracies; the scratch net has 0.5."""
    given = {None: 0.5} | accuracy
    return [
        cell(source, target, seed, answers(value, 100 * index + 10 * seed + labels), labels)
        for index, (source, value) in enumerate(given.items())
        for seed in range(3)
        for labels in (5, 10)
    ]


def test_a_source_that_stands_out_is_to_be_taken_and_one_that_harms_is_named() -> None:
    [found] = comparison.compare(measured(good=0.8, idle=0.5, bad=0.2), HOW)
    assert [one.source for one in found.standings] == ["good", "idle", "bad"]
    assert [one.verdict for one in found.standings] == ["helps", "no gain shown", "harms"]
    assert found.sentence.startswith("t: take good, +") and found.sentence.endswith("better than every other source")
    assert found.warnings[0].startswith("Harm t: bad (−") and found.warnings[1] == "No gain shown on t: idle."
    assert found.standings[0].behind.mean == 0 and 25 < found.standings[1].behind.mean < 35


def test_sources_that_cannot_be_told_apart_are_all_named() -> None:
    [found] = comparison.compare(measured(one=0.8, two=0.8, three=0.3), HOW)
    first, second = (one.source for one in found.standings[:2])
    assert {first, second} == {"one", "two"}
    assert f"take {first}" in found.sentence and found.sentence.endswith(f"not told apart from it: {second}")


def test_where_nothing_helps_no_source_is_recommended() -> None:
    [found] = comparison.compare(measured(idle=0.5, bad=0.2), HOW)
    assert found.sentence.startswith("t: no source is shown to help; idle comes first with")


def test_cells_that_diverged_have_no_say() -> None:
    whole = measured(good=0.8)
    broken = Record("cell", cell("lost", "t", 0, [1]).decides, {"diverged": True, "sets": {}, "seconds": 1.0}, {})
    [found] = comparison.compare([*whole, broken], HOW)
    assert [one.source for one in found.standings] == ["good"]
    assert comparison.compare([broken], HOW) == []


def test_the_page_shows_names_as_text_and_the_order_that_scores_would_have_given() -> None:
    name = "<b>x"
    records = measured(name, good=0.8, idle=0.55, bad=0.2)
    looks = [
        look(source, name, score=score, far=far) for source, score, far in (("good", 0.3, 2.0), ("idle", 0.2, 1.5))
    ]
    looks.append(look("bad", name, score=0.1, far=0.1, learned=0.1))
    [found] = comparison.compare(records, HOW)
    said = comparison_page.said(found, looks)
    assert said is not None and said.closest == {"MMD": "bad"}
    assert dict(said.agreement) == pytest.approx({"LogME": 1.0, "linear probe": 1.0, "MMD": -1.0})
    assert [row[:2] for row in said.rows] == [("good", "90.0%"), ("idle", "90.0%"), ("bad", "10.0%")]
    text = comparison_page.render([found], looks, ["A note."], "today")
    assert "&lt;b&gt;x: take good" in text and "<b>x" not in text
    assert "Nearest by MMD: bad." in text and "A note." in text


def test_several_targets_stand_on_one_page() -> None:
    both = comparison.compare([*measured("t", good=0.8), *measured("u", good=0.2)], HOW)
    text = comparison_page.render(both, [], [], "today")
    assert "<h1>Which source to take</h1>" in text and text.count("<section") == 2
    assert comparison_page.said(both[0], []) is None
