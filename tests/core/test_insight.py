"""The report's sections on why and where: complete, safe, readable without pictures, and left out where unknown."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graft.core import drawing
from graft.core.insight import Doubt, Insight, Look, MixUp
from graft.core.report import render
from tests.core.test_report import CLASSES, HOSTILE, Page, full, minimal

GENERATOR = np.random.default_rng(0)
SECTIONS = ["looked", "mixed-up", "hardest", "features"]


def picture(size: int = 16) -> np.ndarray:
    return GENERATOR.integers(0, 256, (size, size, 3), dtype=np.uint8)


def heat(size: int = 16) -> np.ndarray:
    return GENERATOR.integers(0, 256, (size, size), dtype=np.uint8)


def points(names: tuple[str, ...]) -> list[dict[str, Any]]:
    planes = (("domains", ("source", "target")), ("classes", ("target",)))
    return [
        {"plane": plane, "when": when, "domain": domain, "label": label}
        | {"x": float(GENERATOR.normal()), "y": float(GENERATOR.normal())}
        for plane, domains in planes
        for when in ("before", "after")
        for domain in domains
        for label in names
        for _ in range(5)
    ]


def insight(names: tuple[str, ...] = CLASSES, size: int = 16) -> Insight:
    one, two = names[:2]
    return Insight(
        seed=1,
        seeds=3,
        wrong_for_all=0.125,
        looks=[Look(one, two, 0.98, "surest", picture(size), [heat(size), heat(size)])] * 12
        + [Look(one, one, 0.7, "drawn", picture(size), [heat(size)])] * 12,
        pairs=[MixUp(one, two, 1234, 0.25, [picture(size)] * 6, [picture(size)] * 6)] * 8,
        hardest=[Doubt(one, two, "wrong for 3 of 3", picture(size))] * 18,
        suspects=[Doubt(two, one, "odds 99.1%", picture(size))] * 18,
        n_suspects=23,
        features={
            "rows": {"source": 300, "target": 500},
            "knn": {"before": 0.25, "after": 0.75},
            "mmd": {"before": 0.2, "after": 0.1},
            "notes": [],
        },
        points=points(names),
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render(replace(full(), insight=insight()))


def headings(page: str) -> list[str]:
    return re.findall(r'<h2 id="([a-z-]+)"', page)


def test_the_sections_stand_after_the_mistakes(page: str) -> None:
    found = headings(page)
    assert found[found.index("mistakes") + 1 :][: len(SECTIONS)] == SECTIONS


def test_without_anything_to_show_a_section_is_left_out() -> None:
    assert headings(render(minimal(insight=Insight(0, 1, 0.5)))) == ["results", "measured"]
    assert set(headings(render(minimal(insight=insight())))) == {"results", "measured", *SECTIONS}


def test_it_says_what_is_seen(page: str) -> None:
    assert "the model that ships (seed 1)" in page
    assert "1,234 times, 25.0% of all answers to cactus" in page
    assert "All 3 seeds of transfer get 12.5% of the seen test pictures wrong." in page
    assert "23 test pictures that all seeds call the same other class" in page and "the 18 surest" in page
    assert "<b>25.0%</b> of the pictures of plants rightly before and <b>75.0%</b> after" in page
    assert "0.200 before, 0.100 after" in page


def test_no_suspect_and_what_could_not_be_measured_are_said_or_left_out() -> None:
    figures_ = {"knn": {"before": None, "after": 0.5}, "mmd": {"before": None, "after": None}}
    page = render(replace(full(), insight=replace(insight(), suspects=[], n_suspects=0, seeds=1, features=figures_)))
    assert (
        "None: no test picture" in page
        and "nearest neighbours name" not in page
        and "MMD" not in page.split('<h2 id="features')[1].split("</section>")[0]
    )
    assert "The one seed of transfer gets 12.5%" in page


def test_every_picture_and_chart_has_an_alternative(page: str) -> None:
    parsed = Page(page)
    texts = [image["alt"] for image in parsed.named("img")]
    assert texts.count("A picture of cactus, and what in it speaks for rose, then for cactus") == 12
    assert texts.count("A picture of cactus, and what in it speaks for cactus") == 12
    assert texts.count("Test pictures of cactus that were called rose") == 8
    assert all(texts)
    assert [one["aria-label"] for one in parsed.named("svg")].count(
        "Features before and after fine-tuning in a plane, by classes"
    ) == 1


def test_ids_stay_unique_and_nothing_is_loaded(page: str) -> None:
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(image["src"].startswith("data:image/") for image in parsed.named("img"))
    assert len(parsed.named("script")) == 1  # the page's own


def test_hostile_names_are_text() -> None:
    names = (f"{HOSTILE}\"' $x {{{{ 7 * 7 }}}}", "]]></svg><script>", *CLASSES[2:])
    parsed = Page(render(replace(full(), insight=insight(names))))
    assert len(parsed.named("script")) == 1  # the page's own
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]


def test_the_same_facts_give_the_same_bytes() -> None:
    facts = replace(full(), insight=insight())
    assert render(facts) == render(facts)


def test_noise_in_every_picture_keeps_the_page_below_five_megabytes() -> None:
    names = tuple(f"class {index}" for index in range(20))
    assert len(render(replace(full(names, 64), insight=insight(names, 64)))) < 5_000_000


def test_an_overlay_is_brighter_where_the_map_is_and_keeps_the_picture() -> None:
    flat = np.full((8, 8, 3), 90, np.uint8)
    half = np.zeros((8, 8), np.uint8)
    half[:, 4:] = 255
    mixed = drawing.overlay(flat, half)
    assert mixed.dtype == np.uint8 and mixed.shape == (8, 8, 3)
    assert mixed[:, 4:].mean() > mixed[:, :4].mean() + 50
    seen = drawing.overlay(
        np.tile(np.arange(0, 256, 32, dtype=np.uint8)[None, :, None], (8, 1, 3)), np.zeros((8, 8), np.uint8)
    )
    assert np.all(np.diff(seen[0].astype(int).mean(axis=1)) > 10)


def test_the_curve_over_layers_is_drawn_where_it_was_measured(page: str) -> None:
    layers = {
        "blocks": ["stem", "block"],
        "seeds": [0, 1],
        "rows": 840,
        "frozen": [[0.2, 0.3], [0.5, None], [None, None]],
        "learning": [[0.2, 0.3], [0.6, 0.6], [0.7, 0.8]],
    }
    drawn = render(replace(full(), transferability=full().transferability | {"layers": layers}))
    assert "layers" in headings(drawn) and "layers" not in headings(page)
    assert "On 840 validation pictures" in drawn and "each of 2 seeds" in drawn
    rows = re.findall(
        r'<th scope="row">(\d)</th><td class="name">(.+?)</td><td class="n">(.+?)</td><td class="n">(.+?)<', drawn
    )
    assert rows == [("0", "–", "25.0%", "25.0%"), ("1", "stem", "50.0%", "60.0%"), ("2", "block", "–", "75.0%")]
