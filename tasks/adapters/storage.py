"""Where Optuna keeps the trials of a search: a journal file of the workspace, or a database that an URL names."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from graft.core.errors import EnvironmentProblem
from tasks.adapters import lock

STORAGE = "GRAFT_OPTUNA_STORAGE"
"""Environment variable: URL of an Optuna storage; without it a journal file of the workspace."""
PATIENCE_S = 120.0
PAUSES_S = (0.2, 0.5, 1.0, 0.0)
R = TypeVar("R")


def is_here() -> bool:
    """Whether nobody but workers of this workspace has it."""
    return not os.environ.get(STORAGE)


def journal(folder: Path) -> Path:
    """The file that `optuna-dashboard` reads."""
    return folder / "journal.log"


def open_in(folder: Path) -> Any:
    """The storage; its journal lies in `folder`.

    Raises:
        EnvironmentProblem: it is one that keeps pickles.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    address = os.environ.get(STORAGE, "")
    if address.startswith("redis"):
        raise EnvironmentProblem(f"{STORAGE} names a Redis, in which Optuna keeps pickles; a database would do")
    if address:
        return RDBStorage(address)
    return JournalStorage(JournalFileBackend(str(journal(folder)), lock_obj=_lock_of(folder)))


def mend(path: Path) -> None:
    """Take off what a full disk or a power cut left of a last line: Optuna would read no further."""
    if not path.exists() or not path.stat().st_size:
        return
    with lock.waited_for(path.with_suffix(".lock"), PATIENCE_S), path.open("r+b") as file:
        whole = file.read()
        if not whole.endswith(b"\n"):
            file.truncate(whole.rfind(b"\n") + 1)


def _lock_of(folder: Path) -> Any:
    """A lock for the journal that ends with its holder; Optuna's own outlives a kill by half a minute."""
    from optuna.storages.journal import JournalFileOpenLock

    class Held(JournalFileOpenLock):
        _now: Any = None

        def acquire(self) -> bool:
            self._now = lock.waited_for(journal(folder).with_suffix(".lock"), PATIENCE_S)
            self._now.__enter__()
            return True

        def release(self) -> None:
            self._now.__exit__(None, None, None)

    return Held(str(journal(folder)))


def reached(work: Callable[[], R]) -> R:
    """What `work` answers, asked again where two machines made the same tables or study at once.

    Raises:
        EnvironmentProblem: it fails again; whatever a storage says may hold its password, so its kind alone is told.
    """
    for pause_s in PAUSES_S:
        try:
            return work()
        except EnvironmentProblem:
            raise
        except Exception as error:
            kind = type(error).__name__
            time.sleep(pause_s)
    if is_here():
        raise EnvironmentProblem(f"the search's journal cannot be used ({kind}); move .graft/tune away to begin anew")
    raise EnvironmentProblem(f"the storage of {STORAGE} cannot be used ({kind}); a URL like sqlite:///tune.db would do")
