"""Every service of a workspace, in the order in which they start."""

from collections.abc import Sequence
from pathlib import Path

from graft.core.errors import UsageError
from infra import store
from infra.deployments import Deployments
from infra.pages import Pages
from infra.recovery import Recovery
from infra.server import Server
from infra.service import Service
from infra.worker import Worker


def of(root: Path, names: Sequence[str] | None = None) -> list[Service]:
    """Those called `names`; all of them without names.

    Raises:
        UsageError: none is called so.
    """
    server = Server(root)
    every: list[Service] = [store.of(root), server, Recovery(server), Pages(root), Worker(server), Deployments(server)]
    known = [service.name for service in every]
    if unknown := sorted(set(names or ()) - set(known)):
        raise UsageError(f"'{unknown[0]}' is no service; services: {', '.join(known)}")
    return [service for service in every if not names or service.name in names]
