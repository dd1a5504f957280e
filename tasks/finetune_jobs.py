"""The trainings of the stage finetune in jobs that may be done anywhere: every arm, from every seed.

What a job made is put where the stage looks for what it trained before a kill; it then has nothing left to train. Test
rows do not travel.
"""

from collections.abc import Iterator

from graft.core.errors import GateRefused
from graft.core.sections import Settings
from tasks import finetune, jobs, training
from tasks.adapters import files
from tasks.finetune import Training
from tasks.jobs import Due, Job, Send
from tasks.training import Kept
from tasks.workspace import ARMS, Workspace


def kept_of(workspace: Workspace, settings: Settings) -> Kept:
    """Where the stage looks for its trainings. All packed rows are read through for its name: ask once."""
    return Kept(training.kept_in(workspace, "finetune", *finetune.decides(workspace, settings)))


def due(workspace: Workspace, settings: Settings, kept: Kept, send: Send) -> Iterator[Due]:
    """Every training that can be done now and has not been: each rate on the first seed, then the best on the others.

    An arm that diverged at every rate is left to the stage, which says so.

    Args:
        kept: `kept_of` them.
    """
    for arm in ARMS:
        tries = [one for one in finetune.tries_of(settings) if one.arm == arm]
        lacking = [one for one in tries if not _over(kept, one)]
        if not lacking:
            lacking = [one for one in _finals(kept, tries, settings) if not _over(kept, one)]
        for one in lacking:
            yield Due(_job(workspace, settings, one, send), kept.folder, f"{one.name}.cost")


def _over(kept: Kept, one: Training) -> bool:
    """Whether it has ended, well or not."""
    return kept.cost_file(one.name).exists() and not list(kept.folder.glob(f"{one.name}.state*"))


def _finals(kept: Kept, tries: list[Training], settings: Settings) -> list[Training]:
    try:
        rate = finetune.best([(one, kept.finished(one.name) or []) for one in tries])
    except GateRefused:
        return []
    return [Training(tries[0].arm, seed, rate) for seed in settings.evaluate.seeds]


def _job(workspace: Workspace, settings: Settings, one: Training, send: Send) -> Job:
    said = {
        "settings": settings.model_dump(mode="json", by_alias=True),
        "classes": files.read_json(workspace.classes),
        "training": list(one),
    }
    reads = {name: send(folder) for folder, name in finetune.inputs(workspace).items()}
    return Job("training", f"{settings.data.target.name}: {one.name}", reads, said, jobs.code())
