"""The gate between a new model and the live one, on a finished workspace and a real release."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graft.core import settings as settings_file
from graft.core.errors import BadInput
from graft.core.sections import Settings
from graft.hub import cache
from graft.hub.cache import Pulled
from graft.hub.names import reference
from tasks import challenge, fetch, publish
from tasks.adapters import files
from tasks.challenge import reasons
from tasks.choices import Choices
from tasks.workspace import Workspace
from tests.conftest import Finished
from tests.store import Server

OPEN = ("publish.min_gain_points=-100", "retrain.margin_points=3", "retrain.max_latency_ratio=50")


@pytest.fixture(scope="module")
def workspace(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    place = finished[0].copy(tmp_path_factory.mktemp("challenge") / "clone")
    place.set(*OPEN)
    return Workspace(place.root)


@pytest.fixture(scope="module")
def live(finished: Finished, s3: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    """The same model, published and pulled."""
    folder = tmp_path_factory.mktemp("live")
    place = finished[0].copy(folder / "clone")
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(("AWS_", "GRAFT_"))]:
            environment.delenv(name)
        environment.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", s3.key)
        environment.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
        environment.setenv("GRAFT_BUCKET", s3.bucket)
        environment.setenv("GRAFT_CACHE", str(folder / "cache"))
        environment.chdir(place.root)
        publish.publish(Workspace(place.root), "challenged", None, lambda done, total: None)
        yield cache.pull(reference("challenged@v1"))


@pytest.fixture
def changed(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A copy to spoil."""
    shutil.copytree(workspace.root, tmp_path / "clone", symlinks=True)
    return Workspace(tmp_path / "clone")


def settings(workspace: Workspace) -> Settings:
    return settings_file.load(workspace.params)


def check(report: dict[str, Any], about: str) -> dict[str, Any]:
    return next(one for one in report["checks"] if one["about"].startswith(about))


def test_the_first_model_has_nobody_to_beat(workspace: Workspace) -> None:
    report = challenge.challenge(workspace, settings(workspace), None)
    assert report["passed"] and report["live"] is None and report["comparison"] is None
    assert [one["about"] for one in report["checks"]] == ["data gate", "agreement with Keras", "gain of reuse", "size"]
    assert files.read_json(workspace.challenge) == report


def test_a_model_is_not_worse_than_itself(workspace: Workspace, live: Pulled) -> None:
    report = challenge.challenge(workspace, settings(workspace), live)
    assert report["passed"] and reasons(report) == []
    seen = report["comparison"]
    assert (seen["points"], tuple(seen["ci95"]), seen["p_value"]) == (0.0, (0.0, 0.0), 1.0)
    measured = files.read_json(workspace.export_report)["files"][report["challenger"]["file"]]
    assert seen["rows"] == measured["rows"] if "rows" in measured else seen["rows"] > 0
    assert report["live"]["name"] == "challenged@v1" and report["live"]["unknown_classes"] == []
    assert report["challenger"]["accuracy"] == report["live"]["accuracy"]


def test_the_times_of_a_killed_attempt_at_the_same_two_files_are_taken_over(workspace: Workspace, live: Pulled) -> None:
    report = challenge.challenge(workspace, settings(workspace), live)
    report["challenger"]["median_ms"], report["live"]["median_ms"] = 0.125, 0.25
    again = challenge.challenge(workspace, settings(workspace), live, report)
    assert (again["challenger"], again["live"]) == (report["challenger"], report["live"])
    assert check(again, "latency")["found"].startswith("0.12 ms against 0.25 ms")
    other = report | {"live": report["live"] | {"receipt": "0" * 64}}
    assert challenge.challenge(workspace, settings(workspace), live, other)["live"]["median_ms"] != 0.25


def test_one_that_went_live_before_its_run_was_killed_is_not_compared_with_itself(
    workspace: Workspace, live: Pulled, tmp_path: Path
) -> None:
    written = challenge.challenge(workspace, settings(workspace), None)
    shutil.copytree(live.folder, tmp_path / "pulled")
    shutil.copy(workspace.challenge, tmp_path / "pulled")
    contents = live.receipt.contents.model_copy(update={"params": settings_file.plain(workspace.params)})
    own = replace_receipt(Pulled(tmp_path / "pulled", live.receipt), contents)
    assert challenge.challenge(workspace, settings(workspace), own) == written
    other = replace_receipt(own, contents.model_copy(update={"locks": {"dvc_lock_sha256": "0" * 64}}))
    assert challenge.challenge(workspace, settings(workspace), other)["comparison"]


def test_a_worse_one_is_refused_with_its_interval(changed: Workspace, live: Pulled) -> None:
    classes = files.read_json(changed.classes)
    files.write_json(changed.classes, classes | {"target": classes["target"][1:] + classes["target"][:1]})
    report = challenge.challenge(changed, settings(changed), live)
    assert not report["passed"] and not check(report, "accuracy against challenged@v1")["passed"]
    [why] = reasons(report)
    assert "points [-" in why and "lower end above -3.0 (retrain.margin_points)" in why


def test_a_class_that_the_live_model_does_not_know_counts_against_it(workspace: Workspace, live: Pulled) -> None:
    model = live.receipt.contents.model
    known = ("another", *model.classes[1:])
    contents = live.receipt.contents.model_copy(update={"model": model.model_copy(update={"classes": known})})
    older = replace_receipt(live, contents)
    report = challenge.challenge(workspace, settings(workspace), older)
    assert report["live"]["unknown_classes"] == [model.classes[0]]
    assert report["comparison"]["only_incumbent"] == 0 and report["comparison"]["points"] >= 0


def replace_receipt(pulled: Pulled, contents: Any) -> Pulled:
    return pulled._replace(receipt=pulled.receipt.model_copy(update={"contents": contents}))


@pytest.mark.parametrize(
    ("limit", "about", "told"),
    [
        ("publish.min_gain_points=99", "gain of reuse", "at least +99.0 (publish.min_gain_points)"),
        ("retrain.max_file_mb=0.001", "size", "at most 0.001 MB (retrain.max_file_mb)"),
        ("retrain.max_latency_ratio=0.001", "latency", "at most 0.001 times (retrain.max_latency_ratio)"),
    ],
)
def test_each_limit_refuses_by_name(changed: Workspace, live: Pulled, limit: str, about: str, told: str) -> None:
    settings_file.set_values(changed.params, [limit], Choices.of)
    report = challenge.challenge(changed, settings(changed), live)
    assert not report["passed"] and not check(report, about)["passed"]
    [why] = reasons(report)
    assert why.endswith(told)


@pytest.mark.parametrize("about", ["data gate", "agreement with Keras"])
def test_what_an_earlier_gate_refused_is_refused_here_too(changed: Workspace, about: str) -> None:
    if about == "data gate":
        files.write_json(changed.validation, files.read_json(changed.validation) | {"passed": False})
    else:
        measured = files.read_json(changed.export_report)
        first = next(iter(measured["files"].values()))
        first |= {"passed": False, "refused_because": ["agrees with Keras on 10 %"]}
        files.write_json(changed.export_report, measured)
    report = challenge.challenge(changed, settings(changed), None)
    assert not report["passed"] and not check(report, about)["passed"]


def test_a_file_that_does_not_run_here_is_named(changed: Workspace, live: Pulled) -> None:
    file = changed.exported / next(iter(files.read_json(changed.export_report)["files"]))
    file.unlink()
    file.write_bytes(b"no model")
    with pytest.raises(BadInput, match=file.name):
        challenge.challenge(changed, settings(changed), live)


def test_the_same_inputs_have_the_same_hashes_and_each_change_is_named(changed: Workspace) -> None:
    def look(code: str = "a") -> fetch.Inputs:
        return fetch.look(changed, Choices.of(settings(changed)), code)

    before = look()
    assert look().changed(before._asdict()) == [] and look("b").changed(before._asdict()) == ["code"]
    settings_file.set_values(changed.params, ["seed=11"], Choices.of)
    assert look().changed(before._asdict()) == ["params"]
    assert before.changed({}) == ["data", "code", "params"]


def test_a_new_picture_is_new_data_and_makes_ingest_run(changed: Workspace, tmp_path: Path) -> None:
    from tasks.ingest import fingerprint
    from tests.tasks.test_ingest import png

    folder = tmp_path / "pictures"
    for label in ("ash", "elm"):
        (folder / label).mkdir(parents=True)
        (folder / label / "1.png").write_bytes(png(1))
    settings_file.set_values(changed.params, [f"data.target.origin={{name: folder, root: {folder}}}"], Choices.of)
    before = fetch.look(changed, Choices.of(settings(changed)), "a")
    (folder / "elm" / "2.png").write_bytes(png(2))
    now = fetch.look(changed, Choices.of(settings(changed)), "a")
    assert now.changed(before._asdict()) == ["data"]
    assert fetch.origins_changed(changed, now.data)
    assert now.data["target"] == fingerprint(Choices.of(settings(changed)).origin("target"))
    assert not fetch.origins_changed(changed, {"source": "", "target": ""})  # the settings alone say it
