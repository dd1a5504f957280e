"""The trainings of the stages finetune and curve in jobs that may be done anywhere.

What a job made is put where the stage looks for what it trained before a kill; it then has nothing left to train. Test
rows do not travel.
"""

from collections.abc import Iterator

from graft.core.errors import BadInput, GateRefused
from graft.core.sections import Settings
from tasks import curve, finetune, jobs, training
from tasks.adapters import files
from tasks.choices import Choices
from tasks.finetune import Training
from tasks.jobs import Due, Job, Send
from tasks.training import Kept
from tasks.workspace import ARMS, Workspace


def kept_of(workspace: Workspace, settings: Settings) -> Kept:
    """Where the stage looks for its trainings. All packed rows are read through for its name: ask once."""
    return Kept(training.kept_in(workspace, "finetune", *finetune.decides(workspace, settings)))


def due(workspace: Workspace, settings: Settings, kept: Kept, send: Send) -> Iterator[Due]:
    """Every training that can be done now and has not been: each rate on the first seed, then the best on the others,
    then the variants of the net that ships.

    An arm that diverged is left to the stage, which says so.

    Args:
        kept: `kept_of` them.
    """
    for arm in ARMS:
        tries = [one for one in finetune.tries_of(settings) if one.arm == arm]
        lacking = _lacking(kept, tries)
        if not lacking:
            finals = _finals(kept, tries, settings)
            lacking = _lacking(kept, finals)
            if arm == "transfer" and finals and not lacking:
                lacking = _lacking(kept, _variants(kept, finals, settings))
        yield from (_due(workspace, settings, kept, one, send) for one in lacking)


def curve_due(workspace: Workspace, settings: Settings, kept: Kept, send: Send) -> Iterator[Due]:
    """Every training of the stage curve that has not been done; none where it will say that it measures nothing.

    Args:
        kept: `curve.kept_of` them.
    """
    try:
        points = curve.points(workspace, settings)
    except BadInput:
        return
    rates = files.read_json(workspace.finetune_report)
    for point in points:
        one = Training(point.arm, point.seed, rates[point.arm]["learning_rate"])
        ours, there = curve.with_labels(settings, point.labels), curve.kept_with(kept, point.labels)
        if not _over(there, one) and not curve.answered(there, one).exists():
            yield _due(workspace, ours, there, one, send)


def _due(workspace: Workspace, settings: Settings, kept: Kept, one: Training, send: Send) -> Due:
    return Due(_job(workspace, settings, one, send), kept.folder, f"{one.name}.cost")


def _lacking(kept: Kept, trainings: list[Training]) -> list[Training]:
    return [one for one in trainings if not _over(kept, one)]


def _over(kept: Kept, one: Training) -> bool:
    """Whether it has ended, well or not."""
    return kept.cost_file(one.name).exists() and not list(kept.folder.glob(f"{one.name}.state*"))


def _finals(kept: Kept, tries: list[Training], settings: Settings) -> list[Training]:
    try:
        rate = finetune.best([(one, kept.finished(one.name) or []) for one in tries])
    except GateRefused:
        return []
    return [Training(tries[0].arm, seed, rate) for seed in settings.evaluate.seeds]


def _variants(kept: Kept, finals: list[Training], settings: Settings) -> list[Training]:
    outcomes = [(one, kept.finished(one.name) or []) for one in finals]
    if not all(history for _, history in outcomes):
        return []
    return finetune.variants_of(outcomes, Choices.of(settings))


def _job(workspace: Workspace, settings: Settings, one: Training, send: Send) -> Job:
    said = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "classes": files.read_json(workspace.classes),
        "training": list(one),
    }
    reads = {name: send(folder) for folder, name in finetune.inputs(workspace).items()}
    return Job("training", f"{settings.data.target.name}: {one.name}", reads, said, jobs.code())
