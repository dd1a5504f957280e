"""The curve over labels, measured by the real command on the tiny workspace; off unless it is asked for."""

import json
from typing import Any

import pytest

from tests.conftest import Place

ON = ("curve.enabled=true", "curve.labels=[2, 9, 500]", "curve.seeds=1")


def report(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place.root / "reports" / "curve.json").read_text())
    return found


@pytest.mark.sweep
def test_the_curve_is_measured_when_asked_for_and_read_in_the_report(copied: Place) -> None:
    assert report(copied) == {"labels": []}
    done = copied.graft("run", "--until", "curve", *(word for one in ON for word in ("--set", one)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if line.endswith("ran")] == ["curve"]

    found = report(copied)
    assert found["labels"] == [2, 5, 9] and found["seeds"] == [0]  # its own 5; no class has 500
    for name in ("seen", "unseen"):
        for arm in ("transfer", "scratch", "article"):
            told = found["sets"][name][arm]
            assert len(told["accuracy"]) == 3 and all(0 <= one["mean"] <= 1 for one in told["accuracy"])
            assert 0 <= told["law"]["ceiling"] <= 1
        worth = found["sets"][name]["worth"]
        assert -5 <= worth["ci95"][0] <= worth["labels"] <= worth["ci95"][1] <= 4
    evaluation = json.loads((copied.root / "reports" / "evaluation.json").read_text())
    for arm in ("transfer", "scratch"):  # the same training as finetune's, and the same answers
        own = evaluation[arm]["seen"]["accuracy"]["per_seed"][0]
        assert found["sets"]["seen"][arm]["accuracy"][1]["mean"] == pytest.approx(own)
    assert list((copied.root / ".graft" / "trainings").glob("curve-*")) == []

    copied.set("curve.labels=[500, 600]")
    done = copied.run("python", "-m", "tasks.curve")
    assert done.returncode == 0, done.stdout + done.stderr  # a retraining ends all the same
    found = report(copied)
    assert found["labels"] == [] and "sets" not in found
    assert found["not_measured"].startswith("curve.labels is [500, 600] and the smallest class has ")
    assert found["not_measured"].endswith("training pictures; budgets left: 1, and 3 or more would do")
