"""fetch: what is new, and from what a run would be made: its data, code and settings, by hash."""

import hashlib
import json
from typing import Any, NamedTuple

from graft.core import settings as settings_file
from tasks.adapters import dvc, files
from tasks.choices import Choices
from tasks.ingest import fingerprints
from tasks.workspace import Workspace


class Inputs(NamedTuple):
    """What a run is made from, each by what tells one state from the next.

    Attributes:
        data: by role, "" where the settings alone say it.
        code: of the stages.
        params: of the effective settings.
    """

    data: dict[str, str]
    code: str
    params: str

    def changed(self, before: dict[str, Any]) -> list[str]:
        """What differs from the inputs of an earlier run, as `_asdict` gives them: of data, code and params."""
        return [name for name, value in self._asdict().items() if before.get(name) != value]


def look(workspace: Workspace, choices: Choices, code: str) -> Inputs:
    """The inputs of a run in `workspace`; one look at each origin and inbox.

    Args:
        code: what names the code.

    Raises:
        BadInput, EnvironmentProblem: an origin cannot be looked at.
    """
    params = json.dumps(settings_file.plain(workspace.params), sort_keys=True)
    return Inputs(fingerprints(choices), _sha256(code), _sha256(params))


def origins_changed(workspace: Workspace, seen: dict[str, str]) -> bool:
    """Whether the data at hand came from origins that did not look like `seen`, or nobody wrote down what from.

    DVC watches files of the workspace; a folder or a bucket elsewhere it does not.
    """
    if not any(seen.values()):
        return False
    before = files.read_json(workspace.origins_record) if workspace.origins_record.exists() else {}
    manifest = workspace.manifest.relative_to(workspace.root).as_posix()
    at_hand = dvc.hashes(workspace.root).get(manifest) if (workspace.root / "dvc.lock").exists() else ""
    return bool(before != seen | {"manifest": at_hand})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
