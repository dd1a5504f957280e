"""What a run shows over http: read-only copies in `.graft/pages/kept`, which `graft up` serves, in a folder a run.

Prefect's pages can show and link to nothing else: browsers follow no link from http to a file, and a worktree is the
next run's. A folder's name is a keyed hash of the run's id, so whoever was not given a link finds nothing.
"""

import hashlib
import hmac
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass

from tasks.adapters import files
from tasks.workspace import Workspace

KEPT = 50
"""Runs whose pages are kept, besides those that ask a person."""


@dataclass(frozen=True)
class Pages:
    """The pages of one run.

    Attributes:
        home: the workspace that keeps them.
        address: of the server.
    """

    home: Workspace
    run: str
    address: str

    @classmethod
    def of(cls, place: Workspace, run: str, api: str | None) -> "Pages | None":
        """Those of `run` at the Prefect server `api`; None if that is not the one that `graft up` started here."""
        known = _said(place.home, "prefect", "server.json")
        address = _said(place.home, "pages", "server.json")
        return cls(place.home, run, address) if address and api and api.rstrip("/") == known else None

    def keep(self, name: str, content: bytes) -> str:
        """Have the file `name` there; its address. What was kept longest goes."""
        folder = self.home.pages / "kept" / self._token(self.run)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.written_aside(folder / name) as aside:
            aside.write_bytes(content)
            aside.chmod(0o400)
        self._prune()
        return f"{self.address}/{folder.name}/{name}"

    def _token(self, run: str) -> str:
        key = (self.home.pages / "key").read_bytes()
        return hmac.new(key, run.encode(), hashlib.sha256).hexdigest()[:32]

    def _prune(self) -> None:
        asking = {self._token(path.stem) for path in self.home.question("*").parent.glob("*.json")}
        ages = []
        for folder in self.home.pages.joinpath("kept").iterdir():
            with suppress(FileNotFoundError):  # another run was first
                ages.append((folder.stat().st_mtime, folder))
        for _, folder in sorted(ages, reverse=True)[KEPT:]:
            if folder.name not in asking:
                shutil.rmtree(folder, ignore_errors=True)


def _said(home: Workspace, service: str, file: str) -> str:
    """The address that a service of `graft up` wrote down; "" if it never started."""
    try:
        return str(json.loads((home.private / service / file).read_bytes())["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
