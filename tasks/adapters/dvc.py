"""DVC as graft uses it: which stages are out of date, and bring one up to date. The only DVC."""

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput, EnvironmentProblem, GraftError, one_line
from tasks.adapters import console, process
from tasks.workspace import Workspace

FULL = ("No space left on device", "File too large", "database or disk is full", "disk I/O error")
"""How the system and SQLite, in which DVC keeps its state, say that a write was refused."""


class StageFailed(GraftError):
    """A stage ended with an error; the message is the stage's own line."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Killed(EnvironmentProblem):
    """A stage, or the DVC that ran it, was killed: nothing is known to be wrong with it."""


@dataclass(frozen=True)
class Outcome:
    """What bringing a stage up to date took: `ran`, `restored` from the cache, or `up to date`."""

    stage: str
    what: str


def environment(root: Path) -> dict[str, str]:
    """The environment of DVC and its stages: no telemetry, this Python first, no state outside the workspace."""
    return {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        console.EVENTS: "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "DVC_SITE_CACHE_DIR": str(Workspace(root).private / "dvc"),
    }


def stale(root: Path) -> set[str]:
    """Names of the stages whose dependencies, settings or outputs are not as dvc.lock says.

    Raises:
        BadInput: dvc.yaml or dvc.lock cannot be read.
        EnvironmentProblem: another DVC is at work in this workspace.
    """
    code, out, err = process.output(_command("status", "--json"), root, environment(root))
    if code:
        raise _explain(err or out)
    try:
        status: dict[str, Any] = json.loads(out or "{}")
    except json.JSONDecodeError:
        raise BadInput(f"dvc status answered no JSON: {one_line(out)}") from None
    return set(status)


def hashes(root: Path) -> dict[str, str]:
    """By path, below `root`: what dvc.lock knows every output by.

    Raises:
        BadInput: dvc.lock is missing or damaged.
    """
    try:
        return hashes_in((root / "dvc.lock").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise BadInput("dvc.lock is missing or damaged; type: graft run") from None


def hashes_in(lock: str) -> dict[str, str]:
    """The same from the text of a dvc.lock.

    Raises:
        BadInput: it is damaged.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        stages = YAML(typ="safe", pure=True).load(lock)["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", ())}
    except (YAMLError, KeyError, TypeError, AttributeError):
        raise BadInput("dvc.lock is missing or damaged; type: graft run") from None


def bring_up_to_date(
    root: Path,
    stage: str,
    force: bool,
    on_event: Callable[[dict[str, Any]], None],
    on_line: Callable[[str], None],
    pull: bool = False,
) -> Outcome:
    """Run one stage unless DVC finds nothing to do or has the result in its cache; with `pull`, or in the store.

    Raises:
        StageFailed: the stage ended with an error.
        Killed: it, or DVC, was killed.
        BadInput, EnvironmentProblem: DVC itself ended with an error.
    """
    failure: dict[str, Any] = {}
    lines: list[str] = []

    def read(line: str) -> None:
        event = console.parse(line)
        if event is None:
            lines.append(line)
            del lines[:-200]
            if line.strip():
                on_line(one_line(line, 2000))
        elif event["event"] == "error":
            failure.update(event)
        else:
            on_event(event)

    options = [*(["--force"] if force else []), *(["--pull"] if pull else [])]
    arguments = _command("repro", "--single-item", *options, stage)
    code = process.run(arguments, root, environment(root), read)
    text = "\n".join(lines)
    if failure:
        raise StageFailed(f"{failure['stage']}: {failure['message']}", int(failure["exit_code"]))
    if sign := -code if code < 0 else _killed_by(text):
        raise Killed(f"{stage}: its process was killed (signal {sign}), by a person or for want of memory; try again")
    if code:
        raise _explain(text, stage)
    if f"Running stage '{stage}'" in text:
        return Outcome(stage, "ran")
    return Outcome(stage, "restored" if "is cached" in text else "up to date")


def checkout(root: Path, outputs: list[str]) -> None:
    """Put `outputs` into the workspace as dvc.lock says, from the cache alone.

    Raises:
        BadInput: something stands there that DVC does not keep, or the cache lacks an object.
        EnvironmentProblem: another DVC is at work here, or the disk is full.
    """
    lines: list[str] = []
    code = process.run(_command("checkout", *outputs), root, environment(root), lines.append)
    text = "\n".join(lines)
    if code and _UNSAVED in text:
        unsaved = one_line(", ".join(line for line in text.partition(_UNSAVED)[2].splitlines()[1:] if line))
        raise BadInput(f"{unsaved} would be overwritten, and DVC does not keep it; move it away, or type: dvc commit")
    if code:
        raise _explain(text)


_UNSAVED = "Can't remove the following unsaved files"


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _explain(text: str, stage: str = "") -> GraftError:
    """DVC's own complaint as one line of ours."""
    if "is busy, it is being blocked by" in text or "Unable to acquire lock" in text:
        return EnvironmentProblem("another dvc is at work in this workspace; wait for it to end")
    errors = [line for line in text.splitlines() if line.startswith("ERROR:")]
    told = errors[-1].removeprefix("ERROR: ") if errors else _last_line(text)
    if any(sign in text for sign in FULL):
        return EnvironmentProblem(
            f"the disk takes no more ({one_line(told)}); free some and type the same command again"
        )
    if "dvc.lock" in told:
        return BadInput(f"dvc.lock cannot be used ({one_line(told)}); git checkout dvc.lock brings back a good one")
    where = f"{stage}: " if stage else ""
    return BadInput(f"{where}{one_line(told)}")


def _killed_by(text: str) -> int:
    """The signal that ended the stage's command, as DVC tells it; 0 if none did."""
    found = re.search(r"failed to run: .*, exited with -(\d+)", text)
    return int(found[1]) if found else 0


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "dvc ended without a word"
