"""The half of export that needs TensorFlow, in a process of its own: its memory is given back before files are run."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.core import dataset, diagnosis, fit
from graft.core.calibration import temperature as temperature_of
from graft.core.dataset import Progress
from graft.core.processes import Tell, Workers
from graft.core.sections import Settings
from tasks.adapters import arrays, models
from tasks.choices import Choices
from tasks.workspace import Workspace

REPRESENTATIVE = 200


class Made(NamedTuple):
    """What is left of the model when its process has ended.

    Attributes:
        temperature: by which the logits are divided before the softmax.
        logits: (n, classes) float32, undivided, on every test picture.
        formats: of each of export.formats, file name to content.
        faulty: what the calibrated model would answer on the test pictures of `rows` if a file had a fault.
        rows: (m,) int64.
        parameters: numbers that the model has.
    """

    temperature: float
    logits: NDArray[np.float32]
    formats: list[dict[str, bytes]]
    faulty: dict[tuple[str, str], NDArray[np.float32]]
    rows: NDArray[np.int64]
    parameters: int


class Job(NamedTuple):
    """Whom to convert (the whole net, or the variant of that name), and the packed test pictures to ask about."""

    workspace: Workspace
    settings: Settings
    seed: int
    test: list[Path]
    variant: str = ""

    @property
    def model(self) -> Path:
        """Its file."""
        place = self.workspace
        return place.variant(self.variant) if self.variant else place.classifier("transfer", self.seed)


def convert(jobs: Sequence[Job], progress: Progress) -> list[Made]:
    """Load the transfer model of a seed, or a variant of it, ask it, convert it; several side by side.

    Args:
        progress: called with (hundredths done, hundredths in all).

    Raises:
        EnvironmentProblem: the process was killed, out of memory most likely.
    """
    with Workers(_convert, None, len(jobs)) as workers:
        return workers.run(jobs, progress)


def _convert(_: None, job: Job, tell: Tell) -> Made:
    formats = Choices.of(job.settings).formats
    bare = models.load(job.model)
    test = arrays.read_all(job.test)
    logits = fit.predict(bare, test.images)
    temperature = _temperature(job, bare, logits.shape[1])
    model, samples = models.calibrated(bare, temperature), _representative(job)
    made = []
    for index, one in enumerate(formats):
        made.append(one.module.convert(one.options, model, samples))
        tell((index + 1) / len(formats))
    rows = np.unique(np.linspace(0, len(test) - 1, diagnosis.ROWS).astype(np.int64))
    asked = diagnosis.faulty(lambda x: fit.softmax(fit.predict(model, x)), np.asarray(test.images[rows]))
    return Made(temperature, logits, made, asked, rows, bare.count_params())


def _temperature(job: Job, model: object, n_classes: int) -> float:
    """Fitted on the validation rows that this seed's training saw: more labels than those, a user would not have."""
    validation = arrays.read(job.workspace.packed("target", "validation"))
    rows = dataset.draw_validation(validation.labels, n_classes, job.settings.finetune.per_class, job.seed)
    seen = validation.take(rows)
    return temperature_of(fit.predict(model, seen.images), seen.labels)


def _representative(job: Job) -> NDArray[np.uint8]:
    """Pictures from the target's training rows, drawn from the seed, that show the quantiser the ranges."""
    train = arrays.read(job.workspace.packed("target", "train"))
    count = min(REPRESENTATIVE, len(train))
    rows = np.sort(np.random.default_rng(job.settings.seed).choice(len(train), count, replace=False))
    return np.asarray(train.images[rows])
