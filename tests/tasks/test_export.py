"""The gate of exported files, on files that were really converted: right ones, faulty ones, and a kill in between."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from graft.backbones import convnet
from graft.core import attached, diagnosis, fit, plugins, prune, vary
from graft.core import settings as settings_file
from graft.core.budget import Budget
from graft.core.dataset import Split
from graft.core.export_gate import Limits
from graft.core.sections import Choice
from graft.core.spec import Spec
from tasks import publish, report, tables
from tasks.adapters import models
from tasks.conversion import Made
from tasks.export import Bench
from tasks.workspace import Workspace
from tests.conftest import Finished, Place, wait_until

LIMITS = Limits(0.98, 1.0, ("export.min_agreement", "export.max_accuracy_drop_points"))
N_CLASSES = 6
ROOT = Path(__file__).parents[2]


def kinds(n: int, seed: int) -> Split:
    """Patches in three colours, plain or striped as finely as can be: colour, size and scale all tell."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % N_CLASSES
    images = generator.integers(0, 60, (n, 32, 32, 3), dtype=np.uint8)
    striped = np.where(np.arange(16) % 2, 250, 30)
    for image, label in zip(images, labels, strict=True):
        top, left = generator.integers(0, 16, 2)
        image[top : top + 16, left : left + 16, label % 3] = striped if label >= 3 else 140
    return Split(images, labels.astype(np.int64))


TRAIN, TEST = kinds(192, 0), kinds(120, 1)


@pytest.fixture(scope="module")
def net() -> Any:
    """A small net that tells them apart."""
    trained = fit.classifier(convnet.build(convnet.Options(width=8), Spec(size_px=32), 3), N_CLASSES, 3)
    fit.train(trained, fit.TrainData(TRAIN, TEST, N_CLASSES, vary.none), Budget(100, 16, 3e-3, 2, 3))
    return trained


@pytest.fixture(scope="module")
def bench(net: Any) -> Bench:
    asked = diagnosis.faulty(lambda x: fit.softmax(fit.predict(net, x)), TEST.images)
    return Bench(TEST, Made(1.0, fit.predict(net, TEST.images), [], asked, np.arange(len(TEST)), net.count_params()))


def judged(bench: Bench, net: Any, precision: str, samples: np.ndarray) -> dict[str, Any]:
    plugin = plugins.resolve("graft.exports", Choice(name="tflite", precision=precision), "export")
    return bench.judge(plugin, plugin.module.convert(plugin.options, net, samples), LIMITS)


def before(net: Any, change: Callable[[Any], Any]) -> Any:
    """`net` with a fault in front of it, as an exporter's slip would put it there."""
    import keras

    picture = keras.Input(net.input_shape[1:], dtype="float32")
    return keras.Model(picture, net(change(picture)))


def behind(net: Any, order: list[int]) -> Any:
    import keras

    picture = keras.Input(net.input_shape[1:], dtype="float32")
    return keras.Model(picture, keras.ops.take(net(picture), order, axis=1))


def halved(x: Any) -> Any:
    import keras

    return keras.layers.UpSampling2D(2)(keras.layers.AveragePooling2D(2)(x))


FAULTS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "preprocessing scale": ("float32", lambda net: before(net, lambda x: x / 255.0)),
    "channel order": ("float32", lambda net: before(net, lambda x: x[..., ::-1])),
    "label order": ("float32", lambda net: behind(net, [1, 2, 3, 0, 5, 4])),
    "resizing": ("float32", lambda net: before(net, halved)),
    "quantisation range": ("int8", lambda net: net),
}


def test_right_files_pass_with_all_that_is_told_of_them(bench: Bench, net: Any) -> None:
    result = judged(bench, net, "int8", TRAIN.images)
    assert result["passed"], result["refused_because"]
    assert result["same_answers"] == {"when asked again": True, "in another order": True, "one at a time": None}
    low, high = result["accuracy_ci95"]
    assert 0 < result["peak_memory_mb"] < 50
    assert low <= result["accuracy"] <= high and len(result["class_drop_points"]) == N_CLASSES


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused_by_name(bench: Bench, net: Any, fault: str) -> None:
    precision, planted = FAULTS[fault]
    samples = TRAIN.images // 16 if fault == "quantisation range" else TRAIN.images
    result = judged(bench, planted(net), precision, samples)
    assert not result["passed"]
    assert result["refused_because"][0].startswith(("agrees with Keras on", "loses"))
    assert result["refused_because"][-1].startswith(f"likely cause: {fault} ("), result["refused_because"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_snippet_of_the_docs_reads_the_labels_inside_and_answers(net: Any, precision: str, tmp_path: Path) -> None:
    from PIL import Image

    text = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()
    program = text.rpartition("```python\n")[2].partition("```")[0]
    plugin = plugins.resolve("graft.exports", Choice(name="tflite", precision=precision), "export")
    files = plugin.module.convert(plugin.options, net, TRAIN.images)
    labels = [f"kind {index}" for index in range(N_CLASSES)]
    [content] = plugin.module.attach(plugin.options, files, {attached.LABELS: "\n".join(labels) + "\n"}).values()
    (tmp_path / "model.tflite").write_bytes(content)
    Image.fromarray(TEST.images[4]).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", program, "model.tflite", "a.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answered = plugin.module.run(plugin.options, {plugin.module.file_name(plugin.options): content})(TEST.images[4:5])[
        0
    ]
    assert done.stdout == f"{labels[answered.argmax()]} {answered.max():.1%}\n"


@pytest.fixture
def strict(finished: Finished, tmp_path: Path) -> Place:
    """The finished workspace with a tolerance that no int8 file meets."""
    place = finished[0].copy(tmp_path / "clone")
    place.set(
        "export.formats=[{name: tflite, precision: int8, min_agreement: 1.0, max_accuracy_drop_points: 0.0}, "
        "{name: tflite, precision: float16}]",
        "export.licence=CC-BY-4.0",
    )
    return place


def test_a_refused_file_is_kept_aside_and_the_stage_goes_on_with_the_one_that_passed(strict: Place) -> None:
    done = strict.run("python", "-m", "tasks.export")
    assert done.returncode == 0, done.stderr
    exported = strict.root / "models" / "exported"
    told = json.loads((strict.root / "reports" / "export.json").read_text())
    assert told["runs"] == "model-float16.tflite"
    assert {path.name for path in exported.iterdir()} == {
        "labels.txt",
        "model-float16.tflite",
        "model-int8.tflite.refused",
    }
    texts = attached.read((exported / "model-float16.tflite").read_bytes())
    assert texts[attached.LABELS] == (exported / "labels.txt").read_text()
    assert json.loads(texts[attached.METADATA])["licence"] == "CC-BY-4.0"


def pruned(place: Place) -> Workspace:
    """The workspace with the net that ships, cut down: it answers in its own way."""
    workspace = Workspace(place.root)
    seed = json.loads(workspace.export_report.read_text())["seed"]
    whole = models.load(workspace.classifier("transfer", seed))
    models.save(prune.pruned(whole, 0.5), workspace.variant("pruned"))
    return workspace


def test_variants_are_exported_beside_the_net_and_the_smallest_file_of_all_runs(
    finished: Finished, tmp_path: Path
) -> None:
    import jsonschema

    place = finished[0].copy(tmp_path / "clone")
    workspace = pruned(place)
    place.set(
        "finetune.smaller=[{name: pruned, share: 0.5}, {name: quantized}]",  # the second diverged: it left no file
        "export.formats=[{name: tflite, precision: float32}, {name: tflite, precision: dynamic}]",
        "export.prefer={name: smallest, within_points: 100.0}",
    )
    done = place.run("python", "-m", "tasks.export")
    assert done.returncode == 0, done.stderr
    told = json.loads(workspace.export_report.read_text())
    jsonschema.validate(told, json.loads((ROOT / "docs" / "schema" / "export.schema.json").read_text()))
    assert told["runs"] == "model-pruned-dynamic.tflite"
    assert {name: one["variant"] for name, one in told["files"].items()} == {
        "model-float32.tflite": "",
        "model-dynamic.tflite": "",
        "model-pruned-float32.tflite": "pruned",
        "model-pruned-dynamic.tflite": "pruned",
    }
    assert told["files"]["model-pruned-float32.tflite"]["agreement"] == 1.0  # with its own Keras model
    has, lost = told["variants"]["pruned"], told["keras"]["accuracy"] - told["variants"]["pruned"]["accuracy"]
    assert has["parameters"] < told["keras"]["parameters"] and has["drop_points"] == pytest.approx(100 * lost)
    assert has["drop_ci95"][0] <= has["drop_points"] <= has["drop_ci95"][1]
    assert told["variants"]["quantized"]["trained"] is False
    content = (workspace.exported / told["runs"]).read_bytes()
    assert json.loads(attached.read(content)[attached.METADATA])["made_from"]["variant"] == "pruned"
    assert [row["net"] for row in tables.exported(workspace)] == ["whole", "whole", "pruned", "pruned"]
    with (tmp_path / "terminal").open("w+") as terminal:
        report.show(workspace, Console(file=terminal, width=120))
        shown = (tmp_path / "terminal").read_text()
    assert re.search(r"^quantized +its training diverged$", shown, re.MULTILINE)
    assert (
        "\nruns unless another is named: model-pruned-dynamic.tflite (smallest within 100 points of the best)" in shown
    )
    settings = settings_file.load(workspace.params)
    (tmp_path / "scratch").mkdir()
    gathered = publish.gather(workspace, settings, "shapes", tmp_path / "scratch")
    assert publish.describe(workspace, settings, "shapes", gathered).model.file == told["runs"]
    card = (tmp_path / "scratch" / publish.CARD).read_text()
    assert "- `model-pruned-dynamic.tflite`, which runs unless another is named: " in card
    assert "as the variant `pruned` of the trained network" in card


def test_a_variant_s_file_is_compared_with_its_own_net_and_its_accuracy_with_the_whole_one_s(
    bench: Bench, net: Any
) -> None:
    smaller = prune.pruned(net, 0.5)
    asked = diagnosis.faulty(lambda x: fit.softmax(fit.predict(smaller, x)), TEST.images)
    rows = np.arange(len(TEST))
    made = Made(1.0, fit.predict(smaller, TEST.images), [], asked, rows, smaller.count_params())
    result = judged(Bench(TEST, made, "pruned", bench), smaller, "float32", TRAIN.images)
    assert result["variant"] == "pruned" and result["agreement"] == 1.0
    lost = 100 * (bench.keras_accuracy - result["accuracy"])
    assert lost > LIMITS.max_drop_points
    assert result["refused_because"] == [
        f"loses {lost:.1f} points of accuracy against the whole net; export.max_accuracy_drop_points is 1"
    ]
    swapped = before(smaller, lambda x: x[..., ::-1])
    faulty = judged(Bench(TEST, made, "pruned", bench), swapped, "float32", TRAIN.images)
    assert faulty["refused_because"][-1].startswith("likely cause: channel order (")


@pytest.mark.sweep
def test_a_kill_half_way_leaves_what_was_there_and_no_process(strict: Place) -> None:
    exported = strict.root / "models" / "exported"
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    stage = subprocess.Popen(
        [sys.executable, "-m", "tasks.export"], cwd=strict.root, env=strict.environment, stdout=subprocess.DEVNULL
    )
    wait_until(lambda: list(exported.parent.glob(".exported.*.part")), 60, "a conversion that has begun")
    child = wait_until(lambda: children(stage.pid), 60, "a process that converts")
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in child), 60, "an end of what it started")
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    done = strict.run("python", "-m", "tasks.export")
    assert done.returncode == 0, done.stderr
    assert not list(exported.parent.glob(".exported.*.part"))


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in found]
