"""Packed training rows in the store, for trainings that read them from there: `train.data: store`."""

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING

from graft.core.dataset import Split
from graft.core.errors import BadInput, EnvironmentProblem
from graft.hub import cache, shards, streamed
from graft.hub import store as stores
from graft.hub.bucket import Bucket
from tasks.adapters import arrays, dvc, files
from tasks.workspace import ROLES, Workspace

if TYPE_CHECKING:
    from rich.console import Console

LIMIT = "GRAFT_SHARDS_MB"
"""Environment variable: megabytes of shards that are kept on this machine."""
DEFAULT_MB = 20_000
SPLITS = ("train", "validation")


def push(place: Workspace, console: "Console") -> None:
    """Bring the packed rows that models may learn from to the store in shards; what is there is not sent again.

    Raises:
        BadInput: there are none here, or they are not those of dvc.lock.
        EnvironmentProblem: no store is named, or it does not answer.
    """
    started, features = time.monotonic(), features_of(place)
    if "extract" in dvc.stale(place.root):
        raise BadInput("features are not those of dvc.lock; type: graft run --from extract")
    classes = files.read_json(place.classes)
    store = stores.known()
    stores.check(store)
    with closing(Bucket(store)) as bucket:
        for role in ROLES:
            for split in SPLITS:
                rows = arrays.read(place.packed(role, split))
                index = shards.push(bucket, shards.key_of(features, role, split), rows, classes[role])
                console.print(f"{role} {split}: {len(rows)} rows in {len(index.shards)} shards", style="dim")
    console.print(f"pushed to {store.bucket}/{shards.PREFIX} in {time.monotonic() - started:.1f} s")


def features_of(place: Workspace) -> str:
    """What dvc.lock knows the packed rows by.

    Raises:
        BadInput: it does not.
    """
    found = dvc.hashes(place.root).get(place.features.relative_to(place.root).as_posix())
    if not found:
        raise BadInput("dvc.lock knows of no features; type: graft run --until extract")
    return found.removesuffix(".dir")


def opened(place: Workspace, role: str, split: str) -> tuple[Split, list[str]]:
    """The rows of a split as the store has them, and the names of the classes; pictures come when they are asked for.

    Raises:
        BadInput: `push` has not brought those of dvc.lock there.
        EnvironmentProblem: no store is named, or it does not answer.
    """
    store, key = stores.known(), shards.key_of(features_of(place), role, split)
    with closing(Bucket(store)) as bucket:
        index = shards.find(bucket, key)
    if index is None:
        raise BadInput(
            f"train.data is store, and {store.bucket} has no {key}; type: graft shards, where features are at hand, or "
            "--set train.data=packed"
        )
    return streamed.split(store, index, streamed.Cache(cache.root() / "shards", limit())), index.classes


def limit() -> int:
    """Bytes of shards that are kept on this machine.

    Raises:
        EnvironmentProblem: the environment names no number of megabytes.
    """
    said = os.environ.get(LIMIT, "")
    if said and not (said.isdecimal() and int(said) > 0):
        raise EnvironmentProblem(f"{LIMIT} is {said!r}; a whole number of megabytes would do")
    return int(said or DEFAULT_MB) * 1_000_000
