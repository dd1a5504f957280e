"""The whole job through the real command, real DVC and Prefect's own server."""

import csv
import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from ruamel.yaml import YAML

from tasks.workspace import ARMS, STAGES
from tests.conftest import ROOT, Finished, Place
from tests.flows.server import Server


def report(place: Place, name: str) -> dict:
    return json.loads((place.root / "reports" / f"{name}.json").read_text())


def lines(printed: str) -> dict[str, str]:
    """By stage: what the terminal said of it."""
    found = [line.split(maxsplit=1) for line in printed.splitlines() if line.startswith(("✓", "✗"))]
    return {rest.split()[0]: rest for _, rest in found}


def contents(place: Place) -> dict[str, str]:
    """Hash of everything that the stages made."""
    folders = ("data", "features", "models", "reports")
    files = [path for folder in folders for path in (place.root / folder).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(place.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name not in ("report.html", "model_card.md")  # views of the rest, with the time on one
    }


def test_the_command_ends_with_the_results_and_the_report(finished: Finished) -> None:
    place, done = finished
    assert [stage for stage, rest in lines(done.stdout).items() if rest.endswith("ran")] == list(STAGES)
    for wanted in ("source animals: accuracy", "gain on seen: ", "gain on unseen: ", "model-int8.tflite", "report: "):
        assert wanted in done.stdout
    (features,) = [line for line in done.stdout.splitlines() if line.startswith("features on plants, ")]
    assert all(title in features for title in ("k-NN ", "linear probe ", "LogME ", "MMD ", "animals to plants: "))
    for arm in ARMS:
        assert sum(line.startswith(arm) for line in done.stdout.splitlines()) == 2
    assert (place.root / "reports" / "report.html").stat().st_size > 10_000
    assert done.stderr == ""


def test_the_model_card_says_what_the_report_and_its_data_say(finished: Finished) -> None:
    reports = finished[0].root / "reports"
    card, page = ((reports / name).read_text(encoding="utf-8") for name in ("model_card.md", "report.html"))
    evaluation, costs = report(finished[0], "evaluation"), report(finished[0], "finetune_cost")
    _, head, body = card.split("---\n", 2)
    told = YAML(typ="safe", pure=True).load(head)
    (model,) = told["model-index"]
    assert (told["license"], told["license_name"]) == ("other", "see-data-and-licences")
    assert "The model's licence: `not stated`." in body
    measured = {one["dataset"]["name"]: {m["type"]: m["value"] for m in one["metrics"]} for one in model["results"]}
    assert model["name"] == "plants" and measured == {
        f"plants, {name} groups": {
            kind: round(evaluation["transfer"][name][score]["mean"], 4)
            for kind, score in (("accuracy", "accuracy"), ("f1", "macro_f1"))
        }
        for name in ("seen", "unseen")
    }
    scores = re.findall(r"([\d.]+) (\[-?[\d.]+, -?[\d.]+\])", body)
    assert len(scores) == 18 and all(f"{mean}% {ends}" in page for mean, ends in scores)
    gains = re.findall(r"([+-]\d+\.\d) points, 95 % interval ([+-]\d+\.\d) to ([+-]\d+\.\d)", body)
    assert len(gains) == 2
    for points, low, high in gains:
        shown = f"{points} points [{low.removeprefix('+')}, {high.removeprefix('+')}]".replace("-", "−")
        assert shown in page
    memory = re.findall(r"seconds of processor time in \d+ trainings, at most ([\d,]+) MB", body)
    assert len(memory) == len(ARMS) == len(costs) and all(f"{one} MB" in page for one in memory)
    assert all(int(one.replace(",", "")) >= costs[arm]["peak_memory_mb"] for arm, one in zip(ARMS, memory, strict=True))


def test_the_evaluation_has_its_stable_names(finished: Finished) -> None:
    evaluation = report(finished[0], "evaluation")
    for arm in ARMS:
        for name in ("seen", "unseen"):
            for score in ("accuracy", "macro_recall", "macro_f1"):
                one = evaluation[arm][name][score]
                assert one["ci95"][0] <= one["mean"] <= one["ci95"][1]
                assert len(one["per_seed"]) == 2 and np.mean(one["per_seed"]) == pytest.approx(one["mean"])
    for name in ("seen", "unseen"):
        gain = evaluation["gain"][name]
        difference = evaluation["transfer"][name]["accuracy"]["mean"] - evaluation["scratch"][name]["accuracy"]["mean"]
        assert gain["points"] == pytest.approx(100 * difference)
        assert gain["ci95"][0] <= gain["points"] <= gain["ci95"][1]
    assert evaluation["labels_per_class"] == 5 and evaluation["seeds"] == [0, 1] and evaluation["steps"] == 24
    assert evaluation["learning_rates_tried"] == {arm: [0.003] for arm in ARMS}


def test_the_evaluation_is_as_its_published_schema_says(finished: Finished) -> None:
    import jsonschema

    schema = json.loads((ROOT / "docs" / "schema" / "evaluation.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    evaluation = report(finished[0], "evaluation")
    jsonschema.validate(evaluation, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(evaluation | {"gain": {"seen": {"points": 1}, "unseen": None}}, schema)


def test_what_is_told_of_the_files_is_as_its_published_schema_says(finished: Finished) -> None:
    import jsonschema

    schema = json.loads((ROOT / "docs" / "schema" / "export.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    told = report(finished[0], "export")
    jsonschema.validate(told, schema)
    assert told["runs"] == "model-float32.tflite"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"files": {"model.tflite": {"accuracy": 1}}}, schema)


def test_every_test_row_is_answered_once_by_every_arm_and_seed(finished: Finished) -> None:
    import pandas as pd

    answers = pd.read_parquet(finished[0].root / "reports" / "predictions.parquet")
    counts = answers.groupby(["arm", "seed", "set"]).row.agg(["count", "nunique"])
    assert (counts["count"] == counts["nunique"]).all() and len(counts) == 12
    test = np.load(finished[0].root / "features" / "target" / "test" / "labels.npy")
    seen = answers[(answers.arm == "transfer") & (answers.seed == 0) & (answers.set == "seen")]
    assert seen.sort_values("row").label.tolist() == test.tolist()


def test_the_packed_arrays_are_the_manifests_rows_in_order(finished: Finished) -> None:
    from graft.modalities import image
    from tasks.adapters import manifest, shards
    from tasks.workspace import Workspace

    workspace = Workspace(finished[0].root)
    classes = json.loads(workspace.classes.read_text())
    for role in ("source", "target"):
        rows = manifest.read(workspace.manifest, domain=role, split="validation")
        images = np.load(workspace.packed(role, "validation") / "images.npy")
        labels = np.load(workspace.packed(role, "validation") / "labels.npy")
        assert [classes[role][label] for label in labels] == [row.label for row in rows]
        for index, data in enumerate(shards.read(workspace.raw(role), [row.place for row in rows])):
            assert hashlib.sha256(data).hexdigest() == rows[index].sha256
            np.testing.assert_array_equal(images[index], image.decode(data, image.Options(size_px=32)))


def test_learning_curves_are_kept_for_tensorboard_too(finished: Finished) -> None:
    import tensorflow as tf

    folder = finished[0].root / ".graft" / "tensorboard"
    assert {path.parent.name for path in folder.glob("pretrain/*/events*")} >= {"convnet"}
    [events] = folder.glob("finetune/transfer-0-0.003/events*")
    told = [tf.compat.v1.Event.FromString(one.numpy()) for one in tf.data.TFRecordDataset(str(events))]
    accuracy = [
        (event.step, float(tf.make_ndarray(value.tensor)))
        for event in told
        for value in event.summary.value
        if value.tag == "val_accuracy"
    ]
    with (finished[0].root / "reports" / "plots" / "finetune.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["arm"], row["seed"]) == ("transfer", "0")]
    assert accuracy == [(float(row["step"]), pytest.approx(float(row["val_accuracy"]), abs=1e-6)) for row in rows]


def test_the_exported_files_are_the_ones_that_were_proven(finished: Finished) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from graft.core import attached, litert

    place, _ = finished
    export = report(place, "export")
    assert set(export["files"]) == {"model-float32.tflite", "model-int8.tflite"}
    for name, one in export["files"].items():
        path = place.root / "models" / "exported" / name
        assert one["bytes"] == path.stat().st_size
        assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert one["builtin_operators_only"] is True and one["passed"] is True
        assert one["latency_ms"]["median"] > 0 and 0 <= one["accuracy"] <= 1
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.zeros((1, 32, 32, 3), np.uint8))
        interpreter.invoke()
        sink = interpreter.get_output_details()[0]
        answered = litert.as_float(interpreter.get_tensor(sink["index"]), sink)
        assert answered.sum() == pytest.approx(1, abs=0.02)
        texts = attached.read(path.read_bytes())
        assert texts["labels.txt"] == (path.parent / "labels.txt").read_text()
        assert json.loads(texts["metadata.json"])["name"] == "plants"
    assert export["files"]["model-float32.tflite"]["agreement"] == 1.0
    assert export["files"]["model-float32.tflite"]["max_probability_difference"] < 1e-4


class Again(NamedTuple):
    """The same command once more, on a server that keeps its runs.

    Attributes:
        run: the flow run as the server has it.
    """

    place: Place
    said: str
    server: Server
    run: dict[str, Any]


@pytest.fixture(scope="module")
def again(finished: Finished, prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Again:
    folder, server = tmp_path_factory.mktemp("again"), Server(prefect_url)
    copy = finished[0].copy(folder / "clone")
    place = Place(copy.root, copy.environment | {"PREFECT_API_URL": prefect_url, "HOME": str(folder)})
    done = place.graft("run")
    assert done.returncode == 0, done.stdout + done.stderr
    return Again(place, done.stdout, server, server.last_run())


def test_a_second_run_and_plain_dvc_find_nothing_to_do(again: Again, finished: Finished) -> None:
    place, before = again.place, contents(finished[0])
    assert all(rest.endswith("up to date") for rest in lines(again.said).values())
    assert json.loads(place.run("dvc", "status", "--json").stdout) == {}
    repro = place.run("dvc", "repro")
    assert repro.returncode == 0 and "Running stage" not in repro.stdout
    assert contents(place) == before


def test_a_server_shows_the_stages_of_a_run_and_what_to_look_at(again: Again) -> None:
    place, server, run = again.place, again.server, again.run
    assert run["state_type"] == "COMPLETED"
    of_this_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    assert len(server.post("task_runs/filter", of_this_run)) == len(STAGES)
    artifacts = {one["key"]: one["data"] for one in server.post("artifacts/filter", of_this_run)}
    assert "| transfer | seen |" in artifacts["results"] and "Gain on seen" in artifacts["results"]
    assert (place.root / "reports" / "report.html").as_uri() in artifacts["report"]
    (gate,) = [one for one in server.post("task_runs/filter", of_this_run) if one["name"] == "validate"]
    of_the_gate = {
        one["key"]: one["data"]
        for one in server.post("artifacts/filter", of_this_run)
        if one["task_run_id"] == gate["id"]
    }
    assert {"data-gate", "validation"} <= of_the_gate.keys()
    found = {row["rule"]: (row["severity"], row["count"]) for row in json.loads(of_the_gate["data-gate"])}
    verdict = json.loads((place.root / "reports" / "validation.json").read_text())["found"]
    assert found == {rule: (one["severity"], one["count"]) for rule, one in verdict.items()} and "dark" in found
    assert (place.root / "reports" / "validation.html").as_uri() in of_the_gate["validation"]


def test_metrics_and_plots_are_dvcs_too(again: Again) -> None:
    place = again.place
    shown = json.loads(place.run("dvc", "metrics", "show", "--json").stdout)
    names = shown[""]["data"]
    assert "transfer" in names["reports/evaluation.json"]["data"]
    assert "files" in names["reports/export.json"]["data"]
    assert "scores" in names["reports/transferability.json"]["data"]["transfer"]
    plots = place.run("dvc", "plots", "show")
    assert plots.returncode == 0, plots.stderr


@pytest.mark.sweep
def test_a_lost_output_comes_back_from_the_cache_without_training(copied: Place) -> None:
    place = copied
    before = contents(place)
    for path in sorted((place.root / "models" / "finetuned").iterdir()):
        path.unlink()
    (place.root / "models" / "finetuned").rmdir()
    done = place.graft("run")
    assert lines(done.stdout)["finetune"].endswith("restored")
    assert contents(place) == before


def test_a_changed_setting_runs_what_depends_on_it_and_no_more(copied: Place) -> None:
    place = copied
    before = (place.root / "params.yaml").read_text()
    done = place.graft("run", "--set", "extract.projected_per_domain=99", "--until", "extract")
    assert "params.yaml: extract.projected_per_domain: 1500 -> 99" in done.stdout
    told = lines(done.stdout)
    assert list(told) == list(STAGES[:3])
    assert told["extract"].endswith("ran") and all(told[name].endswith("up to date") for name in STAGES[:2])
    assert "extract" not in json.loads(place.run("dvc", "status", "--json").stdout)
    changed = before.replace("  projected_per_domain: 1500\n", "  projected_per_domain: 99\n")
    assert (place.root / "params.yaml").read_text() == changed != before
    back = place.graft("run", "--set", "extract.projected_per_domain=1500")
    told = lines(back.stdout)
    assert told["extract"].endswith("restored"), back.stdout
    assert not any(rest.endswith("ran") for rest in told.values())


def test_a_stage_can_be_run_again_alone(copied: Place) -> None:
    done = copied.graft("run", "--from", "extract", "--until", "extract")
    assert list(lines(done.stdout)) == ["extract"] and lines(done.stdout)["extract"].endswith("ran")


def test_prefect_keeps_the_run_its_tasks_and_what_to_look_at(finished: Finished) -> None:
    place, _ = finished
    with sqlite3.connect(place.root / ".graft" / "prefect" / "prefect.db") as database:
        first = database.execute("select id, state_type from flow_run order by created limit 1").fetchone()
        tasks = database.execute("select name, state_type from task_run where flow_run_id = ?", first[:1]).fetchall()
        kinds = database.execute("select key, type from artifact where flow_run_id = ?", first[:1]).fetchall()
    database.close()
    assert first[1] == "COMPLETED"
    assert sorted(tasks) == sorted((stage, "COMPLETED") for stage in STAGES)
    assert {("results", "markdown"), ("report", "markdown")} <= set(kinds)
    assert "progress" in {kind for _, kind in kinds}


def test_nothing_is_written_outside_the_clone(finished: Finished) -> None:
    home = Path(finished[0].environment["HOME"])
    assert [path for path in home.rglob("*") if path.is_file()] == []
