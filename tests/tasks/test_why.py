"""What evaluate leaves to look at: from the right rows, of the right model, and the same each time."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from graft.core import fit, saliency, settings
from graft.core.dataset import draw_per_class
from tasks import insight, training, why
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.workspace import Workspace
from tests.conftest import Finished


@pytest.fixture
def place(finished: Finished) -> Workspace:
    return Workspace(finished[0].root)


def left(place: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.why / "why.json").read_text())
    return found


def test_maps_are_of_the_model_that_ships_and_of_the_classes_they_say(place: Workspace) -> None:
    found, test = left(place), arrays.read(place.held_out("target", "test"))
    assert found["seed"] == json.loads(place.export_report.read_text())["seed"]
    model = models.load(place.classifier("transfer", found["seed"]))
    maps = np.load(place.why / "maps.npz")["maps"]
    for one in found["looked"]:
        probabilities = fit.softmax(fit.predict(model, test.images[one["row"] : one["row"] + 1]))[0]
        assert test.labels[one["row"]] == one["label"] and probabilities.argmax() == one["called"]
        classes = list(dict.fromkeys((one["called"], one["label"])))
        assert len(one["maps"]) == len(classes)
        images = np.repeat(test.images[one["row"]][None], len(classes), axis=0)
        expected = 255 * saliency.maps(model, images, np.array(classes))
        np.testing.assert_allclose(maps[one["maps"]], expected, atol=2)
    assert {one["chosen"] for one in found["looked"]} == {"surest", "drawn"}
    assert len({one["row"] for one in found["looked"]}) == len(found["looked"])


def test_the_surest_mistakes_are_those_and_the_drawn_are_right_and_wrong(place: Workspace) -> None:
    found = left(place)
    mine = [("arm", "=", "transfer"), ("set", "=", "seen"), ("seed", "=", found["seed"])]
    answers = pq.read_table(place.predictions, filters=mine).to_pylist()
    wrong = sorted((one for one in answers if one["predicted"] != one["label"]), key=lambda one: -one["probability"])
    surest = [one for one in found["looked"] if one["chosen"] == "surest"]
    assert [one["probability"] for one in surest] == pytest.approx(
        [one["probability"] for one in wrong[: len(surest)]], abs=1e-4
    )
    drawn = [one["label"] == one["called"] for one in found["looked"] if one["chosen"] == "drawn"]
    assert any(drawn) and drawn == sorted(drawn, reverse=True)


def test_compared_with_a_mix_up_is_what_the_model_learned_from(place: Workspace) -> None:
    found, train, test = (
        left(place),
        arrays.read(place.packed("target", "train")),
        arrays.read(place.held_out("target", "test")),
    )
    learned = set(draw_per_class(train.labels, 5, found["seed"]).tolist())
    assert found["pairs"]
    for one in found["pairs"]:
        assert set(one["like"]) <= learned and {*train.labels[one["like"]]} == {one["called"]}
        assert {*test.labels[one["rows"]]} == {one["label"]}


def test_features_are_drawn_of_validation_rows_alone(place: Workspace) -> None:
    with (place.why / "features.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    figures = left(place)["features"]
    for when in ("before", "after"):
        for plane, roles in (("domains", ("source", "target")), ("classes", ("target",))):
            mine = [row for row in rows if (row["when"], row["plane"]) == (when, plane)]
            counts = {role: sum(row["domain"] == role for row in mine) for role in roles}
            assert counts == {role: len(arrays.read(place.packed(role, "validation"))) for role in roles}
        assert 0 <= figures["knn"][when] <= 1 and figures["mmd"][when] is not None
    assert figures["rows"] == {
        role: len(arrays.read(place.packed(role, "validation"))) for role in ("source", "target")
    }


def test_the_same_answers_leave_the_same_again(place: Workspace, tmp_path: Path) -> None:
    chosen = settings.load(place.params)
    test = arrays.read(place.held_out("target", "test"))
    nets = [models.load(place.classifier("transfer", seed)) for seed in chosen.evaluate.seeds]
    warmth = files.read_json(place.evaluation)["temperature"]["transfer"]
    probabilities = np.stack(
        [fit.softmax(fit.predict(net, test.images) / np.float32(by)) for net, by in zip(nets, warmth, strict=True)]
    )
    again = Workspace(tmp_path)
    for name in ("features", "models"):
        (tmp_path / name).symlink_to(place.root / name)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "finetune.json").symlink_to(place.finetune_report)
    why.write(again, chosen, Choices.of(chosen), test, probabilities)
    first, second = left(place), left(again)
    assert [one["row"] for one in first["looked"]] == [one["row"] for one in second["looked"]]
    for key in ("pairs", "hardest"):
        assert [{**one, "probability": 0} for one in first[key]] == [{**one, "probability": 0} for one in second[key]]
    assert first["wrong_for_all"] == second["wrong_for_all"]


def test_the_report_shows_it_and_an_older_workspace_has_none(place: Workspace, tmp_path: Path) -> None:
    classes = json.loads(place.classes.read_text())["target"]
    read = insight.read(place, classes)
    assert read and len(read.looks) == len(left(place)["looked"]) and read.points
    assert read.looks[0].picture.shape == (32, 32, 3) and read.looks[0].maps[0].shape == (32, 32)
    assert '<h2 id="looked">' in place.report.read_text()
    assert insight.read(Workspace(tmp_path), classes) is None


def test_the_seed_that_ships_is_the_best_on_validation_rows() -> None:
    assert training.shipped_seed({"0": 0.5, "3": 0.7, "4": 0.7}) == 3
