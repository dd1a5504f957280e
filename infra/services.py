"""Every service of a workspace, in the order in which they start."""

from pathlib import Path

from infra import store
from infra.service import Service


def of(root: Path) -> list[Service]:
    return [store.of(root)]
