"""Pictures that lie in a store, fetched in jobs that may be done anywhere: one for each part of what is missing here.

What a job fetched is put into this machine's cache, where the origin looks first: ingest then has nothing left to ask
for, and makes of it what it always makes.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graft.core.plugins import Plugin
from graft.core.sections import Settings
from tasks import jobs
from tasks.adapters import files
from tasks.choices import Choices
from tasks.ingest import cache_folder
from tasks.jobs import Due, Job, Send
from tasks.workspace import ROLES, Workspace

PART, FETCHED = "part.json", "fetched.json"


class Part(NamedTuple):
    """Some pictures of an origin.

    Attributes:
        domain: its name, for people.
        number: how many.
        folder: holds PART, which of them; and what was fetched until that is in the cache. Then it is gone.
    """

    origin: Plugin
    domain: str
    number: int
    folder: Path


def wanted(workspace: Workspace, settings: Settings) -> list[Part]:
    """All that is missing here, of the origins that can be read in parts; each of those is listed once.

    What an earlier run left of other parts is removed.

    Raises:
        BadInput, EnvironmentProblem: as the origins' `parts` do.
    """
    choices, place, found = Choices.of(settings), workspace.ahead("ingest"), dict[Path, Part]()
    for role in ROLES:
        for origin in filter(None, (choices.origin(role), choices.inbox(role))):
            list_parts = getattr(origin.module, "parts", None)
            for items in list_parts(origin.options, cache_folder()) if list_parts else ():
                said = json.dumps([origin.options.model_dump(mode="json"), items], sort_keys=True)
                folder = place / hashlib.sha256(said.encode()).hexdigest()[:32]
                found[folder] = Part(origin, getattr(settings.data, role).name, len(items), folder)
                folder.mkdir(parents=True, exist_ok=True)
                files.write_json(folder / PART, items)
    for left in place.glob("*"):
        if left not in found:
            shutil.rmtree(left)
    return list(found.values())


def due(parts: Sequence[Part], send: Send) -> Iterator[Due]:
    """Those of them that nobody has fetched yet; what has come goes into the cache.

    Raises:
        BadInput, EnvironmentProblem: as the origins' `keep_part` does.
    """
    for one in parts:
        origin = one.origin
        if (one.folder / FETCHED).exists():
            origin.module.keep_part(origin.options, read(one.folder / PART), one.folder, cache_folder())
            shutil.rmtree(one.folder)
        elif one.folder.exists():
            label = f"{one.domain}: fetch {one.number} pictures"
            said = {"origin": {"name": origin.name, **origin.options.model_dump(mode="json")}}
            yield Due(Job("fetch", label, {"part": send(one.folder / PART)}, said, jobs.code()), one.folder, FETCHED)


def read(path: Path) -> Any:
    """Which pictures a part is, as its origin takes them."""
    return json.loads(path.read_text(encoding="utf-8"))
