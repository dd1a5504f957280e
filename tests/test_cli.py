"""Bad input through the real command: one line that names it, and the exit code that says who can mend it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Place


def refusal(place: Place, *arguments: str, code: int = 1) -> str:
    done = place.graft("run", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("graft: ") and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout
    return done.stderr


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("finetune.stepz=3", "finetune.stepz: unknown key; did you mean steps?"),
        ("finetune.method.name=lorra", "finetune.method.name is 'lorra'; methods here: "),
        ("data.target.origin.name=fodler", "did you mean folder?"),
        ("finetune.steps=-1", "finetune.steps is -1"),
        ("data.target.origin={name: folder}", "data.target.origin.root: missing"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(place: Place, assignment: str, told: str) -> None:
    assert told in refusal(place, "--set", assignment)
    assert not (place.root / ".graft" / "run.lock").exists()


def test_an_unknown_key_in_the_file_is_named(place: Place) -> None:
    params = place.root / "params.yaml"
    params.write_text(params.read_text() + "\nsurplus: 1\n")
    assert "params.yaml: surplus: unknown key" in refusal(place)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--set", "nonsense"], "--set takes KEY=VALUE"),
        (["run", "--from", "nowhere"], "is no stage"),
        (["run", "--from", "export", "--until", "ingest"], "comes before"),
        (["bake"], "No such command"),
        (["report", "--compare", "HEAD"], "requires 2 arguments"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(place: Place, arguments: list[str], told: str) -> None:
    done = place.graft(*arguments)
    assert done.returncode == 2 and told in done.stderr, done.stderr


def test_outside_a_workspace_it_says_where_to_go(place: Place, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = Place(tmp_path / "elsewhere", place.environment).graft("run")
    assert done.returncode == 1 and "run graft inside a graft checkout" in done.stderr


def pictures(root: Path, **per_class: int) -> Path:
    generator = np.random.default_rng(0)
    for label, count in per_class.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.jpg")
    return root


def origin(root: Path) -> str:
    return f"data.target.origin={{name: folder, root: {root}}}"


def test_a_folder_that_cannot_be_used_is_named(place: Place, tmp_path: Path) -> None:
    assert "is no folder" in refusal(place, "--set", origin(tmp_path / "gone"))
    alone = pictures(tmp_path / "alone", ash=9)
    assert "needs at least 2 class folders" in refusal(place, "--set", origin(alone))
    (alone / "birch").mkdir()
    told = refusal(place, "--set", origin(alone))
    assert "birch is empty" in told


@pytest.mark.sweep
def test_too_few_pictures_and_a_truncated_one_stop_the_run_at_the_gate(place: Place, tmp_path: Path) -> None:
    root = pictures(tmp_path / "root", ash=12, birch=12)
    told = refusal(place, "--set", origin(root), "--set", "finetune.labels_per_class=10")
    assert "target class ash has 9 training pictures; finetune.labels_per_class asks for 10" in told
    broken = root / "birch" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])  # noticed without --set: the folder changed
    done = place.graft("run")
    assert done.returncode == 1, done.stdout + done.stderr
    unreadable, missing = done.stderr.splitlines()  # a line for each rule that stops
    assert unreadable.startswith(
        "graft: validate: unreadable: target picture birch/3.jpg picture does not decode: OSErr"
    )
    assert missing.startswith("graft: labels_per_class: target class ash has 9 training pictures")
    assert not (place.root / "features").exists()
    shown = place.graft("data", "show", "target", "--rule", "unreadable")
    assert shown.returncode == 0 and "birch/3.jpg" in shown.stdout and "validation.html" in shown.stdout
    assert place.graft("data", "show", "plants").returncode == 2


@pytest.mark.sweep
def test_a_folder_of_ones_own_pictures_works_from_end_to_end(copied: Place, tmp_path: Path) -> None:
    root = pictures(tmp_path / "root", ash=30, birch=30)
    done = copied.graft("run", "--set", origin(root), "--set", "data.target.name=trees", "--set", "evaluate.seeds=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "target trees: 5 labels per class, 1 seeds" in done.stdout
    assert "gain on seen" in done.stdout and "gain on unseen" not in done.stdout


def test_the_report_is_written_again_where_it_was_or_elsewhere(copied: Place, tmp_path: Path) -> None:
    page = copied.root / "reports" / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = copied.graft("report")
    assert done.stdout == f"report: {page}\n", done.stderr
    assert page.read_bytes() == before
    assert copied.graft("report", "-o", str(tmp_path / "elsewhere.html")).returncode == 0
    assert (tmp_path / "elsewhere.html").read_bytes() == before


def test_two_runs_stand_side_by_side_and_an_unknown_one_is_refused_in_one_line(copied: Place) -> None:
    for command in (("add", "-A"), ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x")):
        subprocess.run(["git", *command], cwd=copied.root, check=True)
    copied.set("finetune.steps=25")
    done = copied.graft("report", "--compare", "HEAD", ".")
    page = copied.root / "reports" / "side-by-side.html"
    assert done.stdout == f"report: {page}\n", done.stderr
    text = page.read_text(encoding="utf-8")
    assert "finetune.steps" in text
    assert "<h1>. against HEAD: accuracy on the seen test set +0.0 points [0.0, 0.0]</h1>" in text
    done = copied.graft("report", "--compare", "HEAD", "nowhere")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("graft: 'nowhere' is no run: ")
