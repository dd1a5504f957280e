"""Every kind of bad input that we could think of meets the verdict it deserves, alone and all together."""

import csv
import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance
from rich.console import Console

from graft.core import drift, duplicates
from graft.core import settings as settings_file
from graft.core.dataset import Picture, Request
from graft.core.errors import BadInput, DataRejected, one_line
from graft.core.names import to_path
from graft.core.page import script
from graft.core.plugins import Plugin
from graft.core.sections import Choice
from graft.modalities import image
from tasks import ingest, validate
from tasks.adapters import expectations, files
from tasks.choices import Choices
from tasks.gate import listing, profile, rules
from tasks.workspace import ROLES, Workspace
from tests.tasks import corpus
from tests.tasks.corpus import KINDS, SEVERITIES, Kind, saved, scene

ROOT = Path(__file__).parents[2]
MEMORY_MB = 500
STATISTICAL = {"label_suspect", "outlier"}
"""No verdict on a single file: `benchmarks.gate` says how often they are right."""
READING = {"unsafe_file", "unreadable", "format", "too_large", "animated", "mode"}


# One file at a time


def test_the_corpus_is_large_and_its_severities_are_those_of_a_fresh_clone() -> None:
    assert len(KINDS) >= 40
    severities = settings_file.load(ROOT / "params.yaml").validate_.rules
    for rule, severity in SEVERITIES.items():
        assert severities.get(rule, "stop") == severity
    assert SEVERITIES.keys() | STATISTICAL == {*rules.PICTURES, *image.RULES, *rules.CLASSES, *rules.DOMAINS} - {
        "domain",
        "split",
    }


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_file_is_taken_with_the_right_pixels_or_refused_by_the_right_rule(kind: Kind) -> None:
    sample = kind.make()
    expected = kind.broken & READING
    facts, measures = image.peek(sample.data), image.measure(sample.data)
    told = measures.problem.partition(": ")[0]
    assert told in {*expected, ""} if kind.either else {told} == (expected or {""})
    assert measures.problem.isprintable() and "object at" not in measures.problem
    if facts.problem:  # a header says no more than the pixels do
        assert facts.problem == measures.problem and facts[:2] == (0, 0)
    if told:
        assert measures.sample is None and not measures.pixels
        return
    assert measures.sample is not None and measures.sample.shape == (measures.height, measures.width, 3)
    decoded = image.decode(sample.data, image.Options(size_px=32))
    assert decoded.shape == (32, 32, 3)
    if sample.pixels is not None:
        assert measures.sample.shape == sample.pixels.shape
        off = np.abs(measures.sample.astype(int) - sample.pixels.astype(int))
        assert float(off.mean()) <= sample.within


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell a process's own peak of memory")
def test_no_bomb_takes_more_memory_than_a_large_picture() -> None:
    """In a process of their own, one after the other: what is measured is the worst of them.

    Not by getrusage: a child's maximum there begins with what its parent held when it was started.
    """
    program = (
        "from pathlib import Path\n"
        "from graft.modalities import image\n"
        "from tests.tasks import corpus\n"
        "for name in corpus.BOMBS:\n"
        "    data = corpus.KINDS[name].make().data\n"
        "    assert image.measure(data).problem\n"
        "    assert image.peek(data).problem\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(status.partition('VmHWM:')[2].split()[0]) // 1024)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < MEMORY_MB


# All together


def large(name: str) -> Any:
    return scene(name, 128, 96)


def jpeg(pixels: Any, quality: int = 95) -> bytes:
    return saved(pixels, "JPEG", quality=quality)


def resized(pixels: Any) -> bytes:
    half = Image.fromarray(pixels)
    return saved(half.resize((half.width // 2, half.height // 2), Image.Resampling.LANCZOS))


def brighter(pixels: Any, factor: float = 1.05) -> bytes:
    return saved(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(factor))


def again(pixels: Any) -> bytes:
    """The same pixels in other bytes."""
    return saved(pixels, "PNG", compress_level=1)


@dataclass
class Planted:
    """Files as they are laid out, and what is expected of each.

    Attributes:
        target: bytes by path below the target's root, which has class folders alone.
        source: bytes, label and split by path; a table names them.
        expected: rules that each "role/path" breaks; for "role:label" those of a class, for "role" of the domain.
        either: of those that may break what is expected, or nothing.
        partners: what it is a copy of, as "role/path".
    """

    target: dict[str, bytes]
    source: dict[str, tuple[bytes, str, str]]
    expected: dict[str, set[str]]
    either: set[str]
    partners: dict[str, str]


def planted() -> Planted:
    made = Planted({}, {}, defaultdict(set), set(), {})
    _target(made)
    _source(made)
    return made


def _target(made: Planted) -> None:
    for kind in KINDS.values():
        path = f"ash/{kind.name}{kind.suffix}"
        made.target[path] = kind.make().data
        made.expected[f"target/{path}"] = set(kind.broken)
        if kind.either:
            made.either.add(f"target/{path}")
    for name in corpus.NAMES:
        made.target[f"ash/{name}"] = corpus.gif()
        made.expected[f"target/{to_path(f'ash/{name}')}"] = {"format"}
    made.target[f"ash/{corpus.FORGED}"] = b""
    made.expected[f"target/ash/{corpus.FORGED}"] = {"unreadable"}
    labels = ("birch", "<img src=x onerror=alert(2)>", "=cmd('calc')", "caf\u00e9", "cafe\u0301")
    for label in labels:
        for number in range(18):
            made.target[f"{label}/{number}.png"] = saved(large(f"target {label} {number}"))
    for label in labels[-2:]:
        made.expected[f"target:{label}"] = {"class_names"}
    for number in range(8):
        made.target[f"scarce/{number}.png"] = saved(scene(f"scarce {number}"))
    made.expected["target:scarce"] = {"labels_per_class"}
    made.expected["target"] = {"drift_classes", "drift_brightness", "drift_features"}


def _source(made: Planted) -> None:
    def put(path: str, data: bytes, label: str, split: str, broken: str = "", copy_of: str = "") -> None:
        made.source[path] = data, label, split
        if broken:
            made.expected[f"source/{path}"].add(broken)
            made.partners[f"source/{path}"] = copy_of

    for label, count in (("elm", 66), ("fir", 40), ("Oak", 10), ("oak", 10)):
        for number in range(count):
            split = {0: "test", 1: "validation"}.get(number % 5, "train")
            put(f"{label}/{number}.png", saved(large(f"source {label} {number}")), label, split)
    for number in range(3):
        put(f"few/{number}.png", saved(scene(f"few {number}")), "few", ("train", "test", "validation")[number])
    for number in range(6):
        put(f"unsplit/{number}.png", saved(scene(f"unsplit {number}")), "unsplit", "train")
    made.expected |= {"source:few": {"few_images"}, "source:unsplit": {"missing_split"}, "source": {"imbalance"}}
    made.expected |= {f"source:{label}": {"class_names"} for label in ("Oak", "oak")}

    def of(number: int) -> Any:
        return large(f"source elm {number}")

    # 0, 5, 10, ... are for testing, 2, 3, 4, 7, 8, 9, ... for training
    put("elm/copy.png", again(of(2)), "elm", "train", "exact_duplicate", "source/elm/2.png")
    put("elm/copy across splits.png", again(of(5)), "elm", "train", "split_leak", "source/elm/5.png")
    put("fir/copy with another label.png", again(of(3)), "fir", "train", "label_conflict", "source/elm/3.png")
    made.expected["source/elm/3.png"] = {"label_conflict"}
    made.partners["source/elm/3.png"] = "source/fir/copy with another label.png"
    birch = large("target birch 0")
    put("elm/copy of the target.png", again(birch), "elm", "train", "domain_leak", "target/birch/0.png")
    put("elm/near, resized.png", resized(of(4)), "elm", "train", "near_duplicate", "source/elm/4.png")
    put("elm/near, recompressed.jpg", jpeg(of(7), 75), "elm", "train", "near_duplicate", "source/elm/7.png")
    put("elm/near, brighter.png", brighter(of(8)), "elm", "train", "near_duplicate", "source/elm/8.png")
    put("elm/near, darker.png", brighter(of(9), 0.95), "elm", "train", "near_duplicate", "source/elm/9.png")
    put("elm/near across splits.png", resized(of(10)), "elm", "train", "split_leak", "source/elm/10.png")
    near = "fir/near with another label.jpg"
    put(near, jpeg(of(12), 75), "fir", "train", "near_label_conflict", "source/elm/12.png")
    made.expected["source/elm/12.png"] = {"near_label_conflict"}
    made.partners["source/elm/12.png"] = f"source/{near}"
    cut = resized(large("target birch 1"))
    put("elm/near the target.png", cut, "elm", "train", "domain_leak", "target/birch/1.png")
    put("elm/link.png", b"", "elm", "train", "unsafe_file")
    put("elm/pipe.png", b"", "elm", "train", "unsafe_file")
    put("elm/socket.png", b"", "elm", "train", "unsafe_file")
    put("elm/device.png", b"", "elm", "train", "unsafe_file")
    put("elm/hard link.png", b"", "elm", "train", "exact_duplicate", "source/elm/13.png")


def lay_out(made: Planted, root: Path) -> None:
    for path, data in made.target.items():
        (root / "target" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "target" / path).write_bytes(data)
    for path, (data, _, _) in made.source.items():
        (root / "source" / path).parent.mkdir(parents=True, exist_ok=True)
        if data:
            (root / "source" / path).write_bytes(data)
    elm = root / "source" / "elm"
    (elm / "link.png").symlink_to("/etc/passwd")
    os.mkfifo(elm / "pipe.png")
    os.link(elm / "13.png", elm / "hard link.png")
    here = os.getcwd()
    os.chdir(elm)  # a socket's path may be no longer than 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.png")
    finally:
        os.chdir(here)
    try:
        os.mknod(elm / "device.png", 0o020600, os.makedev(1, 3))
    except PermissionError:  # root's alone; a pipe then stands for it
        os.mkfifo(elm / "device.png")
    with (root / "source" / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([path, label, split] for path, (_, label, split) in made.source.items())


def accept_others(workspace: Workspace) -> None:
    """Commit the profile of other target data: brighter, and mostly of one class."""
    generator = np.random.default_rng(0)
    labels = ["birch"] * 900 + ["ash"] * 100
    looks = generator.normal(0.0, 0.3, (1000, duplicates.N_VALUES))[:, drift.LOOK_VALUES].astype(np.float32)
    accepted = drift.profile(labels, generator.uniform(0.7, 0.9, 1000), looks)
    nothing = drift.profile([], np.empty(0), np.empty((0, len(drift.LOOK_VALUES))))
    profile.write(workspace.profile, {"source": nothing, "target": accepted}, {"source": "animals", "target": "plants"})
    who = ("-c", "user.name=t", "-c", "user.email=t@t")
    for command in (("init", "-q"), ("add", "reports"), (*who, "commit", "-qm", "accepted")):
        subprocess.run(["git", *command], cwd=workspace.root, check=True, capture_output=True)


def digests(root: Path) -> dict[str, str]:
    """Of every regular file, read without following a link."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@dataclass(frozen=True)
class Judged:
    """A workspace through whose gate everything went.

    Attributes:
        said: the error's text.
        before, after: digests of the source files.
    """

    workspace: Workspace
    made: Planted
    said: str
    before: dict[str, str]
    after: dict[str, str]

    @property
    def found(self) -> dict[str, set[str]]:
        """Rules by what broke them, as `Planted.expected` names it."""
        told: dict[str, set[str]] = defaultdict(set)
        for one in rules.read(self.workspace.findings):
            if one.rule not in STATISTICAL:
                name = f"{one.domain}/{one.path}" if one.row >= 0 else f"{one.domain}:{one.label}".rstrip(":")
                told[name].add(one.rule)
        return dict(told)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    root = tmp_path_factory.mktemp("gate")
    made = planted()
    lay_out(made, root)
    workspace = Workspace(root / "clone")
    workspace.root.mkdir()
    shutil.copy(ROOT / "params.yaml", workspace.root)
    accept_others(workspace)
    origins = {
        "source": f"{{name: folder, root: '{root / 'source'}', manifest: table.csv}}",
        "target": f"{{name: folder, root: '{root / 'target'}'}}",
    }
    assignments = [f"data.{role}.origin={origins[role]}" for role in ROLES]
    settings_file.set_values(workspace.params, assignments, Choices.of)
    settings = settings_file.load(workspace.params)
    before = digests(root / "source") | digests(root / "target")
    ingest.ingest(workspace, settings, Choices.of(settings))
    with pytest.raises(DataRejected) as refused:
        validate.validate(workspace, settings, Choices.of(settings))
    after = digests(root / "source") | digests(root / "target")
    return Judged(workspace, made, str(refused.value), before, after)


def test_every_planted_row_meets_exactly_the_verdict_it_deserves(judged: Judged) -> None:
    expected = {name: broken for name, broken in judged.made.expected.items() if broken}
    found = judged.found
    for name in judged.made.either:
        assert found.get(name, set()) in (set(), expected.pop(name))
        found.pop(name, None)
    assert found == expected  # and nothing else: every other row is sound
    for one in rules.read(judged.workspace.findings):
        if one.rule not in STATISTICAL:
            assert one.severity == SEVERITIES[one.rule]


def test_what_is_left_out_is_listed_with_rule_reason_and_evidence(judged: Judged) -> None:
    listed = pd.read_parquet(judged.workspace.rejected)
    expected = {
        (name, rule) for name, broken in judged.made.expected.items() for rule in broken if SEVERITIES[rule] == "reject"
    }
    assert set(zip(listed["domain"] + "/" + listed["path"], listed["rule"], strict=True)) == expected
    assert set(listed["severity"]) == {"reject"}
    assert listed["reason"].map(lambda text: bool(text) and text.isprintable()).all()
    copies = listed[listed["rule"].isin(["exact_duplicate", "split_leak", "domain_leak"])]
    assert len(copies) == 6
    for one in copies.itertuples():
        assert one.partner == judged.made.partners[f"{one.domain}/{one.path}"]
        assert Path(one.partner).name in one.reason
    by_rule = listed.groupby("rule")["reason"].first()
    assert "shorter_edge is 1, should be at least 8" in by_rule["too_small"]
    assert "2500000000 pixels" in " ".join(listed[listed["rule"] == "too_large"]["reason"])


def test_copies_name_what_they_are_copies_of_even_if_they_stay(judged: Judged) -> None:
    for one in rules.read(judged.workspace.findings):
        if one.rule in rules.COPIES:
            assert one.partner == judged.made.partners[f"{one.domain}/{one.path}"]


def test_source_files_are_as_they_were(judged: Judged) -> None:
    assert judged.before == judged.after and len(judged.before) > 300


def test_the_error_is_one_printable_line_per_rule(judged: Judged) -> None:
    said = judged.said.split("\n")
    stops = {rule for broken in judged.made.expected.values() for rule in broken if SEVERITIES[rule] == "stop"}
    assert {line.partition(":")[0] for line in said} == stops and len(said) == len(stops)
    assert all(line.isprintable() for line in said)
    assert (
        "unreadable: target picture ash/\\x1b[2K\\rvalidate: passed\\n0 rules are broken.jpg the file is empty"
        in judged.said
    )
    verdict = files.read_json(judged.workspace.validation)
    assert not verdict["passed"] and verdict["stops"] == said
    assert verdict["found"]["unsafe_file"] == {"severity": "stop", "count": 4}
    assert {shift["effect"] > 0.1 for shift in verdict["drift"]["target"].values()} == {True}


def test_drift_is_told_with_numbers(judged: Judged) -> None:
    told = {one.rule: one.reason for one in rules.read(judged.workspace.findings) if one.rule.startswith("drift")}
    assert "mean brightness 0.802 before, 0." in told["drift_brightness"] and "(effect " in told["drift_brightness"]
    assert "birch is 90.0% before, " in told["drift_classes"]


def test_the_page_shows_hostile_names_as_text_and_asks_nothing_of_the_web(judged: Judged) -> None:
    page = judged.workspace.validation_page.read_text()
    assert "://" not in page
    assert "<img src=x" not in page and "&lt;img src=x onerror=alert(2)&gt;" in page
    assert (
        page.count("<script") == 1
        and str(script()) in page
        and "onerror=" not in page.replace("&lt;img src=x onerror=", "")
    )
    assert "\x1b" not in page and "\u202e" not in page
    assert "\\x1b[2K\\rvalidate: passed" in page


def test_the_terminal_shows_hostile_names_as_text(judged: Judged) -> None:
    shown = io.StringIO()
    listing.show(judged.workspace, "target", "format", 1000, Console(file=shown, width=400, force_terminal=False))
    assert "\x1b" not in shown.getvalue() and "\u202e" not in shown.getvalue()
    for name in corpus.NAMES:
        assert one_line(to_path(f"ash/{name}"))[:60] in shown.getvalue()


def test_no_spreadsheet_executes_what_the_gate_writes(judged: Judged) -> None:
    text = judged.workspace.profile.read_text(encoding="utf-8")
    assert "'=cmd('calc')" in text
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(io.StringIO(text)) for cell in row)
    again = profile.parse(text, "plants")
    assert again is not None and again["classes"].keys() >= {
        "=cmd('calc')",
        "<img src=x onerror=alert(2)>",
        "caf\u00e9",
    }


# What cannot be in one set with the others


def origin(handed: list[Picture]) -> Plugin:
    def fetch(options: object, request: Request) -> Iterator[Picture]:
        yield from handed

    return Plugin("handmade", SimpleNamespace(fetch=fetch), None)


def pictures(*labels: str, n: int = 6) -> list[Picture]:
    return [
        Picture(f"{label}/{number}.png", label, saved(scene(f"{label} {number}")))
        for label in labels
        for number in range(n)
    ]


def test_one_class_or_none_that_decodes_stops_the_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    settings = settings_file.load(tmp_path / "params.yaml")
    broken = [Picture(f"{label}/x.gif", label, corpus.gif()) for label in ("a", "b")]
    choices = replace(Choices.of(settings), source_origin=origin(pictures("ash")), target_origin=origin(broken))
    workspace = Workspace(tmp_path)
    ingest.ingest(workspace, settings, choices)
    with pytest.raises(DataRejected) as refused:
        validate.validate(workspace, settings, choices)
    assert "one_class: source has 1 class; at least 2 are needed to tell apart (and 1 more)" in str(refused.value)
    assert "few_images: target class a has 0 pictures" in str(refused.value)


def test_a_class_folder_without_a_picture_is_named(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    settings = settings_file.load(tmp_path / "params.yaml")
    for label in ("ash", "birch"):
        (tmp_path / "trees" / label).mkdir(parents=True)
    (tmp_path / "trees" / "ash" / "0.png").write_bytes(saved(scene("0")))
    from_folder = Choice(name="folder", root=str(tmp_path / "trees"))
    source = settings.data.source.model_copy(update={"origin": from_folder})
    data = settings.data.model_copy(update={"source": source})
    choices = Choices.of(settings.model_copy(update={"data": data}))
    with pytest.raises(BadInput, match="class .*birch is empty: no picture in it"):
        ingest.ingest(Workspace(tmp_path), settings, choices)


# Nothing passes for want of a look


@pytest.mark.parametrize(
    ("table", "suite"),
    {
        "no rows": ({"row": [], "size": []}, {"size": {"column": "size", "between": [1, None]}}),
        "no rules": ({"row": [0], "size": [2]}, {}),
        "no such column": ({"row": [0], "size": [2]}, {"depth": {"column": "depth", "between": [1, None]}}),
        "no such limit": ({"row": [0], "size": [2]}, {"size": {"column": "size", "between": ["$least", None]}}),
        "text, not numbers": ({"row": [0], "size": ["a"]}, {"size": {"column": "size", "between": [1, None]}}),
    }.values(),
    ids=["no rows", "no rules", "no such column", "no such limit", "text, not numbers"],
)
def test_a_suite_that_cannot_be_evaluated_is_an_error(table: dict[str, Any], suite: dict[str, Any]) -> None:
    from great_expectations.exceptions import GreatExpectationsError

    with pytest.raises((RuntimeError, KeyError, GreatExpectationsError)):
        expectations.check(pd.DataFrame(table), suite, {})
