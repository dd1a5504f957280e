"""Two finished runs read from wherever they are, and the page that shows them side by side."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from graft.core import settings as settings_file
from graft.core.answered import Answers
from graft.core.dataset import Progress
from graft.core.errors import BadInput, one_line
from graft.core.side_by_side import Run, render
from graft.hub import cache, names, sealed
from graft.hub.cache import Pulled
from tasks import answered
from tasks.adapters import dvc, dvc_cache, dvc_config, files, git
from tasks.workspace import ROLES, Workspace

Read = Callable[[str], str | None]
"""The text of a file, by its path below the workspace's root; None if there is none."""

_REVISION = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@^~{}-]{0,127}")
_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,_-]+\])?)==([^\s;\\]+)", re.MULTILINE)
MAX_BYTES = 5_000_000


def write(old: Run, new: Run, path: Path) -> None:
    """Write the page that shows both.

    Raises:
        BadInput: a run holds no result.
    """
    text = render(old, new)
    with files.written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def find(named: str, here: Workspace | None, progress: Progress) -> Run:
    """The run that a person named: a folder with a finished workspace or a pulled release, `plants@v3`, a git revision.

    Args:
        here: the workspace whose revisions may be named; None outside of any.

    Raises:
        BadInput: there is no such run, or it is not finished.
        EnvironmentProblem: it is in a store that is out of reach.
    """
    folder = Path(named).expanduser()
    if named and _holds(folder, cache.RECEIPT):
        return _release(named, cache.open_folder(folder), here)
    if named and _holds(folder, "params.yaml"):
        made = _made(named, f"the folder {folder.resolve()}", lambda path: _text(folder / path))
        return replace(made, answers=answered.read(Workspace(folder).predictions))
    if "@" in named.strip("@") and "@{" not in named:
        return _release(named, cache.pull(names.reference(named), progress), here)
    if here and _REVISION.fullmatch(named):
        root = here.root
        if git.show(root, named, here.params) is not None:
            made = _made(named, "a git revision", lambda path: git.show(root, named, root / path))
            return replace(made, answers=_cached_answers(here, git.show(root, named, root / "dvc.lock") or ""))
    raise BadInput(
        f"{one_line(named, 100)!r} is no run: no folder with params.yaml, no release (like plants@v3), and no git "
        f"revision {'with params.yaml here' if here else '(those can be named inside a graft checkout alone)'}"
    )


def _release(named: str, pulled: Pulled, here: Workspace | None) -> Run:
    one = pulled.receipt
    contents, day = one.contents, one.published.at.strftime("%Y-%m-%d")
    commit = str(contents.git.get("commit") or "")
    lock = git.show(here.root, commit, here.root / "requirements.lock") if here and commit else None
    return Run(
        name=named,
        origin=f"{one.name}@{one.version}, published {day} by {one.published.by}, commit {commit[:12] or 'none'}",
        evaluation=_mapping(contents.metrics.get("evaluation")),
        export=_mapping(contents.metrics.get("export")),
        settings=contents.params,
        data={
            role: {key: found.get(key) for key in ("name", "pictures", "md5")} for role, found in contents.data.items()
        },
        versions=_pins(lock)
        if lock and sealed.sha256(lock.encode()) == contents.locks.get("requirements_lock_sha256")
        else {},
        answers=answered.read(pulled.folder / Workspace(pulled.folder).predictions.name),
    )


def _cached_answers(here: Workspace, lock: str) -> Answers:
    """Those that a revision's dvc.lock names, if DVC's cache has them."""
    path = here.predictions.relative_to(here.root).as_posix()
    for item in dvc_cache.locked(lock):
        if item.path == path:
            return answered.read(dvc_config.cache_folder(here.root) / item.key)
    return {}


def _made(named: str, origin: str, read: Read) -> Run:
    """A run as its files tell it.

    Raises:
        BadInput: it is not finished, or a file is damaged.
    """

    def known(path: str) -> Mapping[str, Any]:
        return _parsed(named, path, read(path))

    settings = settings_file.mapping(read("params.yaml") or "", f"params.yaml of {named}")
    if read("reports/evaluation.json") is None:
        raise BadInput(
            f"{one_line(named, 300)} is not finished: reports/evaluation.json is missing; graft run makes it"
        )
    kept = _mapping(known("reports/validation.json").get("kept"))
    lock = read("dvc.lock")
    hashes = dvc.hashes_in(lock) if lock else {}
    said = _mapping(settings.get("data"))
    return Run(
        name=named,
        origin=origin,
        evaluation=known("reports/evaluation.json"),
        export=known("reports/export.json"),
        settings=settings,
        data={
            role: {
                "name": _mapping(said.get(role)).get("name"),
                "pictures": kept.get(role),
                "md5": hashes.get(f"data/{role}"),
            }
            for role in ROLES
        },
        versions=_pins(read("requirements.lock") or ""),
    )


def _parsed(named: str, path: str, text: str | None) -> Mapping[str, Any]:
    """The JSON object in `text`; empty if there is no such file."""
    if text is None:
        return {}
    try:
        return _mapping(json.loads(text))
    except ValueError:
        raise BadInput(f"{path} of {one_line(named, 300)} is damaged: it is no JSON") from None


def _holds(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except OSError:  # a name that is too long, say
        return False


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _pins(lock: str) -> dict[str, str]:
    """Version by package of a lock."""
    return dict(_PIN.findall(lock))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
