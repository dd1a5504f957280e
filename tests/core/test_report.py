"""The report page: what it claims, what it must not let through, and that it stands on its own."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from graft.core import export_figures, figures
from graft.core import page as page_parts
from graft.core.outlook import verdict, worth_in_labels
from graft.core.report import (
    ERRORS,
    MORE_SCORES,
    SCORES,
    STAGES,
    Facts,
    gain_text,
    most_confused,
    render,
    sentence,
    size_text,
    sorted_recalls,
    time_text,
)

HOSTILE = "<img src=x onerror=alert(1)>"
ARMS = {"transfer": 0.575, "scratch": 0.452, "article": 0.5}
CLASSES = ("cactus", "rose", "tulip", "pear")


class Page(HTMLParser):
    """Tags with their attributes, and ids, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def named(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def score(mean: float) -> dict[str, Any]:
    return {"mean": mean, "ci95": [mean - 0.02, mean + 0.02], "per_seed": [mean - 0.01, mean, mean + 0.01]}


def gain(points: float, half: float = 2.0) -> dict[str, Any]:
    return {"points": points, "ci95": [points - half, points + half]}


def minimal(points: float = 12.3, **changes: Any) -> Facts:
    evaluation = {
        arm: {"seen": dict.fromkeys(("accuracy", "macro_recall", "macro_f1"), score(ARMS[arm])), "unseen": None}
        for arm in ("transfer", "scratch")
    }
    known = {"evaluation": evaluation | {"gain": {"seen": gain(points), "unseen": None}}}
    return Facts("animals to plants", "animals", "plants", **(known | changes))


def measured() -> dict[str, Any]:
    def of(scores: float, *notes: str) -> dict[str, Any]:
        along = {"explained_variance": [0.5, 0.2, 0.1], "separability": [2.0, 1.0, 0.4]}
        return {
            "scores": {"knn": scores, "logme": -scores, "nleep": None, "new_score": 3 * scores},
            "distances": {"mmd": 0.01 * scores},
            "directions": {name: {"source": along, "target": along} for name in ("pca", "lda")},
            "notes": list(notes),
        }

    rows = {"source": 500, "target": 500, "labelled": 200}
    return {"rows": rows, "transfer": of(0.41, f"class 3 {HOSTILE} has 1 row"), "scratch": of(0.25)}


def curve() -> dict[str, Any]:
    arm = {
        "accuracy": [{"mean": value, "ci95": [value - 0.05, value + 0.05]} for value in (0.4, 0.5, 0.6)],
        "law": {"ceiling": 0.95, "gap": 1.2, "rate": 0.5},
        "to_reach": [
            {"accuracy": 0.8, "labels": 64.2, "ci95": [48.1, None], "farthest": 200.0},
            {"accuracy": 0.95, "labels": None, "ci95": [150.0, None], "farthest": 200.0},
        ],
        "check": {"labels": 20.0, "predicted": 0.61, "ci95": [0.55, 0.66], "measured": 0.6},
    }
    worth = {"labels": 9.6, "ci95": [-1.2, 14.4], "more": False}
    sets = {"seen": dict.fromkeys(ARMS, arm) | {"worth": worth}, "unseen": dict.fromkeys(ARMS, arm)}
    return {"labels": [5, 10, 20], "seeds": [0, 1], "labels_per_class": 10, "sets": sets}


def full(classes: tuple[str, ...] = CLASSES, pictures_px: int = 16) -> Facts:
    generator = np.random.default_rng(0)

    def picture() -> np.ndarray:
        return generator.integers(0, 256, (pictures_px, pictures_px, 3), dtype=np.uint8)

    names = (*SCORES, *MORE_SCORES, *ERRORS)
    judged = {
        "uncalibrated": {"expected_calibration_error": 0.31},
        "groups": {"night": {"rows": 90, "accuracy": score(0.4)}, HOSTILE: {"rows": 9, "accuracy": score(0.6)}},
        "abstention": {
            "curve": [[0.1, 0.9], [0.5, 0.8], [1.0, 0.5]],
            "thresholds": [
                {"wanted": 0.9, "confidence": 0.72, "coverage": 0.21, "accuracy": 0.913},
                {"wanted": 0.99, "confidence": 2.0, "coverage": 0.0, "accuracy": 1.0},
            ],
        },
    }
    both = {name: dict.fromkeys(names, score(0.5)) | judged for name in ("seen", "unseen")}
    rates = {arm: [0.001, 0.003] for arm in ARMS}
    file = {
        "format": "tflite",
        "precision": "int8",
        "bytes": 1_400_000,
        "sha256": "ab" * 32,
        "accuracy": 0.57,
        "accuracy_ci95": [0.55, 0.59],
        "class_drop_points": [2.5, None, -1.0],
        "agreement": 0.991,
        "max_probability_difference": 0.01,
        "builtin_operators_only": True,
        "latency_ms": {"median": 1.0, "p95": 2.0, "threads": 1, "runs": 100},
        "peak_memory_mb": 5.25,
        "input": "uint8",
        "output": "float32",
    }
    refused = file | {"passed": False, "refused_because": [f"too different {HOSTILE}"]}
    return Facts(
        title=f"animals {HOSTILE}",
        source_name="animals",
        target_name="plants",
        evaluation=dict.fromkeys(ARMS, both)
        | {
            "gain": {"seen": gain(12.3), "unseen": gain(0.4)},
            "comparisons": [
                {"set": "seen", "first": "transfer", "second": "scratch", **gain(12.3)}
                | {"only_first": 310, "only_second": 95, "p_value": 1e-9, "p_corrected": 6e-9},
                {"set": "seen", "first": "transfer", "second": "article", **gain(1.1)}
                | {"only_first": 120, "only_second": 99, "p_value": 0.2, "p_corrected": 0.4},
            ],
            "other_kind": {"animals": {"auroc": 0.83, "other_at_95": 0.61}},
            "top_k": 3,
            "labels_per_class": 10,
            "seeds": [0, 1, 2],
            "steps": 400,
            "learning_rates_tried": rates,
            "learning_rate": dict.fromkeys(ARMS, 0.003),
            "source": {"accuracy": {"seen": 0.8, "unseen": None}},
            "n_test": {"seen": 1700, "unseen": 1500},
            "classes": list(classes),
        },
        transferability=measured(),
        curve=curve(),
        export={
            "seed": 1,
            "pictures": 3200,
            "keras": {"accuracy": 0.575},
            "runs": "model.tflite",
            "calibration": {
                "temperature": 2.2,
                "before": {"expected_calibration_error": 0.278},
                "after": {"expected_calibration_error": 0.071},
            },
            "files": {"model.tflite": file | {"passed": True}, f"{HOSTILE}.tflite": refused},
        },
        seconds=[
            {"stage": stage, "seconds": 3.5 * index, "peak_memory_mb": 900, "ran": "2026-01-01T00:00:00"}
            for index, stage in enumerate(STAGES)
        ],
        cost={
            "transfer": {"pretraining": spent(40.0, 1, 0.5), "finetuning": spent(100.0, 5, 1.25)},
            "scratch": {"pretraining": None, "finetuning": spent(100.0, 5, None)},
        },
        curves=[
            {"arm": arm, "seed": float(seed), "learning_rate": rate, "step": step, "val_accuracy": step / 100}
            for arm in ARMS
            for seed in range(3)
            for rate in (0.001, 0.003)
            for step in (10.0, 20.0, 30.0)
        ]
        + [{"arm": "other", "step": 10.0, "val_loss": 0.3}],
        confusion=generator.integers(0, 40, (len(classes), len(classes))),
        per_class=[
            {"class": label, "arm": arm, "recall": float(generator.random())} for label in classes for arm in ARMS
        ],
        projection=[
            {"domain": domain, "label": label, "x": float(generator.normal()), "y": float(generator.normal())}
            for domain in ("source", "target")
            for label in classes
            for _ in range(9)
        ],
        samples={domain: [(label, [picture()] * 8) for label in classes] for domain in ("animals", "plants")},
        mistakes=[(classes[0], classes[1], 0.98, picture())] * 24,
        disagreements={"model.tflite": [(classes[0], HOSTILE, classes[1], 0.12, picture())] * 3},
        credits=[{"title": HOSTILE, "artist": HOSTILE, "licence": "MIT", "version": "1.0"}],
        settings_yaml=f"seed: 7  # {HOSTILE}\n",
        made_from=[("git commit", "0f1e2d"), (f"target data, {HOSTILE}", "md5 8c9b")],
        versions={"numpy": "2.4.6"},
        created="2026-01-01 00:00 UTC",
    )


def spent(cpu_seconds: float, trainings: int, energy_wh: float | None) -> dict[str, Any]:
    return {
        "trainings": trainings,
        "seconds": 2 * cpu_seconds,
        "cpu_seconds": cpu_seconds,
        "peak_memory_mb": 1234,
        "energy_wh": energy_wh,
    }


@pytest.fixture(scope="module")
def page() -> str:
    return render(full())


def test_a_full_page_has_every_section(page: str) -> None:
    headings = re.findall(r'<h2 id="([a-z-]+)"', page)
    assert headings == [
        *(
            "results",
            "outlook",
            "labels",
            "files",
            "sure",
            "groups",
            "pictures",
            "classes",
            "mistakes",
            "curves",
            "domains",
        ),
        *("seconds", "measured"),
        *("settings", "made-with"),
    ]


def test_what_each_arm_cost_stands_there_with_its_pretraining_and_what_was_not_counted_is_said(page: str) -> None:
    rows = re.findall(r'<th scope="row" class="key (\w+)">\w+</th>((?:<td class="n">[^<]*</td>){6})', page)
    cells = {arm: re.findall(r">([^<]*)</td>", row) for arm, row in rows}
    assert cells["transfer"] == ["40 s", "1 min 40 s", "5", "40 s", "1,234 MB", "1.75 Wh"]
    assert cells["scratch"] == ["none", "1 min 40 s", "5", "40 s", "1,234 MB", "not counted"]


def test_the_page_says_which_commit_and_data_it_was_made_from(page: str) -> None:
    assert "git commit: <code>0f1e2d</code>" in page and "<code>md5 8c9b</code>" in page


def test_a_minimal_page_leaves_out_what_is_not_known() -> None:
    text = render(minimal())
    assert re.findall(r'<h2 id="([a-z-]+)"', text) == ["results", "measured"]
    assert "+12.3 points [10.3, 14.3]" in text


@pytest.mark.parametrize(
    ("points", "said", "opening"),
    [
        (12.3, "paid", "Reuse paid: "),
        (-4.0, "hurt", "Reuse hurt here: "),
        (0.4, "no difference measured", "No difference measured between reuse and training from scratch: "),
    ],
)
def test_the_verdict_follows_the_interval(points: float, said: str, opening: str) -> None:
    facts = minimal(points)
    assert verdict(gain(points)) == said
    assert sentence(facts).startswith(opening)
    assert f"<h1>{opening}" in render(facts)


def test_an_interval_that_touches_zero_tells_nothing_apart() -> None:
    assert verdict({"points": 2.0, "ci95": [0.0, 4.0]}) == "no difference measured"


def test_the_page_says_what_the_features_said_and_what_came_of_it(page: str) -> None:
    assert "2 of 3 scores rate the features higher after learning the source than before." in page
    assert "Measured after fine-tuning: reuse paid on seen, no difference measured on unseen." in page
    assert re.search(r"k-NN.*?</th><td class=\"n\">41.0%</td><td class=\"n\">25.0%</td>", page)
    assert "worse than none" not in page
    worse = replace(full(), evaluation=full().evaluation | {"gain": {"seen": gain(-4.0), "unseen": None}})
    assert "reuse hurt on seen. Transfer was worse than none on seen: another source, or none, would do" in render(
        worse
    )


def test_calibration_is_told_where_it_was_measured_and_left_out_where_not(page: str) -> None:
    assert "a temperature of 2.20" in page and "27.8" in page and "<b>7.1" in page
    export = {key: value for key, value in full().export.items() if key != "calibration"}
    assert "temperature" not in render(replace(full(), export=export))


def test_hostile_names_are_text_everywhere() -> None:
    label = f"{HOSTILE}</svg><script>alert(1)</script>\"' $x_^ {{{{ 7 * 7 }}}}"
    text = render(full((label, "]]>", "日本 \x00\x1b[31m", "=cmd|' /C calc'!A0")))
    parsed = Page(text)
    assert len(parsed.named("script")) == 1 and text.count(str(page_parts.script())) == 1
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert all(image["src"].startswith("data:image/") for image in parsed.named("img"))
    assert "&lt;img src=x onerror" in text
    assert "{{ 7 * 7 }}" in text


def test_names_that_are_not_utf8_do_not_stop_the_page() -> None:
    render(full(("caf\udce9", *CLASSES[1:]))).encode("utf-8")


def test_the_page_loads_nothing_from_outside(page: str) -> None:
    parsed = Page(page)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"link", "iframe", "object", "embed", "base", "form"})
    for _, attributes in parsed.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                assert value.startswith(("data:image/", "#")), (name, value[:60])
    assert not re.search(r"url\((?!#)", page) and "@import" not in page


def test_no_script_but_the_pages_own_may_run(page: str) -> None:
    found = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = next(one["content"] for one in Page(page).named("meta") if "Content-Security" in one.get("http-equiv", ""))
    assert found
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy


def test_images_have_alternatives_and_tables_have_scopes(page: str) -> None:
    parsed = Page(page)
    assert parsed.named("img") and all(image.get("alt") for image in parsed.named("img"))
    assert len(parsed.named("svg")) == 13
    assert all(chart.get("role") == "img" and chart.get("aria-label") for chart in parsed.named("svg"))
    assert all(header.get("scope") in ("col", "row") for header in parsed.named("th"))
    assert parsed.named("html")[0]["lang"] == "en"


def test_ids_are_unique_and_references_resolve(page: str) -> None:
    parsed = Page(page)
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    used = [value[1:] for tag in parsed.named("use") for name, value in tag.items() if name == "xlink:href"]
    used += re.findall(r"url\(#([^)]+)\)", page)
    used += [value for _, attributes in parsed.tags if (value := attributes.get("aria-labelledby"))]
    assert len(ids) == len(set(ids))
    assert used and set(used) <= set(ids)


def test_the_same_facts_give_the_same_bytes(page: str) -> None:
    assert render(full()) == page


def test_twenty_classes_of_noise_stay_below_three_megabytes() -> None:
    assert len(render(full(tuple(f"class {index}" for index in range(20)), pictures_px=64))) < 3_000_000


def test_very_many_classes_still_make_a_page() -> None:
    text = render(full(tuple(f"class {index}" for index in range(100)), pictures_px=8))
    assert "class 99" in text


def test_a_refused_file_is_said_on_top(page: str) -> None:
    top = page[: page.index("<main>")]
    assert "1 of 2 exported files refused:" in top
    assert "✗ refused" in page


def test_files_are_told_with_intervals_the_one_that_runs_and_where_they_part_from_keras(page: str) -> None:
    text = page[page.index('id="files"') :]
    assert "55.0% to 59.0%" in text and "points" in text[text.index("Classes that lose most") :]
    assert "Where model.tflite and Keras part most" in text and "a probability differs by 12.0%" in text
    assert "Accuracy of each exported file over its size and its time" in text and "mathdefault" not in text
    assert "<b>model.tflite</b>: 1.4 MB, accuracy 57.0% of the Keras model" in page[: page.index("<main>")]


def test_files_of_an_older_report_without_intervals_make_a_page() -> None:
    files = {
        name: {k: v for k, v in one.items() if k != "accuracy_ci95"} for name, one in full().export["files"].items()
    }
    assert "model.tflite" in render(replace(full(), export={**full().export, "files": files, "runs": ""}))


def with_variant() -> Facts:
    """The full report of a net that also has a pruned variant, whose smallest file runs."""
    export = dict(full().export)
    [whole, _] = export["files"].values()
    has = {"accuracy": 0.575, "accuracy_ci95": [0.55, 0.6], "parameters": 586_000}
    lost = {"trained": True, "drop_points": 0.6, "drop_ci95": [-0.3, 1.5]}
    files = {
        f"model{'-' * bool(net)}{net}-{precision}.tflite": whole
        | {"variant": net, "precision": precision, "bytes": size, "passed": precision == "int8"}
        for net, sizes in (("", (2_000_000, 600_000)), ("pruned", (1_000_000, 300_000)))
        for precision, size in zip(("float32", "int8"), sizes, strict=True)
    }
    told = {"keras": has, "variants": {"pruned": has | lost}, "files": files, "runs": "model-pruned-int8.tflite"}
    return replace(full(), export=export | told)


def test_variants_are_told_in_a_table_and_drawn_in_a_colour_each_with_a_shape_for_each_precision() -> None:
    export = with_variant().export
    text = render(with_variant())
    assert '<th scope="row" class="name">pruned</th>' in text and "0.6 [-0.3, 1.5]" in text
    assert "<b>model-pruned-int8.tflite</b>: 300.0 kB" in text
    looks = {name: look for name, look in export_figures._looks(export["files"])}
    assert len({look.colour for look in looks.values()}) == len({look.shape for look in looks.values()}) == 2
    assert len({(look.colour, look.shape) for look in looks.values()}) == len(looks) == 4
    drawn = str(export_figures.trade(export["files"], 0.575, export["runs"]))
    assert all(
        f">{told}<" in drawn for told in ("whole", "pruned", "float32", "int8", "model-pruned-int8.tflite, runs")
    )


def test_files_of_one_net_have_a_colour_each_and_are_named_beside_it() -> None:
    export = full().export
    drawn = str(export_figures.trade(export["files"], 0.575, export["runs"]))
    assert ">model.tflite, runs<" in drawn and ", refused<" in drawn and ">whole<" not in drawn


def test_curves_show_the_learning_rate_that_was_kept(page: str) -> None:
    facts = full()
    every = figures.curves(facts.curves, "val_accuracy", "accuracy on validation rows, %", 100)
    assert every and every not in page
    assert figures.curves(facts.curves, "absent", "absent") is None


def test_comparisons_and_confidence_are_told_in_figures() -> None:
    page = render(full())
    for told in (
        "true class among the top 3",
        "transfer − scratch",
        "&lt; 0.001",
        "0.400",
        "corrected for 2 comparisons",
        "<b>50.0%</b> (31.0% without)",
        "Pictures of animals are told from seen ones by a lower confidence with an AUROC of 0.83",
        "0.72",
        "21.0%",
        "91.3%",
        "none will do",
    ):
        assert told in page, told
    assert 'aria-label="Accuracy over coverage' in page and 'aria-label="Accuracy on each named group' in page
    assert "night" in page


def test_the_curve_is_read_in_plain_words() -> None:
    page = render(full())
    for told in (
        "Reuse is worth 10 more labels per class [−1, 14].",
        "transfer reaches 80% with about 64 labels per class [48, over 200].",
        "scratch does not reach 95% within 200 labels per class, as far as can be foretold.",
        "the curve foretells 61.0% [55.0, 66.0] for 20 labels per class; measured: 60.0%",
    ):
        assert told in page, told
    none = render(minimal(curve={"labels": [], "not_measured": f"curve.labels is {HOSTILE}"}))
    assert "Not measured: curve.labels is &lt;img" in none and none.count("What more labels would buy") == 1
    beyond = {"labels": 70.0, "ci95": [65.0, 70.0], "more": True}
    assert worth_in_labels(beyond) == "Reuse is worth more than 65 labels per class: scratch never got there."


def test_a_run_without_them_has_no_such_sections() -> None:
    page = render(minimal())
    assert all(f'id="{name}"' not in page for name in ("sure", "groups", "labels")) and "Every two arms" not in page


def test_a_search_over_settings_is_linked_to_where_there_was_one() -> None:
    text = render(replace(minimal(), tuned={"transfer": f"found nothing {HOSTILE}"}))
    assert [link["href"] for link in Page(text).named("a") if link["href"].endswith(".html")] == ["tune.html"]
    assert HOSTILE not in text and "found nothing &lt;img" in text
    assert "tune.html" not in render(minimal())


def test_recalls_are_sorted_by_what_reuse_gained() -> None:
    rows = [
        {"class": label, "arm": arm, "recall": recall}
        for label, transfer, scratch in (("a", 0.5, 0.6), ("b", 0.9, 0.2), ("c", 0.5, None))
        for arm, recall in (("transfer", transfer), ("scratch", scratch))
    ]
    assert [one.label for one in sorted_recalls(rows)] == ["b", "a"]


def test_the_commonest_mix_ups_come_first_and_hits_are_none() -> None:
    counts = np.array([[90, 10, 0], [30, 70, 0], [0, 0, 0]])
    first, second = most_confused(counts, ["a", "b", "c"])
    assert (first.actual, first.predicted, first.times, first.share) == ("b", "a", 30, 0.3)
    assert second.actual == "a"


def test_numbers_read_well() -> None:
    assert gain_text({"points": -0.04, "ci95": [-1.25, 0.96]}) == "+0.0 points [−1.2, 1.0]"
    assert [size_text(size) for size in (12, 5_300, 1_400_000)] == ["12 B", "5.3 kB", "1.4 MB"]
    assert [time_text(seconds) for seconds in (0.84, 42.4, 200.0)] == ["0.8 s", "42 s", "3 min 20 s"]
