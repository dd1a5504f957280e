"""The trainings of a comparison, as worker processes do them: nets learn a source, and then a target."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from graft.core import fit
from graft.core.errors import GateRefused
from graft.core.loop import History
from graft.core.processes import Tell
from graft.core.sections import Choice, Settings
from tasks import finetune, pretrain, transferability
from tasks.adapters import arrays, files, models
from tasks.choices import Choices
from tasks.training import Kept
from tasks.workspace import Workspace

SETS = {"seen": "test", "unseen": "unseen"}
SCRATCH = None
"""In place of a method: the net that starts from nothing."""


class Learned(NamedTuple):
    """A source that a net is to learn: a workspace that shows it, and where net and facts go."""

    name: str
    view: Workspace
    settings: Settings
    folder: Path


def learn(_: None, one: Learned, tell: Tell) -> None:
    """Pretrain the backbone, at each of its learning rates if there are several; `facts.json` is written last.

    Raises:
        GateRefused: it diverged.
    """
    choices = Choices.of(one.settings)
    name = choices.backbone.name
    bench = pretrain.Bench(one.view, one.settings, Kept(one.folder / "trainings"))
    bench.kept.folder.mkdir(exist_ok=True)
    tries = pretrain.tries_of(one.settings, [name])

    def done(index: int) -> Tell:
        return lambda share: tell((index + share) / (len(tries) + 1))

    tried = [(each, pretrain.train_one(bench, each, done(index))) for index, each in enumerate(tries)]
    final = pretrain.Training(name, pretrain.chosen(one.settings, tried, name))
    outcome = pretrain.train_one(bench, final, done(len(tries)))
    if outcome.refused:
        raise GateRefused(f"source {one.name}, backbone {name}: {outcome.refused}")
    shutil.copyfile(bench.kept.model(final.name), net(one.folder, name))
    best = max(row["val_accuracy"] for row in outcome.history)
    files.write_json(one.folder / "facts.json", {"validation_accuracy": best, "parameters": outcome.parameters})
    shutil.rmtree(bench.kept.folder)


def net(folder: Path, backbone: str) -> Path:
    """Where a net that learned a source lies, as a workspace's `pretrained` has it."""
    return folder / "nets" / f"{backbone}.keras"


class Job(NamedTuple):
    """A training on the target.

    Attributes:
        method: index into the comparison's methods; SCRATCH for the net that starts from nothing.
        fold: in which it only helps to choose the rate.
        asked: whether the test rows are answered.
    """

    method: int | None
    labels: int | str
    seed: int
    rate: float
    fold: int | None = None
    asked: bool = False

    @property
    def training(self) -> finetune.Training:
        """What finetune calls it."""
        return finetune.Training("scratch" if self.method is SCRATCH else "transfer", self.seed, self.rate, self.fold)


class Told(NamedTuple):
    """What came of a training: its history, empty if it diverged; processor seconds; by set, 0 or 1 for each row."""

    history: History
    seconds: float
    hits: dict[str, list[int]]


@dataclass(frozen=True)
class Bench:
    """What the trainings on one target from one source share; each worker process opens it once.

    Attributes:
        view: a workspace that shows both domains and the net that learned the source.
        folder: of what was trained so far.
        nets: networks by backbone, built and traced once.
    """

    view: Workspace
    settings: Settings
    methods: Sequence[Choice]
    folder: Path
    nets: dict[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def opened(self) -> dict[tuple[int | None, int | str], finetune.Bench]:
        return {}

    def of(self, job: Job) -> finetune.Bench:
        """That of finetune, with the job's method and number of labels; all share their networks."""
        key = (job.method, job.labels)
        if key not in self.opened:
            update: dict[str, Any] = {"labels_per_class": job.labels}
            update |= {} if job.method is None else {"method": self.methods[job.method]}
            section = self.settings.finetune.model_copy(update=update)
            folder = self.record(job).parent
            folder.mkdir(parents=True, exist_ok=True)
            made = finetune.Bench(self.view, self.settings.model_copy(update={"finetune": section}), Kept(folder))
            made.__dict__["nets"] = self.nets
            self.opened[key] = made
        return self.opened[key]

    def record(self, job: Job) -> Path:
        """The file that says what came of the job, if it ended."""
        folder = self.folder / f"{self._name(job.method)}-{job.labels}"
        return folder / f"{job.training.name}.{'hits' if job.asked else 'tried'}.json"

    def recorded(self, job: Job) -> Told | None:
        """What came of the job; None if it has not ended."""
        path = self.record(job)
        return Told(**files.read_json(path)) if path.exists() else None

    def _name(self, method: int | None) -> str:
        """The same for a method wherever it stands in compare.yaml."""
        if method is None:
            return "scratch"
        said = json.dumps(self.methods[method].model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def train(bench: Bench, job: Job, tell: Tell) -> Told:
    """Train unless that was done before a kill; answer the test rows if they are asked."""
    if done := bench.recorded(job):
        return done
    ours, one = bench.of(job), job.training
    with ours.kept.metered(one.name):
        history = finetune.train_one(ours, one, tell)
    hits = _hits(bench.view, ours.kept.model(one.name)) if job.asked and history else {}
    told = Told(history, ours.kept.cost(one.name).cpu_seconds, hits)
    files.write_json(bench.record(job), told._asdict())
    return told


def _hits(view: Workspace, file: Path) -> dict[str, list[int]]:
    model, hits = models.load(file), {}
    for name, split in SETS.items():
        if (place := view.held_out("target", split)).exists():
            rows = arrays.read(place)
            hits[name] = (fit.predict(model, rows.images).argmax(axis=1) == rows.labels).astype(int).tolist()
    return hits


class Glance(NamedTuple):
    """A source's features to be looked at, with so many labels of the target."""

    view: Workspace
    settings: Settings


def look(_: None, one: Glance, tell: Tell) -> dict[str, Any]:
    """What scores and distances say, of the net that learned the source and of one that learned nothing."""
    found = transferability.look(one.view, one.settings, Choices.of(one.settings))
    tell(1.0)
    return found
