"""What Prefect must find in the environment before it is imported: no telemetry, no state outside the workspace."""

import os
from pathlib import Path

from tasks.stage import keep_to_itself
from tasks.workspace import Workspace


def prepare(root: Path) -> None:
    """Set defaults for this process; whatever the user has set already wins.

    Without `PREFECT_API_URL` a run uses a temporary server whose database lies in the workspace.
    """
    keep_to_itself(Workspace(root))
    home = Workspace(root).private / "prefect"
    home.mkdir(parents=True, exist_ok=True)  # Prefect makes the last folder only
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # the first start makes the database
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal has its own lines
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
