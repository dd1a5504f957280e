"""What settings are worth: scored on rows that were not learned from, without test rows, within caps, in a process."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

from graft.core import settings as settings_file
from graft.core.errors import BadInput, GateRefused
from graft.core.search import settings_of
from tasks import tune, tuned, tuning
from tasks.adapters import arrays, capped, files
from tasks.choices import Choices
from tasks.finetune import Training
from tasks.training import Kept
from tasks.tuning import Plan
from tasks.workspace import ROLES, Workspace
from tests.conftest import ROOT, TINY

SEARCH = """
trials: 2
sampler: random
pruner: none
folds: 2
seeds: 1
fresh: 5
caps: {minutes: 5, memory_mb: 4000}
space:
  finetune.learning_rates: {type: float, low: 0.001, high: 0.02, log: true}
  pretrain.epochs: {type: int, low: 1, high: 3}
"""


def pack(place: Workspace, role: str, split: str, per_class: int) -> None:
    """Pictures of 3 classes, each of its own brightness; two pictures a unit."""
    n = 3 * per_class
    images, labels, units = arrays.create(place.packed(role, split), n, (32, 32, 3))
    labels[:] = np.arange(n) % 3
    units[:] = np.arange(n) // 6 * 3 + np.arange(n) % 3
    noise = np.random.default_rng(per_class).integers(0, 60, (n, 32, 32, 3))
    images[:] = noise + 90 * np.asarray(labels)[:, None, None, None] % 196


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with packed rows to learn from, and no test rows at all."""
    found = Workspace(tmp_path_factory.mktemp("tune"))
    for name in ("params.yaml", "dvc.yaml"):
        (found.root / name).write_text((ROOT / name).read_text())
    settings_file.set_values(found.params, [*TINY, "finetune.steps=4", "pretrain.epochs=1"], Choices.of)
    found.search.write_text(SEARCH)
    for role in ROLES:
        pack(found, role, "train", 14)
        pack(found, role, "validation", 6)
    files.write_json(found.classes, {role: ["a", "b", "c"] for role in ROLES})
    yield found


@pytest.fixture(scope="module")
def plan(place: Workspace) -> Plan:
    return Plan.of(place)


def test_what_is_scored_was_not_learned_from_and_every_labelled_row_is_scored_once(plan: Plan, tmp_path: Path) -> None:
    settings = settings_of(plan.document)
    bench = tune.Bench(plan.place, settings, Kept(tmp_path), 2)
    scored = []
    for fold in (0, 1):
        one = Training("scratch", 0, 0.003, fold)
        data, held_out = bench.data(one, lambda share: None), bench.scored_rows(one)
        learned = {picture.tobytes() for picture in data.train.images}
        assert len(learned) + len(held_out) == 3 * settings.finetune.per_class
        assert not learned & {picture.tobytes() for picture in held_out.images}
        stopping = {picture.tobytes() for picture in data.validation.images}
        assert stopping <= {picture.tobytes() for picture in bench.validation.images}
        assert data.train.units is not None and held_out.units is not None
        assert not set(data.train.units) & set(held_out.units)
        scored += [picture.tobytes() for picture in held_out.images]
    assert len(set(scored)) == len(scored) == 3 * settings.finetune.per_class


def test_trials_that_pretrain_alike_pretrain_once_and_no_test_row_is_needed(plan: Plan) -> None:
    assert not any(plan.place.held_out(role, split).exists() for role in ROLES for split in ("test", "unseen"))
    study, searched = plan.study("transfer"), {"finetune.learning_rates": 0.003, "pretrain.epochs": 2}
    first = plan.job(study, "t1", "transfer", searched, (0,), "1")
    second = plan.job(study, "t2", "transfer", searched | {"finetune.learning_rates": 0.006}, (0,), "2")
    assert first.pretrained == second.pretrained != ""
    assert plan.job(study, "d", "transfer", searched | {"pretrain.epochs": 1}, (0,), "d").pretrained == ""
    Path(first.kept).mkdir(parents=True)
    tune.tune(plan.place, first)
    (model,) = Path(first.pretrained).glob("*.keras")
    made = model.stat().st_mtime_ns
    assert len(list(Path(first.kept).glob("*.score"))) == 2 and not list(Path(first.kept).glob("*.keras"))
    shutil.copytree(first.kept, second.kept)  # its folds are done: what is left to do is to pretrain
    tune.tune(plan.place, second)
    assert model.stat().st_mtime_ns == made


def test_a_job_answers_from_its_own_process_and_is_ended_beyond_its_caps(plan: Plan) -> None:
    study = plan.study("scratch")
    job = plan.job(study, "scratch-0", "scratch", {"finetune.learning_rates": 0.003}, plan.seeds, "0")
    heard: list[tuple[float, int]] = []
    events: list[str] = []

    def hear(mean: float, done: int) -> bool:
        heard.append((mean, done))
        return False

    found = plan.measured(job, 1, hear, lambda event: events.append(event["what"]))
    assert len(found) == 2 and all(0 <= one <= 1 for one in found)
    assert heard == [(pytest.approx(found[0]), 1), (pytest.approx(np.mean(found)), 2)] and set(events) == {"scratch-0"}
    plan.forget(job)

    for caps, told in (
        ({"memory_mb": 120}, r"^it took \d+ MB of memory, and caps.memory_mb is 120$"),
        ({"minutes": 0.02}, "^it took longer than caps.minutes, which is 0.02$"),
    ):
        tight = plan.search.model_copy(update={"caps": plan.search.caps.model_copy(update=caps)})
        with pytest.raises(capped.Exceeded, match=told) as refused:
            Plan(plan.place, plan.document, tight).measured(job, 1, hear, lambda event: None)
        if "memory_mb" in caps:
            assert int(re.findall(r"\d+", str(refused.value))[0]) > 120
    assert working_in(plan.place.root) == []
    plan.forget(job)


def working_in(root: Path) -> list[str]:
    """Command lines of living processes whose arguments name the folder."""
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if str(root) in line]


def test_a_failure_in_the_process_is_its_own_line(plan: Plan) -> None:
    job = plan.job(plan.study("scratch"), "s", "scratch", {"finetune.learning_rates": 0.003}, (0,), "bad")
    bad = job._replace(settings=job.settings | {"finetune": job.settings["finetune"] | {"steps": 0}})
    with pytest.raises(GateRefused, match="^finetune.steps is 0; it should be greater than or equal to 1$"):
        plan.measured(bad, 1, lambda mean, done: False, lambda event: None)


def test_too_many_folds_are_told_before_anything_is_trained(plan: Plan) -> None:
    plan.check()
    many = Plan(plan.place, plan.document, plan.search.model_copy(update={"folds": 9}))
    with pytest.raises(BadInput, match="^search.yaml: folds is 9: class 0 has . groups, too few for 9 folds"):
        many.check()


def test_another_space_other_data_or_other_settings_are_another_study(place: Workspace, plan: Plan) -> None:
    plan.require_same()
    name = plan.study("scratch").name
    assert Plan.of(place, trials=9).study("scratch").name == name
    other = plan.search.model_copy(
        update={"space": plan.search.space | {"pretrain.epochs": {"type": "int", "low": 1, "high": 4}}}
    )
    assert Plan(place, plan.document, other).study("transfer").name != plan.study("transfer").name
    assert Plan(place, plan.document, other).study("scratch").name == name  # it means nothing to scratch
    changed = plan.document | {"finetune": plan.document["finetune"] | {"steps": 5}}
    assert Plan(place, changed, plan.search).study("scratch").name != name
    searched = plan.document | {"finetune": plan.document["finetune"] | {"learning_rates": [0.004]}}
    assert Plan(place, searched, plan.search).study("scratch").name == name
    labels = np.load(place.packed("target", "train") / "labels.npy")
    kept = labels.copy()
    labels[:2] = labels[1::-1]
    np.save(place.packed("target", "train") / "labels.npy", labels)
    assert Plan.of(place).study("scratch").name != name
    with pytest.raises(BadInput, match="^features or models/pretrained changed while the search went on"):
        plan.require_same()
    np.save(place.packed("target", "train") / "labels.npy", kept)


def test_the_interval_is_students_and_wider_where_draws_share_their_rows() -> None:
    best, defaults = [0.52, 0.55, 0.50, 0.53, 0.56], [0.50, 0.51, 0.49, 0.50, 0.50]
    told = tuning.differ(best, defaults, 3, same_rows=False)
    assert told["points"] == pytest.approx(3.2)
    low, high = ttest_rel(best, defaults).confidence_interval(0.95)
    assert told["ci95"] == pytest.approx([100 * low, 100 * high])
    same = tuning.differ(best, defaults, 3, same_rows=True)
    assert same["ci95"][1] - 3.2 == pytest.approx((100 * high - 3.2) * np.sqrt(5 * (1 / 5 + 1 / 2)))


def test_the_rate_of_the_other_arm_is_taken_over_beside_the_best(plan: Plan) -> None:
    arms = {arm: {"best": {"values": {tuned.RATES: rate}}} for arm, rate in (("transfer", 0.01), ("scratch", 0.002))}
    assert tuned.takes_over(plan, arms) == {tuned.RATES: [0.002, 0.01]}
    assert tuned.takes_over(plan, {"transfer": arms["transfer"]}) == {tuned.RATES: [0.003, 0.01]}
    change = tuned.diff(plan, {tuned.RATES: [0.002, 0.01]}).splitlines()
    (now,), (then,) = ([line for line in change if line.startswith(sign + " ")] for sign in "-+")
    assert "learning_rates: [0.003] " in now and "learning_rates: [0.002, 0.01] " in then
    assert tuned.diff(plan, {tuned.RATES: [0.003]}) == ""
