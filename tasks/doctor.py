"""doctor: what of this machine and clone is wrong, and what to do about it."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graft.core import settings as settings_file
from graft.core.errors import EnvironmentProblem, GraftError, one_line
from graft.core.plugins import Plugin
from graft.hub import conformance, store
from tasks.choices import Choices
from tasks.ingest import cache_folder
from tasks.workspace import ROLES, Workspace

NEEDED_MB = 2_000
SHOWN = (
    "tensorflow",
    "keras",
    "prefect",
    "dvc",
    "great-expectations",
    "ai-edge-litert",
    "fastapi",
    "sqlalchemy",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: its name.
        state: `fine`, `note` (works, but you may want to know) or `broken`.
        found: what is there.
        remedy: what to do; "" if nothing.
    """

    what: str
    state: Literal["fine", "note", "broken"]
    found: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; a check that cannot be made is itself a finding."""
    checks: list[Callable[[], list[Finding]]] = [
        _python,
        _pins,
        _programs,
        _settings,
        _disk,
        _python_registry,
        _origins,
        _store,
        _prefect,
    ]
    return [finding for check in checks for finding in check()]


def show(findings: list[Finding], console: Any) -> None:
    """Print the findings as a table."""
    from rich.table import Table

    table = Table("", "what", "found", "what to do", box=None, pad_edge=False)
    marks = {"fine": "[green]✓[/]", "note": "[yellow]•[/]", "broken": "[red]✗[/]"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.what, finding.found, finding.remedy)
    console.print(table)


def locked_versions(lock: Path) -> dict[str, str]:
    """Package name to version, as requirements.lock pins them."""
    pattern = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ \\;]+)", re.MULTILINE)
    return {_normal(name): version for name, version in pattern.findall(lock.read_text(encoding="utf-8"))}


def _python() -> list[Finding]:
    version = sys.version.split()[0]
    if sys.version_info[:2] == (3, 11):
        return [Finding("Python", "fine", version)]
    return [Finding("Python", "broken", version, "graft is locked for 3.11: make PYTHON=/path/to/python3.11")]


def _pins() -> list[Finding]:
    """Every locked package against what is installed; another version may import and be broken all the same."""
    try:
        locked = locked_versions(Workspace.find().root / "requirements.lock")
    except (GraftError, OSError):
        return [Finding("pins", "note", "no requirements.lock here", "run inside a graft checkout")]
    installed = {_normal(d.metadata["Name"]): d.version for d in importlib.metadata.distributions()}
    wrong = [
        Finding(
            name,
            "broken",
            f"{installed.get(name, 'missing')}, locked {version}",
            "rm -rf .venv; make .venv/ready",
        )
        for name, version in locked.items()
        if installed.get(name) != version
    ]
    fine = [Finding(name, "fine", installed[name]) for name in SHOWN if installed.get(name) == locked.get(name, "")]
    return [*fine, *wrong]


def _programs() -> list[Finding]:
    git = shutil.which("git")
    return [Finding("git", "fine", git) if git else Finding("git", "broken", "missing", "install git: DVC needs it")]


def _settings() -> list[Finding]:
    try:
        Choices.of(settings_file.load(Workspace.find().params))
    except GraftError as error:
        return [Finding("params.yaml", "broken", str(error), "mend the key it names")]
    return [Finding("params.yaml", "fine", "valid; every choice exists")]


def _disk() -> list[Finding]:
    free_mb = shutil.disk_usage(Path.cwd()).free // 1_000_000
    if free_mb < NEEDED_MB:
        return [Finding("disk", "broken", f"{free_mb} MB free", f"a run of the demo wants {NEEDED_MB} MB: free some")]
    return [Finding("disk", "fine", f"{free_mb // 1000} GB free")]


def _python_registry() -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-cache-dir",
            "--dest",
            folder,
        ]
        problem = _try([*command, "six==1.17.0"])
    if problem:
        return [Finding("Python registry", "note", problem, "needed only to install; check network and pip's settings")]
    return [Finding("Python registry", "fine", "answers")]


def _origins() -> list[Finding]:
    """Whether the chosen origins could be fetched now, as far as they can tell without fetching."""
    try:
        choices = Choices.of(settings_file.load(Workspace.find().params))
    except GraftError:
        return []  # the settings' own finding says it
    origins = {choices.origin(role).name: choices.origin(role) for role in ROLES}
    found = {name: _problem(origin) for name, origin in origins.items()}
    return [
        Finding(f"origin {name}", "broken", problem) if problem else Finding(f"origin {name}", "fine", "can be fetched")
        for name, problem in found.items()
    ]


def _problem(origin: Plugin) -> str:
    tell = getattr(origin.module, "problem", None)
    return str(tell(cache_folder())) if tell else ""


def _store() -> list[Finding]:
    """Whether it is there, and whether it keeps the promises that releases rest on."""
    try:
        place = store.from_environment()
        if place is None:
            advice = "not needed to train; graft up starts one, GRAFT_BUCKET names another"
            return [Finding("object store", "note", "none named", advice)]
        store.check(place)
    except EnvironmentProblem as error:
        return [Finding("object store", "broken", str(error), "start it or mend the setting it names")]
    there = Finding("object store", "fine", f"bucket {place.bucket} at {place.endpoint or 'AWS'}")
    return [there, *_promises(place)]


def _promises(place: store.Store) -> list[Finding]:
    try:
        broken = conformance.broken(place)
    except EnvironmentProblem as error:  # a reader may not try what only writers rely on
        return [Finding("store's promises", "note", str(error), "try it with a key that may write")]
    if not broken:
        return [Finding("store's promises", "fine", f"all {len(conformance.PROMISES)} kept")]
    return [
        Finding("store's promise", "broken", f"{one.promise.text}; seen: {one.seen}", one.promise.remedy)
        for one in broken
    ]


def _prefect() -> list[Finding]:
    url = os.environ.get("PREFECT_API_URL", "")
    if not url:
        return [Finding("Prefect server", "fine", "a temporary one per run (PREFECT_API_URL is not set)")]
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=5):
            return [Finding("Prefect server", "fine", url)]
    except (OSError, ValueError, urllib.error.URLError) as error:
        return [
            Finding(
                "Prefect server",
                "broken",
                f"{url}: {one_line(str(error))}",
                "start it, or unset PREFECT_API_URL",
            )
        ]


def _try(command: list[str]) -> str:
    """Why `command` fails, in a line; "" if it works."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    return "" if done.returncode == 0 else one_line((lines or ["failed without a word"])[-1], 120)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
