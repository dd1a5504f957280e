"""What does reuse buy, and which ingredient bought it? python -m benchmarks.transfer [ROW ...]

On the default data (`make demo`, or `graft run --until extract`, has to have packed them), for every row of `ROWS`,
every number of labels and every seed: pretrain, fine-tune, and answer the test rows of seen and unseen styles once. A
row tries its trials on the first seed and keeps the one that does best on that seed's validation rows, of which there
are no more than labels; every row, the scratch net's too, has equally many trials. What is done stays in
.graft/benchmarks, its answers in benchmarks/results, and is not done again, not even after a change of code: remove
both then. The result holds whatever is complete. Half of the unseen styles' pictures may serve without labels; the
other half alone is asked, of every row.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import answers, record
from benchmarks.ingredients import ROWS, Row
from benchmarks.material import SETS, Material
from graft.core import bootstrap, fit, views
from graft.core.budget import Budget
from graft.core.dataset import Split, draw_per_class, draw_validation
from graft.core.errors import GateRefused
from graft.core.fit import TrainData
from graft.core.loop import History
from graft.core.plugins import Plugin, resolve
from graft.core.processes import Tell, Workers
from graft.core.recipe import Recipe
from graft.core.sections import Choice, Settings
from graft.core.settings import load
from graft.core.spec import Spec
from tasks import stage
from tasks.adapters import console, files, models
from tasks.choices import Choices
from tasks.training import Kept
from tasks.workspace import Workspace

LABELS = (10, 25)
SEEDS = (0, 1, 2, 3, 4)
BOOTSTRAP = 2000


@dataclass(frozen=True)
class Job:
    """One training of a row on a seed with one of its trials."""

    row: Row
    labels: int
    seed: int
    trial: int
    answers: bool = False

    @property
    def name(self) -> str:
        """The same for whatever trains the same."""
        return _hash([decides(self.row), self.labels, self.seed, self.row.trials[self.trial]])


def decides(row: Row) -> dict[str, Any]:
    """What of a row decides its trainings: neither its name nor its other trials nor what is done afterwards."""
    said = {name: value for name, value in asdict(row).items() if value != getattr(Row(""), name)}
    teacher = {"teacher": decides(named(row.teacher))} if row.teacher else {}
    return {name: said[name] for name in said if name not in ("name", "against", "trials", "views")} | teacher


def named(name: str) -> Row:
    """The row of that name."""
    return next(row for row in ROWS if row.name == name)


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def main() -> None:
    """Do what is missing of the rows that were named, or of all; write benchmarks/results/transfer.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows; all unless given")
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS))
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many")
    given = parser.parse_args()
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in given.rows if name not in known]:
        parser.error(f"no row is called {unknown[0]!r}; rows: {', '.join(known)}")
    bench = Bench(stage.here())
    answers.restore(bench.folder)
    wanted = [known[name] for name in given.rows] or list(ROWS)
    for row in _teachers_first(wanted, known):
        for labels in given.labels:
            _do(bench, row, labels, SEEDS[: given.seeds])
            _write(bench)


def _teachers_first(wanted: Sequence[Row], known: dict[str, Row]) -> list[Row]:
    with_teachers = [one for row in wanted for one in ([known[row.teacher]] if row.teacher else []) + [row]]
    return list({row.name: row for row in with_teachers}.values())


def _do(bench: "Bench", row: Row, labels: int, seeds: Sequence[int]) -> None:
    """Pretrain the row's backbone, try its trials, train the best one on every seed; each unless it is done."""
    if _is_done(bench, row, labels, seeds):
        return
    bench.material.prepare(row)
    bench.pretrained(row)
    tries = [Job(row, labels, seeds[0], trial) for trial in range(len(row.trials))]
    with console.progress(f"{row.name}, {labels} labels") as progress, Workers(_train, bench, 16) as workers:
        found = workers.run(tries, progress)
        best = max(range(len(tries)), key=lambda index: found[index]["rank"])
        workers.run([Job(row, labels, seed, best, answers=True) for seed in seeds], progress)
    files.write_json(bench.folder / f"{tries[0].name}.chosen.json", {"trial": best, "seeds": list(seeds)})


def _is_done(bench: "Bench", row: Row, labels: int, seeds: Sequence[int]) -> bool:
    """Whether all was answered; by a teacher, whether its models are here, too."""
    said = _answers(bench, row, labels)
    if said is None or said["seeds"] != list(seeds):
        return False
    jobs = [Job(row, labels, seed, said["trial"]) for seed in seeds]
    teaches = any(other.teacher == row.name for other in ROWS)
    return not teaches or all(Kept(bench.folder).finished(job.name) for job in jobs)


@dataclass(frozen=True)
class Bench:
    """The default data, and what was done already."""

    workspace: Workspace

    @property
    def folder(self) -> Path:
        return self.workspace.private / "benchmarks" / "transfer"

    @cached_property
    def settings(self) -> Settings:
        return load(self.workspace.params)

    @cached_property
    def choices(self) -> Choices:
        return Choices.of(self.settings)

    @cached_property
    def spec(self) -> Spec:
        modality = self.choices.modality
        made: Spec = modality.module.spec(modality.options)
        return made

    @cached_property
    def nets(self) -> dict[str, Any]:
        return {}

    @cached_property
    def material(self) -> Material:
        return Material(self.workspace)

    def backbone(self, row: Row) -> Plugin:
        return resolve("graft.backbones", Choice(**row.backbone), "backbone")

    def start(self, row: Row, seed: int) -> Any:
        """The row's network at its starting weights; always the same object, so that it is traced once."""
        plugin, key = self.backbone(row), json.dumps(row.backbone)
        if key not in self.nets:
            self.nets[key] = plugin.module.build(plugin.options, self.spec, 0)
        if row.source:
            begun = models.load(self._pretrained_file(row)).get_layer("backbone")
        else:
            begun = plugin.module.build(plugin.options, self.spec, 1000 + seed)
        self.nets[key].set_weights(begun.get_weights())
        return self.nets[key]

    def pretrained(self, row: Row) -> None:
        """Pretrain the row's backbone on its source, unless another row with the same one has."""
        file = self._pretrained_file(row)
        if not row.source or file.exists():
            return
        with console.progress(f"{row.name}: pretrain") as progress, Workers(_pretrain, self, 1) as workers:
            workers.run([row], progress)

    def _pretrained_file(self, row: Row) -> Path:
        parts = ("source", "backbone", "objective", "epochs", "pretrain")
        said = decides(row)
        return self.folder / f"pretrained-{_hash({name: said[name] for name in parts if name in said})}.keras"

    def data(self, job: Job, tell: Tell) -> TrainData:
        train, validation = self.material.target(job.row, "train"), self.material.target(job.row, "validation")
        n_classes, varied = int(train.labels.max()) + 1, self.choices.modality.module.AUGMENTS
        drawn = draw_per_class(train.labels, job.labels, job.seed)
        chosen_by = draw_validation(validation.labels, n_classes, job.labels, job.seed)
        return TrainData(
            train.take(drawn),
            validation.take(chosen_by),
            n_classes,
            varied[Recipe(**job.row.finetune).augment],
            lambda done, total: tell(done / total),
            varied["strong"],
            self.material.unlabelled(job.row, drawn, job.seed),
            self.material.source(job.row, "train"),
            Kept(self.folder).checkpoint(job.name),
        )


def _pretrain(bench: Bench, row: Row, tell: Tell) -> None:
    train, validation = bench.material.source(row, "train"), bench.material.source(row, "validation")
    recipe, varied = Recipe(**({"augment": "strong"} | row.pretrain)), bench.choices.modality.module.AUGMENTS
    data = TrainData(
        train,
        validation,
        int(train.labels.max()) + 1,
        varied[recipe.augment],
        lambda done, total: tell(done / total),
        varied["strong"],
        checkpoint=Kept(bench.folder).checkpoint(bench._pretrained_file(row).stem),
    )
    budget = Budget(len(train) * row.epochs // 64, 64, 1e-3, row.epochs, bench.settings.seed, recipe)
    backbone, objective = bench.backbone(row), resolve("graft.objectives", Choice(**row.objective), "objective")
    net = backbone.module.build(backbone.options, bench.spec, bench.settings.seed)
    model, _ = objective.module.pretrain(objective.options, net, data, budget)
    models.save(model, bench._pretrained_file(row))


def _train(bench: Bench, job: Job, tell: Tell) -> dict[str, Any]:
    """How the training did on its validation rows; with answers, also what it says of the test rows."""
    kept = Kept(bench.folder)
    done = kept.finished(job.name)
    if not done:
        started = time.process_time()
        try:
            model, history = _trained(bench, job, tell)
        except GateRefused:
            return {"rank": [-1.0]}
        done = {"rank": list(fit.mean_rank([history])), "seconds": round(time.process_time() - started, 1)}
        kept.finish(job.name, model, done)
    if job.answers and not _answers_file(bench, job).exists():
        more = bench.choices.modality.module.VIEWS[: job.row.views]
        model = views.averaged(models.load(kept.model(job.name)), more)
        hits = {name: _hits(model, bench.material.asked(job.row, name)).tolist() for name in SETS}
        files.write_json(_answers_file(bench, job), {"seconds": done["seconds"], "hits": hits})
    found: dict[str, Any] = done
    return found


def _trained(bench: Bench, job: Job, tell: Tell) -> tuple[Any, History]:
    row, (rate, options) = job.row, job.row.trials[job.trial]
    data, net = bench.data(job, tell), bench.start(row, job.seed)
    budget = Budget(row.steps, row.batch_size, rate, 10, job.seed, Recipe(**row.finetune))
    method = resolve("graft.methods", Choice(**row.method | options), "method")
    if row.teacher:
        teacher = models.load(Kept(bench.folder).model(_job_of_teacher(bench, job).name))
        trained: tuple[Any, History] = method.module.distil(net, teacher, data, budget, method.options)
        return trained
    if row.source or row.method["name"] != "full" or row.backbone != {"name": "convnet"}:
        adapted: tuple[Any, History] = method.module.adapt(method.options, net, data, budget)
        return adapted
    model = fit.classifier(net, data.n_classes, job.seed)
    return model, fit.train(model, data, budget)


def _job_of_teacher(bench: Bench, job: Job) -> Job:
    row = named(job.row.teacher)
    first = Job(row, job.labels, SEEDS[0], 0)
    return Job(row, job.labels, job.seed, files.read_json(bench.folder / f"{first.name}.chosen.json")["trial"])


def _hits(model: Any, rows: Split) -> NDArray[np.int64]:
    hits: NDArray[np.int64] = (fit.predict(model, rows.images).argmax(axis=1) == rows.labels).astype(np.int64)
    return hits


def _answers_file(bench: Bench, job: Job) -> Path:
    return bench.folder / f"{job.name}.{job.row.views}.answers.json"


def _write(bench: Bench) -> None:
    """The result of all that is complete, and what it was counted from."""
    answers.keep(bench.folder)
    found = {
        (row.name, labels): said
        for row in ROWS
        for labels in LABELS
        if (said := _answers(bench, row, labels)) is not None
    }
    rows = []
    for (name, labels), said in found.items():
        row = named(name)
        other = found.get((row.against, labels))
        rows.append(_told(row, labels, said, other if name != row.against else None))
    record.write("transfer", ("tensorflow", "keras", "numpy"), list(SEEDS), {"rows": rows})


def _answers(bench: Bench, row: Row, labels: int) -> dict[str, Any] | None:
    """Hits of every seed (seeds, rows) by set, seconds and the trial; None if the row is not complete."""
    chosen = bench.folder / f"{Job(row, labels, SEEDS[0], 0).name}.chosen.json"
    if not chosen.exists():
        return None
    said = files.read_json(chosen)
    paths = [_answers_file(bench, Job(row, labels, seed, said["trial"])) for seed in said["seeds"]]
    if not all(path.exists() for path in paths):
        return None
    each = [files.read_json(path) for path in paths]
    return {
        "seeds": said["seeds"],
        "trial": said["trial"],
        "seconds": round(float(np.mean([one["seconds"] for one in each])), 1),
        **{name: np.array([one["hits"][name] for one in each], dtype=np.float64) for name in SETS},
    }


def _told(row: Row, labels: int, said: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    rate, options = row.trials[said["trial"]]
    told: dict[str, Any] = {
        "row": row.name,
        "source": row.source or None,
        "target": row.target,
        "method": row.method["name"] if row.source or row.method["name"] != "full" else "scratch",
        "objective": row.objective["name"] if row.source else None,
        "backbone": row.backbone["name"],
        "unlabelled": row.unlabelled,
        "teacher": row.teacher or None,
        "views": row.views,
        "labels_per_class": labels,
        "seeds": said["seeds"],
        "trials": len(row.trials),
        "chosen": {"learning_rate": rate, **options},
        "seconds": said["seconds"],
    }
    for name in SETS:
        told[name] = _interval(100.0 * said[name], "mean")
        if other is not None and other["seeds"] == said["seeds"]:
            told[f"gain_{name}"] = _interval(100.0 * (said[name] - other[name]), "points")
    return told


def _interval(values: NDArray[np.float64], key: str) -> dict[str, Any]:
    """Mean over seeds and rows with its 95 % interval for other rows and seeds."""
    estimate = bootstrap.interval(lambda rows: values[:, rows].mean(axis=1), values.shape[1], BOOTSTRAP, 0)
    return {key: round(estimate.mean, 2), "ci95": [round(value, 2) for value in estimate.ci95]}


if __name__ == "__main__":
    main()
