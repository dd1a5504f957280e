"""A published release answers without TensorFlow, DVC or git, and answers what the pipeline measured."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

import graft
from graft.core.errors import BadInput, GateRefused
from graft.core.settings import load
from tasks import publish
from tasks.workspace import Workspace
from tests.conftest import Finished, Place


@dataclass(frozen=True)
class Published:
    """The tiny pipeline's release as shapes@v1, and the environment that reaches it."""

    place: Place
    environment: dict[str, str]
    said: str

    def graft(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return Place(self.place.root, self.environment | more).graft(*arguments)


@pytest.fixture(scope="module")
def published(finished: Finished, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    place, folder = finished[0], tmp_path_factory.mktemp("published")
    environment = place.environment | {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.key,
        "AWS_SECRET_ACCESS_KEY": s3.secret,
        "GRAFT_BUCKET": s3.bucket,
        "GRAFT_CACHE": str(folder / "cache"),
        "GRAFT_USER": "ann",
        "HOME": str(folder),
    }
    copy = place.copy(folder / "clone")
    done = Place(copy.root, environment | {"PYTHONPATH": str(copy.root)}).graft("publish", "shapes")
    assert done.returncode == 0, done.stderr
    yield Published(copy, environment | {"PYTHONPATH": str(copy.root)}, done.stdout)


@pytest.fixture
def model(published: Published, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> graft.Model:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GRAFT_BUCKET", "GRAFT_CACHE"):
        monkeypatch.setenv(name, published.environment[name])
    return graft.load("shapes@v1")


def rows(published: Published) -> tuple[np.ndarray, np.ndarray]:
    """The target's test pictures and labels as the pipeline packed them."""
    folder = published.place.root / "features" / "target" / "test"
    return np.load(folder / "images.npy"), np.load(folder / "labels.npy")


def test_what_publish_says(published: Published) -> None:
    assert published.said.startswith("shapes@v1 is published: ")
    assert "shapes@v1 now stands at candidate (move 1)" in published.said


def test_publishing_again_changes_nothing(published: Published) -> None:
    done = published.graft("publish", "shapes")
    assert done.returncode == 0, done.stderr
    assert "shapes@v1 already stands at candidate (move 1)" in done.stdout


def test_the_release_is_as_accurate_as_was_measured(published: Published, model: graft.Model) -> None:
    images, labels = rows(published)
    unseen = published.place.root / "features" / "target" / "unseen"
    images = np.concatenate([images, np.load(unseen / "images.npy")])
    labels = np.concatenate([labels, np.load(unseen / "labels.npy")])
    measured = json.loads((published.place.root / "reports" / "export.json").read_text())["files"]
    answers = model.predict(images)
    hits = (answers.probabilities.argmax(axis=1) == labels).mean()
    assert hits == pytest.approx(measured["model-float32.tflite"]["accuracy"])
    assert answers.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_a_file_an_open_picture_and_an_array_get_the_same_answer(
    published: Published, model: graft.Model, tmp_path: Path
) -> None:
    array = rows(published)[0][0]
    Image.fromarray(array).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        several: list[Any] = [str(tmp_path / "a.png"), tmp_path / "a.png", opened, array]
        answers = model.predict(several)
    assert len(set(answers.labels)) == 1
    np.testing.assert_array_equal(answers.probabilities, np.tile(model.predict(array).probabilities, (4, 1)))


@pytest.mark.parametrize("shape", [(90, 200), (7, 5, 1), (500, 31, 3), (64, 64, 4)])
def test_any_size_and_channels_are_taken(model: graft.Model, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    answers = model.predict(array)
    assert answers.probabilities.shape == (1, len(model.classes))
    assert answers.top(2)[0][0][0] == answers.labels[0]


def test_nothing_asked_nothing_answered(model: graft.Model) -> None:
    assert model.predict([]).probabilities.shape == (0, len(model.classes))
    assert model.predict([]).labels == []


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), "picture 0: an array has to be"),
        (np.zeros((4, 4, 2), np.uint8), "picture 0: an array has to be"),
        (np.zeros((0, 4, 3), np.uint8), "picture 0: an array has to be"),
        (Image.new("F", (8, 8)), "picture 0: mode F is not taken"),
        ("nowhere.png", r"nowhere.png: cannot be read \(No such file or directory\)"),
    ],
)
def test_what_is_no_picture_is_named(model: graft.Model, picture: Any, said: str) -> None:
    with pytest.raises(BadInput, match=f"^{said}"):
        model.predict([picture])


def test_a_bad_picture_among_good_ones_is_told_and_the_others_answered(published: Published, tmp_path: Path) -> None:
    Image.fromarray(rows(published)[0][0]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"GIF89a")
    done = published.graft("predict", "shapes@v1", str(tmp_path / "bad.png"), str(tmp_path / "good.png"), "--json")
    assert done.returncode == 1
    assert done.stderr.startswith(f"graft: {tmp_path / 'bad.png'}: ") and done.stderr.count("\n") == 1
    answer = json.loads(done.stdout)
    assert answer["picture"] == str(tmp_path / "good.png") and answer["sure"]
    assert len(answer["answers"]) == 3


def test_an_answer_below_the_wanted_probability_is_said_to_be_unsure(
    model: graft.Model, published: Published, tmp_path: Path
) -> None:
    Image.fromarray(rows(published)[0][0]).save(tmp_path / "a.png")
    done = published.graft("predict", "shapes@v1", str(tmp_path / "a.png"), "--at-least", "1")
    assert done.returncode == 0 and f"{tmp_path / 'a.png'}  unsure: " in done.stdout
    answers = model.predict(tmp_path / "a.png")
    best = float(answers.probabilities.max())
    assert answers.sure_labels(best) == answers.labels and answers.sure_labels(best + 1e-6) == [None]
    assert model.predict([]).sure_labels(0.5) == []


def test_a_file_that_the_release_does_not_have_is_answered_with_those_it_has(published: Published) -> None:
    done = published.graft("predict", "shapes@v1", "x.png", "--file", "model.onnx")
    assert done.returncode == 1
    assert "'model.onnx' is no file that runs in shapes; it has: model-float32.tflite, model-int8.tflite" in done.stderr


def test_a_pulled_folder_works_without_a_store_and_tells_of_a_changed_byte(
    published: Published, tmp_path: Path
) -> None:
    done = published.graft("pull", "shapes@candidate", "-o", str(tmp_path / "here"))
    assert done.returncode == 0, done.stderr
    assert "- To be right 90% of the time on seen groups: " in (tmp_path / "here" / "model_card.md").read_text()
    Image.fromarray(rows(published)[0][0]).save(tmp_path / "a.png")
    nowhere = {"GRAFT_BUCKET": "", "AWS_ENDPOINT_URL_S3": ""}
    done = published.graft("predict", str(tmp_path / "here"), str(tmp_path / "a.png"), **nowhere)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    path = tmp_path / "here" / "model-float32.tflite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = published.graft("predict", str(tmp_path / "here"), str(tmp_path / "a.png"), **nowhere)
    assert done.returncode == 1
    assert done.stderr == f"graft: {path} is missing or altered; pull shapes@v1 again\n"


def test_pull_does_not_overwrite_what_is_no_release(published: Published, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = published.graft("pull", "shapes@v1", "-o", str(tmp_path / "mine"))
    assert done.returncode == 1
    assert done.stderr == f"graft: {tmp_path / 'mine'} holds something that is no release; name a new folder with -o\n"
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_pulling_and_asking_need_nothing_but_the_light_installation(published: Published, tmp_path: Path) -> None:
    Image.fromarray(rows(published)[0][0]).save(tmp_path / "a.png")
    light = light_installation()
    foreign = {
        name
        for name, owners in metadata.packages_distributions().items()
        if not {canonical(owner) for owner in owners} & light
    }
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {foreign!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import graft\n"
        "print(graft.load('shapes@candidate').predict(sys.argv[1]).labels[0])"
    )
    assert "tensorflow" in foreign and "boto3" not in foreign
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.png")],
        env=published.environment | {"GRAFT_CACHE": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def light_installation() -> set[str]:
    """What `pip install` of the project without extras brings."""
    found, waiting = set(), ["graft"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            needed = (Requirement(line) for line in metadata.requires(name) or ())
            waiting += [
                canonical(one.name) for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found


def canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def test_a_light_installation_is_light() -> None:
    heavy = {"tensorflow", "keras", "prefect", "dvc", "pandas", "scikit-learn", "great-expectations", "model-signing"}
    assert light_installation() & heavy == set()
    assert {"numpy", "pillow", "pydantic", "boto3", "ai-edge-litert", "typer"} <= light_installation()


def test_a_release_is_compared_picture_by_picture_with_the_workspace_it_came_from(published: Published) -> None:
    done = published.graft("report", "--compare", "shapes@v1", ".")
    assert done.returncode == 0, done.stderr
    page = (published.place.root / "reports" / "side-by-side.html").read_text(encoding="utf-8")
    assert ". against shapes@v1: accuracy on the seen test set +0.0 points [0.0, 0.0]" in page


def test_the_notebook_runs_from_top_to_bottom(published: Published, tmp_path: Path) -> None:
    cells = json.loads((Path(__file__).parents[1] / "docs" / "pull_and_predict.ipynb").read_text())["cells"]
    program = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=published.environment | {"GRAFT_EXAMPLE": "shapes@candidate"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, published_line, accuracy, *answers = done.stdout.splitlines()
    assert first.startswith("shapes@v1 knows ")
    assert accuracy.startswith("accuracy on seen groups ")
    assert len(answers) == 2


def test_show_diff_history_live_and_models_speak_of_it(published: Published) -> None:
    said = {
        command: published.graft(*command.split())
        for command in (
            "show shapes@v1",
            "diff shapes@v1 shapes@v1",
            "history shapes --stage candidate",
            "live shapes --stage candidate",
            "models",
        )
    }
    assert all(done.returncode == 0 for done in said.values()), [done.stderr for done in said.values()]
    texts = {command: done.stdout for command, done in said.items()}
    assert "to be right 90 % of the time on seen groups: " in texts["show shapes@v1"]
    assert "gain of reuse, points" in texts["show shapes@v1"] and "model-int8.tflite" in texts["show shapes@v1"]
    assert "ann" in texts["history shapes --stage candidate"]
    assert texts["live shapes --stage candidate"].startswith("shapes@candidate was v1 at ")
    assert "shapes" in texts["models"] and "candidate v1" in texts["models"]


@pytest.mark.parametrize(
    ("day", "said"),
    [("yesterday", "--on is 'yesterday'; write a date like 2026-11-01"), ("2999-01-01", "which is yet to come")],
)
def test_a_day_that_cannot_be_is_a_usage_error(published: Published, day: str, said: str) -> None:
    done = published.graft("live", "shapes", "--stage", "candidate", "--on", day)
    assert (done.returncode, said in done.stderr) == (2, True)


def test_a_file_that_the_export_gate_refused_or_that_was_exchanged_is_not_published(
    published: Published, tmp_path: Path
) -> None:
    root = published.place.copy(tmp_path / "clone").root
    workspace, settings = Workspace(root), load(root / "params.yaml")
    (tmp_path / "scratch").mkdir()
    file = workspace.exported / "model-int8.tflite"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(BadInput, match="model-int8.tflite is not the file that was measured"):
        publish.gather(workspace, settings, "shapes", tmp_path / "scratch")
    refuse(workspace, "model-int8.tflite")
    gathered = publish.gather(workspace, settings, "shapes", tmp_path / "scratch")
    assert "model-float32.tflite" in gathered and "model-int8.tflite" not in gathered
    assert "model-int8.tflite" not in (tmp_path / "scratch" / publish.CARD).read_text()
    refuse(workspace, "model-float32.tflite")
    with pytest.raises(
        GateRefused, match="model-float32.tflite was refused by the export gate: agrees with Keras on 78 %"
    ):
        publish.gather(workspace, settings, "shapes", tmp_path / "scratch")


def refuse(workspace: Workspace, file: str) -> None:
    """What the export stage would have written of a file that failed."""
    report = json.loads(workspace.export_report.read_text())
    report["files"][file] |= {"passed": False, "refused_because": ["agrees with Keras on 78 %"]}
    workspace.export_report.unlink()
    workspace.export_report.write_text(json.dumps(report))
    kept = workspace.exported / file
    kept.rename(kept.with_name(f"{file}.refused"))


def test_what_was_changed_since_it_was_measured_is_not_published(published: Published, tmp_path: Path) -> None:
    place = Place(published.place.copy(tmp_path / "clone").root, published.environment)
    place = Place(place.root, place.environment | {"PYTHONPATH": str(place.root)})
    place.set("finetune.steps=25")
    done = place.graft("publish", "shapes")
    assert (done.returncode, done.stderr) == (
        1,
        "graft: finetune is not up to date, so its results are not what would be published; type: graft run\n",
    )
