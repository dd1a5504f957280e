"""What earlier retrainings made leaves DVC's cache here once the store has it: a worker's disk does not fill up."""

from typing import NamedTuple

from graft.hub.objects import Listed
from tasks import remote
from tasks.adapters import dvc_cache, dvc_config
from tasks.adapters.dvc_cache import Item
from tasks.adapters.history import History
from tasks.workspace import Workspace

KEPT = 3
"""Last commits of a model whose objects stay here."""


class Freed(NamedTuple):
    """What was removed."""

    objects: int
    bytes_: int


def tidy(place: Workspace, history: History, tip: str) -> Freed:
    """Remove from the cache what earlier commits of the branch refer to and nothing at hand does.

    An object goes only if the store's listing has it under the MD5 that is its name; `dvc repro --pull` and `graft pull
    --data` bring it back. What anybody else made is not looked at, and records of runs stay: they are small.

    Args:
        tip: the branch's last commit.

    Raises:
        EnvironmentProblem: the store does not answer.
    """
    cache = dvc_config.cache_folder(place.root)
    read = remote.reader(cache)
    made = history.locks(tip)
    at_hand = [path / "dvc.lock" for path in (place.root, *(place.runs.glob("*") if place.runs.exists() else ()))]
    texts = [path.read_text(encoding="utf-8") for path in at_hand if path.is_file()]
    used = {one.name for text in (*texts, *made[:KEPT]) for one in remote.everything(dvc_cache.locked(text), read)}
    old = remote.expanded([one for text in made[KEPT:] for one in dvc_cache.locked(text)], read)
    here = [one for one in old if one.name not in used and (cache / one.key).exists()]
    if not here:
        return Freed(0, 0)
    with remote.opened(remote.connect(place)) as objects:
        listed = objects.listed()
    safe = [one for one in here if _is_kept_there(one, listed)]
    freed = sum(remote.size_of(one, cache) for one in safe)
    for one in sorted(safe, key=lambda one: one.is_folder):  # lists last: whoever is killed can still read them
        (cache / one.key).unlink(missing_ok=True)
    return Freed(len(safe), freed)


def _is_kept_there(one: Item, listed: dict[str, Listed]) -> bool:
    seen = listed.get(one.key)
    return seen is not None and seen.md5 == one.md5
