"""tune: what some settings are worth, in a process of its own: macro-F1 by cross-validation on labelled training rows.

A fold of the labelled rows is kept out of each training and scored. Validation rows stop trainings early and choose
among several learning rates, as in finetune; they have no say in the score. Test rows are not read.
"""

import fcntl
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from graft.core import fit, scores
from graft.core.dataset import Split, draw_per_class
from graft.core.errors import GateRefused, GraftError, message
from graft.core.fit import TrainData
from graft.core.folds import folds
from graft.core.processes import Tell
from graft.core.search import settings_of
from graft.core.sections import Settings
from tasks import finetune, pretrain, training
from tasks.adapters import console, files, models
from tasks.choices import Choices
from tasks.finetune import Training
from tasks.stage import keep_to_itself
from tasks.training import Kept
from tasks.workspace import Workspace


class Job(NamedTuple):
    """What is to be measured.

    Attributes:
        name: shown beside the progress.
        settings: all of params.yaml as plain mappings, what is tried among them.
        seeds: draws of labels; each is cut into as many folds.
        kept: folder of this job, for what is trained so far.
        pretrained: folder of a backbone of its own, made if it is not there; "" takes the workspace's.
    """

    name: str
    arm: str
    settings: dict[str, Any]
    seeds: Sequence[int]
    folds: int
    kept: str
    pretrained: str


@dataclass(frozen=True)
class Apart(Workspace):
    """A workspace whose backbones are those that were pretrained for a trial."""

    backbones: Path

    @property
    def pretrained(self) -> Path:
        return self.backbones


@dataclass(frozen=True)
class Bench(finetune.Bench):
    """That of finetune, where a fold of the labelled rows is for the score alone."""

    n_folds: int

    def data(self, one: Training, tell: Tell) -> TrainData:
        """As finetune's without folds, and without the rows of `scored_rows`."""
        whole = super().data(one._replace(fold=None), tell)
        mine, _ = self._fold(whole.train, one)
        return replace(whole, train=whole.train.take(mine), checkpoint=self.kept.checkpoint(one.name))

    def scored_rows(self, one: Training) -> Split:
        """The labelled rows of the training's fold."""
        drawn = self.train.take(draw_per_class(self.train.labels, self.settings.finetune.per_class, one.seed))
        return drawn.take(self._fold(drawn, one)[1])

    def _fold(self, labelled: Split, one: Training) -> Any:
        assert one.fold is not None
        return folds(labelled.labels, labelled.units, self.n_folds, one.seed)[one.fold]


def tune(workspace: Workspace, job: Job) -> None:
    """Train and score fold after fold; tell each score (event `score`: seed, fold, macro_f1 in [0, 1]).

    What was trained before a kill is not trained again.

    Raises:
        GateRefused: a training diverged at every learning rate.
    """
    settings = settings_of(job.settings)
    choices, kept = Choices.of(settings), Kept(Path(job.kept))
    units = [(seed, fold) for seed in job.seeds for fold in range(job.folds)]
    own = bool(job.pretrained) and job.arm == "transfer"
    parts = len(units) + own
    with console.progress(job.name) as progress:

        def tell(share: float) -> None:
            progress(round(100 * parts * share), 100 * parts)

        if own:
            _pretrained(workspace, settings, choices, Path(job.pretrained), _part(tell, 0, parts))
            workspace = Apart(workspace.root, Path(job.pretrained))
        bench = Bench(workspace, settings, kept, job.folds)
        for index, (seed, fold) in enumerate(units, start=own):
            f1 = _score(bench, job.arm, seed, fold, _part(tell, index, parts))
            console.emit("score", seed=seed, fold=fold, macro_f1=f1)


def _score(bench: Bench, arm: str, seed: int, fold: int, tell: Tell) -> float:
    """Macro-F1 on the fold of the net with the better learning rate, by validation rows, where there are several."""
    done = bench.kept.folder / f"{arm}-{seed}-fold{fold}.score"
    if done.exists():
        return float(files.read_json(done))
    tries = [Training(arm, seed, rate, fold) for rate in bench.settings.finetune.learning_rates]
    tried = {
        one.rate: [finetune.train_one(bench, one, _part(tell, index, len(tries)))] for index, one in enumerate(tries)
    }
    best = training.best_rate(tried)
    if best is None:
        raise GateRefused(f"the training of seed {seed}, fold {fold} diverged; lower learning rates would do")
    rows = bench.scored_rows(tries[0])
    model = models.load(bench.kept.model(Training(arm, seed, best, fold).name))
    predicted = fit.predict(model, rows.images).argmax(axis=1)
    f1 = scores.from_confusion(scores.confusion(rows.labels, predicted, bench.n_classes))["macro_f1"]
    files.write_json(done, f1)
    for one in tries:
        bench.kept.model(one.name).unlink(missing_ok=True)
    return f1


def _part(tell: Tell, index: int, parts: int) -> Tell:
    """What tells of one part, counted from 0, of several."""
    return lambda share: tell((index + share) / parts)


def _pretrained(workspace: Workspace, settings: Settings, choices: Choices, folder: Path, tell: Tell) -> None:
    """Have the chosen backbone in `folder`, pretrained with these settings; who comes second waits for the first.

    Of several learning rates the best on the source's validation rows is kept.

    Raises:
        GateRefused: it diverged at every learning rate.
    """
    name = choices.backbone.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if (folder / f"{name}.keras").exists():
            return
        kept = Kept(folder / "trainings")
        kept.folder.mkdir(exist_ok=True)
        bench = pretrain.Bench(workspace, settings, kept)
        tries = [pretrain.Training(name, rate) for rate in settings.pretrain.learning_rates or (None,)]
        tried = [
            (one, pretrain.train_one(bench, one, _part(tell, index, len(tries)))) for index, one in enumerate(tries)
        ]
        sound = {one.rate or 0.0: [outcome.history] for one, outcome in tried}
        best = training.best_rate(sound)
        if best is None:
            raise GateRefused(f"backbone {name}: {tried[0][1].refused}")
        chosen = next(one for one in tries if (one.rate or 0.0) == best)
        with files.written_aside(folder / f"{name}.keras") as aside:
            shutil.copyfile(kept.model(chosen.name), aside)
        shutil.rmtree(kept.folder)


def main(path: str) -> int:
    """Measure the job in the file at `path`, for the workspace around the current folder; the exit code."""
    try:
        workspace = Workspace.find()
        keep_to_itself(workspace)
        tune(workspace, Job(**json.loads(Path(path).read_text(encoding="utf-8"))))
    except GraftError as error:
        console.emit("error", stage="tune", message=message(error), exit_code=error.exit_code)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
