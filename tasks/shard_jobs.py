"""The pictures of the stages validate and extract in jobs that may be done anywhere: one for each raw shard.

What a job made is put where the stage looks for it; it then has nothing left to measure or to decode.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from graft.core.sections import Settings
from tasks import jobs, shard_work
from tasks.ahead import WHOLE, Ahead
from tasks.choices import Choices
from tasks.jobs import Due, Job, Send
from tasks.workspace import ROLES, Workspace

WORK = {"validate": shard_work.MEASURE, "extract": shard_work.DECODE}
"""What each of the stages has done."""


class Wanted(NamedTuple):
    """A raw shard, the name of its domain, and where what is found of it goes."""

    domain: str
    shard: Path
    folder: Path


def wanted(workspace: Workspace, settings: Settings, stage: str) -> list[Wanted]:
    """Every shard of both domains. All of them are read through: ask once.

    What an earlier run left of other shards, or only in part, is removed.
    """
    known = Ahead.of(workspace, stage, Choices.of(settings).modality)
    found = {}
    for role in ROLES:
        for shard in sorted(workspace.raw(role).glob("shard-*.tar")):
            folder = known.place(shard)
            found[folder] = Wanted(getattr(settings.data, role).name, shard, folder)
    for left in known.folder.glob("*"):
        if left not in found or not known.file(found[left].shard):
            shutil.rmtree(left)
    return list(found.values())


def due(settings: Settings, stage: str, shards: Sequence[Wanted], send: Send) -> Iterator[Due]:
    """Those of them of which nothing is known yet."""
    said = {"modality": settings.data.modality.model_dump(mode="json")}
    for one in shards:
        if not (one.folder / WHOLE).exists():
            work = WORK[stage]
            label = f"{one.domain}: {work} {one.shard.name}"
            yield Due(Job(work, label, {"shard": send(one.shard)}, said, jobs.code()), one.folder, WHOLE)
