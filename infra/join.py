"""Join the workspace at hand to a Prefect server that something else runs, a compose file say: `python -m infra.join`.

PREFECT_API_URL and PREFECT_API_AUTH_STRING say which; GRAFT_BUCKET, if set, is set up too. What `graft up` has on a
server of its own is had on that one: pool, rules, deployments. Doing it again changes nothing. Afterwards `graft start`
and `graft status recovery deployed` speak to it.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from graft.core.errors import EnvironmentProblem, GraftError, UsageError, message
from graft.hub.store import from_environment
from infra import bucket, process, server
from infra.deployments import Deployments
from infra.files import make_private, write_private
from infra.recovery import Recovery
from infra.server import Server
from infra.worker import Worker
from tasks.workspace import Workspace


def join(root: Path, address: str, login: str) -> list[str]:
    """What was done, a line each.

    Raises:
        UsageError: no such address.
        EnvironmentProblem: the server or the store does not answer, or a server of `graft up` runs here.
    """
    try:
        parts = urlsplit(address)
        port = parts.port or 4200
    except ValueError:
        raise UsageError(f"PREFECT_API_URL is '{address}'; http://HOST:PORT/api would do") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.path != "/api":
        raise UsageError(f"PREFECT_API_URL is '{address}'; http://HOST:PORT/api would do")
    there = Server(root)
    make_private(there.home)
    if process.running(there.home / "process.json"):
        raise EnvironmentProblem(f"a server of graft up runs in {root}; type first: graft down")
    write_private(there.home / "login", f"{login}\n")
    write_private(there.home / "server.json", json.dumps({"address": address, "port": port}) + "\n")
    write_private(there.home / "profiles.toml", server.profile(address, login))
    there.ask("GET", "/admin/version", None, server.UP_WITHIN_S)
    Worker(there).set_pool_up()
    return [*Recovery(there).start(), *Deployments(there).start()]


def main() -> None:
    """Exit codes as of `graft`."""
    try:
        if os.environ.get("GRAFT_BUCKET") and (store := from_environment()):
            print("\n".join(bucket.set_up(store)))
        said = join(
            Workspace.find().root,
            os.environ.get("PREFECT_API_URL", ""),
            os.environ.get("PREFECT_API_AUTH_STRING", ""),
        )
        print("\n".join(said))
    except GraftError as error:
        print(f"graft: {message(error)}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
