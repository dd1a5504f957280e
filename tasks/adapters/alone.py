"""A stage as a process of its own in some workspace, without DVC: for workspaces that nobody keeps."""

import sys
from pathlib import Path
from typing import Any

from graft.core.dataset import Progress
from graft.core.errors import one_line
from tasks.adapters import console, dvc, process


def run(root: Path, stage: str, progress: Progress) -> None:
    """Run one stage in the workspace `root`.

    Raises:
        StageFailed: it ended with an error; the message is its own line.
        Killed: it was killed.
    """
    failure: dict[str, Any] = {}
    lines: list[str] = []

    def read(line: str) -> None:
        event = console.parse(line)
        if event is None:
            lines.append(line)
            del lines[:-20]
        elif event["event"] == "error":
            failure.update(event)
        else:
            progress(int(event["done"]), int(event["total"]))

    code = process.run([sys.executable, "-m", f"tasks.{stage}"], root, dvc.environment(root), read)
    if failure:
        raise dvc.StageFailed(f"{stage}: {failure['message']}", int(failure["exit_code"]))
    if code < 0:
        raise dvc.Killed(f"{stage}: its process was killed (signal {-code}), by a person or for want of memory")
    if code:
        raise dvc.StageFailed(f"{stage}: {one_line(' '.join(lines[-3:]))}", 1)
