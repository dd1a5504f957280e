"""What every stage's command shares: settings in, one clear line out, nothing left behind."""

import errno
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn

from graft.core import settings as settings_file
from graft.core.errors import EnvironmentProblem, GraftError, message
from graft.core.processes import die_with_parent
from graft.core.sections import Settings
from tasks.adapters import console, files
from tasks.choices import Choices
from tasks.workspace import Workspace

Work = Callable[[Workspace, Settings, Choices], None]


def main(stage: str, work: Work) -> NoReturn:
    """Run `work` for the workspace around the current folder and exit.

    Every choice in params.yaml is resolved before any data are opened. Seconds and peak memory are recorded.
    Exit codes: 0 done, 1 bad input or gate refused, 3 environment.
    """
    die_with_parent()
    started = time.monotonic()
    try:
        workspace = Workspace.find()
        keep_to_itself(workspace)
        settings = settings_file.load(workspace.params)
        _guarded(work, workspace, settings, Choices.of(settings))
        files.write_json(
            workspace.stage_record(stage),
            {
                "stage": stage,
                "seconds": round(time.monotonic() - started, 1),
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "ran": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
    except GraftError as error:
        text = message(error)
        console.emit("error", stage=stage, message=text, exit_code=error.exit_code)
        print(f"{stage}: {text}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    sys.exit(0)


def here() -> Workspace:
    """The workspace around the current folder, for a command that keeps to it; raises what `Workspace.find` raises."""
    workspace = Workspace.find()
    keep_to_itself(workspace)
    return workspace


def keep_to_itself(workspace: Workspace) -> None:
    """No telemetry, no chatter, no file outside the workspace, whoever started the stage.

    And oneDNN's kernels, which TensorFlow (2.21) leaves off on some processors: on an AMD EPYC with AVX2 a step of the
    default net takes a third longer without them.
    """
    defaults = {
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "KERAS_HOME": str(workspace.private / "keras"),
        "MPLCONFIGDIR": str(workspace.private / "matplotlib"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _guarded(work: Work, workspace: Workspace, settings: Settings, choices: Choices) -> None:
    try:
        work(workspace, settings, choices)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = _free_mb(workspace)
            raise EnvironmentProblem(
                f"the disk of {workspace.root} is full ({free} MB free); free some and type the same command again"
            ) from error
        if error.errno == errno.EFBIG:
            raise EnvironmentProblem(
                f"a file in {workspace.root} would be larger than it may be; raise the limit: ulimit -f"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise EnvironmentProblem(
                f"{error.filename} cannot be written: {error.strerror}; check owner and mode"
            ) from error
        raise
    except MemoryError:
        raise EnvironmentProblem(
            "out of memory; a smaller batch_size or data.modality.size_px would need less"
        ) from None


def _free_mb(workspace: Workspace) -> int:
    status = os.statvfs(workspace.root)
    return status.f_bavail * status.f_frsize // 1_000_000
