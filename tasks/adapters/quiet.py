"""What libraries print in a Dask worker that this run started goes to a file: Dask loads this module there."""

import os
from typing import Any

LOG = "GRAFT_ENGINE_LOG"
"""Environment variable: that file."""


def dask_setup(worker: Any) -> None:
    """Called by Dask as the worker starts."""
    if path := os.environ.get(LOG):
        with open(path, "ab") as file:
            os.dup2(file.fileno(), 2)
